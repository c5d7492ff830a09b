"""PyTorch models, by way of an ONNX file."""

import importlib
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.onnx_io.reading import ImportedNetwork, read_onnx


def from_torch(
    model: Any, example: Any, path: Path | str | None = None, *, softmax: bool = True
) -> ImportedNetwork:
    """Take a PyTorch model with its weights.

    Batch norms stay apart from convolutions, so that the network can be trained further. Dropout
    does nothing in a model that is exported, and is left out.

    Args:
        model: A ``torch.nn.Module``; its mode is as it was when this returns.
        example: A tensor that it takes, examples along the first axis.
        path: Where to keep the ONNX file; by default it is not kept.
        softmax: Whether a softmax is put behind a network that ends in logits.

    Raises:
        ConfigError: If PyTorch is missing, or the model cannot be exported or has an operator
            that has no layer.
    """
    torch = _needed("torch")
    _needed("onnxscript")
    trained = frozenset(
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if parameter.requires_grad
    )
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        if path is not None:
            _export(torch, model, example, Path(path))
            return read_onnx(path, softmax=softmax, trained=trained)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            _export(torch, model, example, file)
            return read_onnx(file, softmax=softmax, trained=trained)
    finally:
        for module, mode in modes.items():
            module.training = mode


def _needed(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ConfigError(f"from_torch must have the package {package}, got none") from None


def _export(torch: Any, model: Any, example: Any, path: Path) -> None:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch about its own exporter
            logger.setLevel(logging.ERROR)
            # Not optimised, as that would put batch norms into convolutions.
            torch.onnx.export(model, (example,), path, dynamo=True, optimize=False, verbose=False)
    except Exception as error:
        raise ConfigError(f"model must be one that PyTorch exports, got {_reason(error)}") from None
    finally:
        logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """The first line of what was the matter at first."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

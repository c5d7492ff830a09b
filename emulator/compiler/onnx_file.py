"""An ONNX file by itself, as the network of a config that says nothing else."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from crossmesh.common.errors import ConfigError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.run import Imported, RunConfig


def config_of(path: Path, overrides: Iterable[str] = ()) -> RunConfig:
    """A config that reads the network of a file as it is, on default tiles.

    Weights are scaled to what the devices can hold, and no softmax is put behind logits.

    Args:
        path: The file.
        overrides: As those of ``load_config``.
    """
    tree = {
        "name": "imported",
        "data": {"source": "synthetic"},
        "network": {"onnx": str(path)},
        "loss": "mean_squared_error",
        "tile": {"weight_scale": "auto"},
    }
    return load_config(tree, overrides)


class Ends(NamedTuple):
    """Names of the inputs and outputs of a file."""

    inputs: Sequence[str]
    outputs: Sequence[str]


def ends_of(path: Path, config: RunConfig) -> Ends:
    """The inputs that examples give to the output that a config chooses, and the outputs.

    Raises:
        ConfigError: If it is no ONNX file.
    """
    if not is_file(path):
        raise ConfigError(f"WHAT must be a file, got {path}")
    import onnx  # takes a moment to import

    from crossmesh.emulator.onnx_io.evaluating import names_needed

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"WHAT must be an ONNX model, got {path} ({reason})") from None
    network = config.network if isinstance(config.network, Imported) else None
    outputs = [entry.name for entry in graph.output]
    wanted = (network and network.output) or outputs[0]
    others = {tensor.name for tensor in graph.initializer} | set(
        network.constants if network else ()
    )
    needed = names_needed(graph.node, {wanted}) - others
    return Ends([entry.name for entry in graph.input if entry.name in needed], outputs)


def output_of(path: Path, config: RunConfig) -> str:
    """The output of a file that a config chooses, or the file's first."""
    chosen = config.network.output if isinstance(config.network, Imported) else None
    return chosen or ends_of(path, config).outputs[0]

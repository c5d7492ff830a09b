"""``crossmesh export`` of a network with every kind of layer, and what reads it again."""

import numpy as np
import pytest

from crossmesh.emulator.config.loading import load_config, overrides
from tests.emulator.commands.cases import LAYERS, Case, of_layers
from tests.emulator.commands.shell import done

pytestmark = pytest.mark.slow

EXACT = {
    "tile.cell": {"kind": "ideal"},
    "tile.read": {
        "noise_management": "none", "bound_management": "none", "dac": None, "adc": None,
        "output_noise": 0.0,
    },
}  # fmt: skip
KINDS = [case for case in of_layers() if case.name.removeprefix("network: ") in LAYERS]


@pytest.mark.parametrize("case", KINDS, ids=str)
def test_a_network_goes_out_and_comes_back(case: Case, desk, tmp_path):
    """From its devices to ONNX and NPZ, and from each to tiles that add nothing of their own."""
    run, onnx, npz = (tmp_path / name for name in ("run", "net.onnx", "net.npz"))
    done("train", "small.yaml", *case.options, "--run-dir", run, "--quiet", folder=desk)
    reported = done("export", run, "--onnx", onnx, "--npz", npz, "--json", folder=desk).answer
    assert reported["weights"] > 0

    def tested(**fields):
        words = [word for text in overrides({**EXACT, **fields}) for word in ("--set", text)]
        config = done("configs", "show", "small.yaml", *case.options, *words, folder=desk).out
        (desk / "exact.yaml").write_text(config)
        return done("evaluate", "exact.yaml", "--json", "--quiet", folder=desk).answer

    from_weights = tested(weights=str(npz))
    from_network = tested(network={"onnx": str(onnx)})
    assert from_network["test_loss"] == pytest.approx(from_weights["test_loss"], rel=1e-4)
    assert from_network["test_accuracy"] == from_weights["test_accuracy"]
    config = load_config(desk / "exact.yaml")
    loss = loss_of(onnx, config, desk)
    assert from_network["test_loss"] == pytest.approx(loss, rel=1e-4)


def loss_of(onnx, config, desk):
    """Cross-entropy of the test examples by another program that reads the model."""
    runtime = pytest.importorskip("onnxruntime")
    from crossmesh.emulator.data import load

    data = load(config.data.model_copy(update={"file": desk / (config.data.file or "")}))
    test = data.test.first(config.training.test_examples)
    session = runtime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    shape = [-1, *(size for size in given.shape[1:])]
    kind = {"tensor(float)": np.float32, "tensor(int64)": np.int64}[given.type]
    x = np.ascontiguousarray(test.inputs).astype(kind).reshape(shape)
    (logits,) = session.run(None, {given.name: x})
    logits = logits.reshape(-1, logits.shape[-1]).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -shares[np.arange(len(shares)), np.asarray(test.targets).reshape(-1)].mean()

"""``crossmesh calibrate``: a network whose weights no device holds reads as it should again."""

import json

import numpy as np
import pytest

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config, validated
from crossmesh.emulator.training.baseline import train_baseline
from tests.conftest import SHARED
from tests.emulator.commands.shell import done, refused

pytestmark = pytest.mark.slow

NOISY = {"rows": 40, "cols": 20}  # of constant-step devices, with converters and noise
CONFIG = {
    "name": "digits-given",
    "data": {"source": "digits"},
    "network": [
        {"kind": "linear", "outputs": 24, "activation": "relu"},
        {"kind": "linear", "outputs": 10, "activation": "softmax"},
    ],
    "training": {"epochs": 4, "batch": 8, "learning_rate": 0.02},
    "engine": {"kind": "local"},
}
UNEVEN = 8.0  # by which one layer's weights are larger and the other's smaller, for one function


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A config with weights that were trained elsewhere, and what they reach there."""
    folder = tmp_path_factory.mktemp("given")
    twin = train_baseline(prepare(validated(CONFIG)))
    first, second = twin.weights.values()
    np.savez(
        folder / "given.npz",
        **{
            "linear0.weight": UNEVEN * first[:-1].T, "linear0.bias": UNEVEN * first[-1],
            "linear1.weight": second[:-1].T / UNEVEN, "linear1.bias": second[-1],
        },
    )  # fmt: skip
    config = {**CONFIG, "weights": "given.npz", "tile": NOISY}
    (folder / "given.yaml").write_text(json.dumps(config), "utf-8")
    (folder / "float").write_text(str(twin.test().accuracy))
    return folder


@pytest.fixture(scope="module")
def said(folder):
    """What the command says as JSON; the config that it writes is there from then on."""
    return done("calibrate", "given.yaml", "--json", "--quiet", folder=folder).answer


def evaluated(folder, config):
    return done("evaluate", config, "--json", folder=folder)


def test_the_network_reads_as_it_should_again(folder, said):
    """Noise and clipped weights took much of the accuracy, which comes back."""
    wanted = float((folder / "float").read_text())
    before = evaluated(folder, "given.yaml").answer["test_accuracy"]
    after = evaluated(folder, said["config"]).answer["test_accuracy"]
    assert wanted > 0.9
    assert before < wanted - 0.05
    assert after > wanted - 0.015


def test_every_layer_errs_less_and_its_settings_are_said(folder, said):
    for name in ("linear0", "linear1"):
        layer = said["layers"][name]
        assert layer["error"] < layer["error_before"]
        settings = layer["settings"]
        tile = next(
            tile
            for i, each in enumerate(load_config(folder / said["config"]).network)
            if (tile := each.tile) and f"linear{i}" == name
        )
        assert tile.weight_scale == settings["weight_scale"]
        assert list(tile.line_scales) == settings["line_scales"]
    large, small = (said["layers"][name]["settings"]["weight_scale"] for name in said["layers"])
    assert large > 10 * small


def test_costs_are_those_of_the_config_that_was_written(folder, said):
    costs = said["costs"]
    assert costs["result"] == evaluated(folder, said["config"]).answer["test_accuracy"]
    assert costs["exact"] == costs["network"]["results"]["all"]
    assert costs["exact"] == float((folder / "float").read_text())
    for name, cost in costs["layers"].items():
        error = said["layers"][name]["error"]
        assert cost["errors"]["all"] < 1e-9
        assert cost["errors"]["noise"] < 0.9 * error
        assert cost["errors"]["bounds"] < error
        assert cost["errors"]["programming"] == pytest.approx(error, rel=1e-9)  # exact writing
        assert "wires" not in cost["errors"]


def test_neither_batches_nor_engines_change_what_is_chosen(folder, said):
    other = ("training.batch=5", "training.evaluation_batch=7", "engine.kind=ray")
    words = [word for text in other for word in ("--set", text)]
    where = ("--out", "other.yaml", "--test-examples", "0", "--json", "--quiet")
    again = done("calibrate", "given.yaml", *words, *where, folder=folder).answer
    assert again["layers"] == said["layers"]
    assert again["costs"] is None


def test_a_config_may_ask_for_it(folder, said):
    """It is calibrated before all else, and a run keeps what was chosen."""
    config = {**json.loads((folder / "given.yaml").read_text()), "calibrate": True}
    (folder / "asks.yaml").write_text(json.dumps(config), "utf-8")
    one, other = evaluated(folder, "asks.yaml"), evaluated(folder, said["config"])
    assert one.answer == other.answer
    assert "calibrated on 256 examples: the largest error of a layer's outputs was " in one.err
    inputs = prepare(load_config(folder / "asks.yaml")).dataset.test.inputs[:8]
    np.savez(folder / "in.npz", input=inputs)
    outputs = []
    for config in ("asks.yaml", said["config"]):
        done("predict", config, "--inputs", "in.npz", "--out", "out.npz", "--quiet", folder=folder)
        outputs.append(np.load(folder / "out.npz"))
    assert outputs[0].files == outputs[1].files
    for name in outputs[0].files:
        np.testing.assert_array_equal(outputs[0][name], outputs[1][name])
    few = ("--examples", 16, "--epochs", 1, "--json", "--quiet")
    done("train", "asks.yaml", "--run-dir", "asked", *few, folder=folder)
    kept = load_config(folder / "asked" / "config.yaml")
    assert not kept.calibrate
    assert [layer.tile.line_scales is not None for layer in kept.network] == [True, True]


def test_evaluate_says_what_train_says_of_weights_that_no_device_holds(folder, said):
    line = (
        " of the given weights of linear0 exceed the range of its devices; tile.weight_scale=auto "
        "covers the largest, calibrate=true chooses what errs least"
    )
    few = ("--examples", 8, "--epochs", 1, "--run-dir", "warned")
    assert line in " ".join(evaluated(folder, "given.yaml").err.split())
    assert line in " ".join(done("train", "given.yaml", *few, folder=folder).err.split())


def test_tables_for_people(folder, said):
    out = done("calibrate", "given.yaml", "--quiet", "--test-examples", 50, folder=folder).out
    for words in ("weight scale", "bit lines", "ADC range", "test accuracy of 50 examples",
                  "all layers", "converters", "config: digits-given-calibrated.yaml"):  # fmt: skip
        assert words in out


def test_a_fixed_input_range_is_found_where_nothing_scales_inputs(folder):
    """A DAC without noise management clips inputs beyond its range; here all are 40 times it."""
    sets = ("tile.read.noise_management=none", "data.file=large.npz", "data.source=npz")
    data = prepare(validated(CONFIG)).dataset
    arrays = {
        f"{what}_{part}": values
        for part, examples in (("train", data.train), ("test", data.test))
        for what, values in (("x", 40 * examples.inputs), ("y", examples.targets))
    }
    np.savez(folder / "large.npz", **arrays)
    words = [word for text in sets for word in ("--set", text)]
    where = ("--out", "large.yaml", "--test-examples", "0", "--json", "--quiet")
    found = done("calibrate", "given.yaml", *words, *where, folder=folder).answer["layers"]
    read = found["linear0"]["settings"]["read"]
    assert 5 < read["input_range"] <= 40
    assert found["linear0"]["error"] < 0.2 * found["linear0"]["error_before"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--set", "weights=null"], "calibrate must be for a network with given weights "
         "(network.onnx or weights), got weights that are drawn"),
        (["--examples", "0"], "--examples must be at least 1, got 0"),
        (["--test-examples", "-1"], "--test-examples must be at least 0, got -1"),
        (["--set", "tile.line_scales=[1.0, 2.0]"], "network.0.tile.line_scales must have a value "
         "for each of the 24 bit lines, got 2 (layer linear0)"),
        (["--out", "missing/x.yaml"], "--out must be in an existing folder, got missing/x.yaml"),
    ],
)  # fmt: skip
def test_what_is_refused(folder, words, line):
    few = () if "--examples" in words else ("--examples", "4")
    none = () if "--test-examples" in words else ("--test-examples", "0")
    said = refused("calibrate", "given.yaml", *few, *none, *words, folder=folder)
    assert said == f"error: {line}"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the folder shared/ beside the repository")
@pytest.mark.parametrize(
    "tile",
    [
        {},
        {"rows": 128, "cols": 128, "cell": {"kind": "exp_step"},
         "read": {"adc": {"bits": 8, "range": 12.0}}},
    ],
    ids=["default", "readme"],
)  # fmt: skip
def test_a_trained_cnn_comes_within_a_point_and_a_half_of_float(tile, tmp_path):
    config = {
        "name": "cnn",
        "data": {"source": "mnist", "directory": str(SHARED / "data" / "mnist")},
        "network": {"onnx": str(SHARED / "faults" / "cases" / "pretrained-mnist-cnn.onnx")},
        "tile": tile,
        "training": {"test_examples": 1000},
        "engine": {"kind": "local"},
    }
    (tmp_path / "cnn.yaml").write_text(json.dumps(config), "utf-8")
    before = evaluated(tmp_path, "cnn.yaml").answer["test_accuracy"]
    said = done("calibrate", "cnn.yaml", "--test-examples", 0, "--json", folder=tmp_path).answer
    after = evaluated(tmp_path, said["config"]).answer["test_accuracy"]
    assert before < 0.8
    assert after >= 0.929 - 0.015

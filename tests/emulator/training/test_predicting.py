"""``crossmesh predict``: outputs of runs, configs and ONNX files for inputs without targets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import crossmesh
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.compiler.resolving import resolve
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.data import load
from crossmesh.emulator.data.digits import FILE
from tests.emulator.commands.shell import done, refused
from tests.emulator.training.predicted import LOCAL, predicted
from tests.layers_oracle import evaluate

ROOT = Path(__file__).parents[3]
IMAGES = np.load(FILE)["images"]
NAMES = ("linear1", "classes", "shares")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a trained run and some digits."""
    folder = tmp_path_factory.mktemp("predict")
    options = (*LOCAL, "--examples", 400, "--epochs", 1, "--quiet", "--run-dir", "run")
    done("train", "digits", *options, "--set", "training.baseline=false", folder=folder)
    np.savez(folder / "few.npz", x=IMAGES[:5])
    np.savez(folder / "many.npz", x=IMAGES[:70])
    return folder


def test_outputs_are_those_that_evaluate_tests(folder):
    """Of the same reads, but for the rounding of products of other numbers of rows."""
    config = crossmesh.RunDirectory.existing(folder / "run").config()
    test = load(config.data).test
    np.savez(folder / "test.npz", x=test.kept.reshape(-1, 8, 8))
    found = predicted(folder, "run", "test.npz", "--top", 1)
    tested = done("evaluate", "run", *LOCAL, "--json", "--quiet", folder=folder).answer

    right = found["classes"][:, 0] == test.targets
    assert right.mean() == pytest.approx(tested["test_accuracy"], abs=0.01)
    shares = found["linear1"][np.arange(len(test)), test.targets]
    assert -np.log(shares).mean() == pytest.approx(tested["test_loss"], rel=1e-3)


@pytest.mark.parametrize("options", [(), ("--set", "training.evaluation_batch=3")])
def test_an_output_does_not_depend_on_how_many_there_are(folder, options):
    few = predicted(folder, "run", "few.npz", "--top", 2, *options)
    many = predicted(folder, "run", "many.npz", "--top", 2)

    for name in NAMES:
        np.testing.assert_array_equal(few[name], many[name][:5])
    assert not np.array_equal(few["linear1"], predicted(folder, "digits", "few.npz")["linear1"])


@pytest.mark.slow
@pytest.mark.ray
def test_ray_gives_the_same_bits(folder):
    here = predicted(folder, "run", "many.npz", "--top", 2)
    command = [
        sys.executable, "-m", "crossmesh", "predict", "run", "--inputs", "many.npz",
        "--out", "ray.npz", "--top", "2", "--engine", "ray", "--quiet", "--json",
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    said = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["arrays"]["linear1"] == [70, 10]
    with np.load(folder / "ray.npz") as there:
        for name in NAMES:
            np.testing.assert_array_equal(there[name], here[name])


def test_ideal_tiles_compute_what_a_formula_does(folder):
    """With the weights as the devices hold them, which ``export`` writes."""
    done("export", "run", "--npz", "weights.npz", "--quiet", folder=folder)
    found = predicted(folder, "run", "few.npz", "--ideal", "--top", 3)
    layers = resolve(crossmesh.RunDirectory(folder / "run").config()).layers
    with np.load(folder / "weights.npz") as weights:
        wanted = evaluate(layers, dict(weights), IMAGES[:5].reshape(5, -1) / 16)

    np.testing.assert_allclose(found["linear1"], wanted, rtol=1e-4, atol=1e-6)
    order = np.argsort(-wanted, axis=1)[:, :3]
    np.testing.assert_array_equal(found["classes"], order)
    np.testing.assert_array_equal(
        found["shares"], np.take_along_axis(found["linear1"], found["classes"], axis=1)
    )


def test_memories_drift(folder):
    found = predicted(folder, "run", "few.npz", "--after", "1s,1y", "--top", 1)
    other = predicted(folder, "run", "few.npz", "--after", "1y", "--uncompensated")

    assert found["after_s"].tolist() == [1, 365 * 86400]
    assert found["linear1"].shape == (2, 5, 10)
    assert found["classes"].shape == (2, 5, 1)
    assert not np.array_equal(found["linear1"][0], found["linear1"][1])
    assert not np.array_equal(found["linear1"][1], other["linear1"][0])


def test_tables_go_in_and_out(folder):
    flat = IMAGES[:5].reshape(5, -1)
    numbers = {f"p{i}": flat[:, i] for i in range(flat.shape[1])}
    pq.write_table(pa.table({**numbers, "label": [0] * 5}), folder / "few.parquet")
    given = ("--inputs", "few.parquet", "--out", "out.parquet", "--after", "1s,1d", "--quiet")
    done("predict", "run", *given, *LOCAL, "--top", 2, folder=folder)
    table = pq.read_table(folder / "out.parquet")
    wanted = predicted(folder, "run", "few.npz", "--after", "1s,1d", "--top", 2)

    assert table.column_names == ["after_s", "example", *NAMES]
    assert table["after_s"].to_pylist() == [1] * 5 + [86400] * 5
    assert table["example"].to_pylist() == [*range(5), *range(5)]
    for name in NAMES:
        np.testing.assert_array_equal(
            np.array(table[name].to_pylist(), np.float32), wanted[name].reshape(10, -1)
        )


def test_arrays_in_python(folder):
    config = load_config(folder / "run" / "config.yaml", ["engine.kind=local"])
    found = crossmesh.predict(config, IMAGES[:5], top=1)
    wanted = predicted(folder, "digits", "few.npz", "--top", 1)

    assert repr(found).startswith("Prediction(linear1='float32 (5, 10)'")
    for name in NAMES:
        np.testing.assert_array_equal(found.arrays[name], wanted[name])
    named = crossmesh.predict(config, {"other": IMAGES, "input": IMAGES[:5] / 16.0})
    np.testing.assert_array_equal(named.outputs, found.outputs)


@pytest.mark.parametrize("kept", [np.uint8, np.float32])
def test_inputs_are_prepared_as_examples_are(kept, tmp_path):
    """Cropped, scaled and standardised: the training examples themselves give the same outputs."""
    x = np.random.default_rng(1).integers(0, 200, (12, 6, 6)).astype(kept)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=np.arange(12) % 3)
    np.savez(tmp_path / "in.npz", input=x[:4], x=x)
    fields = {
        "name": "prepared",
        "data": {
            "source": "npz", "file": str(tmp_path / "data.npz"), "standardise": True,
            "test_fraction": 0.25, "crop": {"rows": [1, 5], "columns": [0, 6]},
        },
        "network": [{"kind": "linear", "outputs": 3, "activation": "softmax"}],
        "engine": {"kind": "local"},
    }  # fmt: skip
    config = load_config(fields)
    found = crossmesh.predict(config, tmp_path / "in.npz", ideal=True)
    train = load(config.data.model_copy(update={"standardise": False})).train.inputs
    wanted = x[:4, 1:5].reshape(4, -1) / (255.0 if kept == np.uint8 else 1.0)
    wanted = (wanted - train.mean()) / train.std()
    job = prepare(config)
    matrix = job.weights("linear0", (0, 0), (25, 3))
    weights = {"linear0.weight": matrix[:24].T, "linear0.bias": matrix[24]}
    np.testing.assert_allclose(
        found.outputs, evaluate(job.layers, weights, wanted), rtol=1e-4, atol=1e-6
    )


REFUSED = {
    "few.npz --out out.csv": "--out must be a file .npz or .parquet, got out.csv",
    "few.npz --out no/out.npz": "--out must be in an existing folder, got no/out.npz",
    "few.npz --out out.npz --top 11": "--top must be from 1 to the 10 outputs, got 11",
    "few.npz --out out.npz --top 0": "--top must be from 1 to the 10 outputs, got 0",
    "few.npz --out out.npz --after 1s --ideal": "--after must come without --ideal, got both",
    "few.npz --out out.npz --inference pcm": "--inference must come with --after, got it without",
    "few.npz --out out.npz --after 1s --inference pcn": "--inference must be of pcm",
    "none.npz --out out.npz": "inputs must be a file, got none.npz",
    "text.npz --out out.npz": "inputs must be an npz archive or a .parquet table, got text.npz",
    "two.npz --out out.npz": "inputs must hold input, or one array only, got a, b in two.npz",
    "flat.npz --out out.npz": "inputs must hold one or more examples, numbers (examples, inputs...)"
    " in x of flat.npz, got float64 (4,)",
    "wide.npz --out out.npz": "inputs must hold examples of the network's shape (8, 8) in x of "
    "wide.npz, got float64 (4, 9, 8)",
    "nan.npz --out out.npz": "inputs must hold finite float32 numbers in x of nan.npz, got nan",
}  # fmt: skip


@pytest.mark.parametrize("kept", [np.uint8, np.float32])
@pytest.mark.parametrize("damage", [None, "{", '{"shape": [0]}'])
def test_a_run_needs_its_data_no_more(kept, damage, tmp_path):
    """What it says of its inputs is enough; if that is gone, the data says the same."""
    x = np.random.default_rng(2).integers(0, 9, (12, 2, 3, 3)).astype(kept)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=np.arange(12) % 3)
    np.savez(tmp_path / "in.npz", x=x[:4])
    (tmp_path / "small.yaml").write_text("""
name: small
data: {source: npz, file: data.npz, standardise: true}
network:
  - {kind: conv, outputs: 3, kernel: 2}
  - {kind: linear, outputs: 3, activation: softmax}
engine: {kind: local}
""")
    done("train", "small.yaml", "--run-dir", "run", "--quiet", folder=tmp_path)
    before = predicted(tmp_path, "run", "in.npz")["linear1"]
    if damage is None:
        (tmp_path / "data.npz").unlink()
    else:
        (tmp_path / "run" / "inputs.json").write_text(damage)
    np.testing.assert_array_equal(predicted(tmp_path, "run", "in.npz")["linear1"], before)
    assert not np.array_equal(before[0], before[1])


@pytest.mark.parametrize("options", REFUSED)
def test_what_makes_no_sense_is_refused(folder, options):
    np.savez(folder / "two.npz", a=IMAGES[:2], b=IMAGES[:2])
    np.savez(folder / "flat.npz", x=np.zeros(4))
    np.savez(folder / "wide.npz", x=np.zeros((4, 9, 8)))
    np.savez(folder / "nan.npz", x=np.full((4, 8, 8), np.nan))
    (folder / "text.npz").write_text("no archive")
    words = options.split()
    sentence = refused("predict", "run", "--inputs", *words, *LOCAL, "--quiet", folder=folder)

    assert sentence.startswith(f"error: {REFUSED[options]}")


def test_a_network_without_a_run_is_refused(folder):
    options = ("--inputs", "few.npz", "--out", "out.npz", *LOCAL)
    sentence = refused("predict", "none.onnx", *options, folder=folder)
    assert sentence == "error: WHAT must be a file, got none.onnx"
    sentence = refused("predict", ".", *options, folder=folder)
    assert sentence == "error: RUN must be a run directory with a config.yaml, got ."
    named = load_config("digits").model_dump(mode="json")
    named["network"][-1]["name"] = "shares"
    with pytest.raises(crossmesh.ConfigError, match="another name than classes, shares, after_s"):
        crossmesh.predict(load_config(named), IMAGES[:2])
    (folder / "text.onnx").write_text("no model")
    sentence = refused("predict", "text.onnx", *options, folder=folder)
    assert sentence.startswith("error: WHAT must be an ONNX model, got text.onnx (")

"""Training from Python: configs, data in memory, results."""

import subprocess
import sys

import matplotlib.figure
import numpy as np
import pytest
import yaml

import crossmesh
from crossmesh.common.errors import ConfigError, DataError
from tests.jobs import run_folder, small_config

X = np.random.default_rng(3).normal(size=(24, 4)).astype(np.float32)
Y = np.arange(24) % 3
CONFIG = {
    "name": "mine", "engine": {"kind": "local"}, "training": {"learning_rate": 0.1},
    "network": [{"kind": "linear", "outputs": 3, "activation": "softmax"}],
}  # fmt: skip


def trained(data, directory=False, **options):
    return crossmesh.train(CONFIG, directory, data=data, quiet=True, **options)


def test_a_config_takes_fields_as_mappings_lists_and_keywords():
    forms = [
        crossmesh.load_config("digits", training={"epochs": 3}, seed=4),
        crossmesh.load_config("digits", {"training.epochs": 3, "seed": 4}),
        crossmesh.load_config("digits", {"training": {"epochs": 3}, "seed": 4}),
        crossmesh.load_config("digits", ["training.epochs=3", "seed=4"]),
        crossmesh.load_config("digits", "training.epochs=1", training={"epochs": 3}, seed=4),
    ]
    assert forms[0].training.epochs == 3
    assert all(form == forms[0] for form in forms)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ("epochs", "overrides must be like a.b=value, got epochs"),
        ({3: 4}, 'overrides must be like {"training.epochs": 3}, got 3'),
        ([3], 'overrides must be like "training.epochs=3", got 3'),
    ],
)
def test_a_wrong_override_is_told_in_terms_of_python(overrides, sentence):
    with pytest.raises(ConfigError) as caught:
        crossmesh.load_config("digits", overrides)
    assert str(caught.value) == sentence


def test_arrays_train_as_the_same_arrays_of_a_file_do(tmp_path):
    parts = (X[:18], Y[:18], X[18:], Y[18:])
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(tmp_path / "data.npz", **dict(zip(names, parts, strict=True)))
    file = {**CONFIG, "data": {"source": "npz", "file": str(tmp_path / "data.npz")}}
    expected = crossmesh.train(file, False, quiet=True)
    (tmp_path / "data.npz").unlink()
    for data in (
        parts,
        [*parts],
        dict(zip(names, parts, strict=True)),
        [p.tolist() for p in parts],
    ):
        result = trained(data)
        assert result.state_digest == expected.state_digest
        assert result.test_loss == expected.test_loss


def test_a_run_keeps_its_arrays_and_is_resumed_anywhere_without_them(tmp_path):
    whole = trained((X, Y))
    first = trained((X, Y), tmp_path / "run")
    assert (first.path / "data.npz").stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load((first.path / "config.yaml").read_text())["data"]["file"] == "data.npz"
    moved = first.path.rename(tmp_path / "moved")
    resumed = crossmesh.resume(moved, training={"epochs": 2}, quiet=True)
    assert resumed.history["loss"].to_pylist()[: len(whole.history)] == (
        whole.history["loss"].to_pylist()
    )
    with pytest.raises(ConfigError, match="data must be those that step-"):
        crossmesh.resume(moved, {"training.epochs": 3}, data=(X + 1, Y), quiet=True)


def test_a_run_that_keeps_no_arrays_needs_them_again(tmp_path):
    first = trained((X, Y), tmp_path / "run", keep_data=False)
    assert "data.npz" not in run_folder(first.path)
    with pytest.raises(DataError, match=r"data.file must be a file, got .*/run/data.npz"):
        crossmesh.resume(first.path, training={"epochs": 2}, quiet=True)
    again = crossmesh.resume(first.path, training={"epochs": 2}, data=(X, Y), quiet=True)
    assert again.epochs == 2


@pytest.mark.slow
@pytest.mark.ray
def test_arrays_train_alike_on_ray(tmp_path):
    """The directory moves in between, so that nothing is left where actors found it."""
    on_ray = CONFIG | {"engine": {"kind": "ray"}}
    first = crossmesh.train(on_ray, tmp_path / "run", data=(X, Y), quiet=True)
    assert first.emulation.engine == "ray"
    assert first.state_digest == trained((X, Y)).state_digest
    moved = first.path.rename(tmp_path / "moved")
    resumed = crossmesh.resume(moved, training={"epochs": 2}, quiet=True)
    longer = CONFIG | {"training": {"epochs": 2, "learning_rate": 0.1}}
    local = crossmesh.train(longer, False, data=(X, Y), quiet=True)
    assert resumed.emulation.engine == "ray"
    assert resumed.state_digest == local.state_digest


def test_tensors_and_datasets_of_pytorch_train_as_their_arrays_do():
    torch = pytest.importorskip("torch")
    tensors = [torch.as_tensor(part) for part in (X[:18], Y[:18], X[18:], Y[18:])]
    tensors[0].requires_grad_()
    train, test = (torch.utils.data.TensorDataset(*tensors[i : i + 2]) for i in (0, 2))
    expected = trained((X[:18], Y[:18], X[18:], Y[18:])).state_digest
    assert trained(tensors).state_digest == expected
    assert trained((train, test)).state_digest == expected
    assert trained(train).examples_trained == 14  # the others are set aside for the test


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_data_frames_train_as_their_columns_do(package):
    frames = pytest.importorskip(package)
    names = np.array(["cat", "ant", "bee"])[Y]
    columns = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "d": X[:, 3]}
    frame = frames.DataFrame({**columns, "kind": names})
    expected = trained((X, np.searchsorted(["ant", "bee", "cat"], names))).state_digest
    assert trained(frame, target="kind").state_digest == expected
    assert trained((frame[:18], frame[18:]), target="kind").examples_trained == 18
    assert trained((frame[["a", "b", "c", "d"]], frame["kind"])).state_digest == expected
    with pytest.raises(DataError, match="target must be one of a, b, c, d, kind, got knd; did you"):
        trained(frame, target="knd")
    with pytest.raises(DataError, match="numbers in all input columns, got text in kind"):
        trained(frame, target="a")
    with pytest.raises(DataError, match="target must name the column to learn, one of a, b, c, d"):
        trained(frame)


@pytest.mark.parametrize(
    ("data", "options", "sentence"),
    [
        ((X, Y, X), {}, "data must be (x_train, y_train, x_test, y_test), "),
        ((X, Y, X), {}, "or data frames (train, test) with target=COLUMN, got 3 parts (ndarray, n"),
        (X, {}, "got ndarray"),
        ((), {}, "got nothing"),
        ((X, Y), {"target": "kind"}, "target must come with data frames only, got 2 parts (ndarra"),
        ((X, Y[:3]), {}, "as many entries as there are examples (24) in y_train of the arrays"),
        ((X, np.array(["a", None] * 12)), {}, "got object (24,)"),
        ({"x_train": X}, {}, "data must hold y_train, got x_train in the arrays"),
    ],
)
def test_other_data_are_refused_in_a_line(data, options, sentence):
    with pytest.raises(DataError) as caught:
        trained(data, **options)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_and_truth_values_are_classes():
    def classes(labels):
        return crossmesh.train(CONFIG, False, data=(X, labels, X, labels), quiet=True).state_digest

    assert classes(Y == 1) == classes((Y == 1).astype(int))
    assert classes(np.array(["b", "c", "a"])[Y]) == classes(np.array([1, 2, 0])[Y])


def test_a_run_goes_to_a_folder_of_its_name_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "mine-2"):
        assert trained((X, Y), None).path.as_posix() == f"runs/{name}"
    assert trained((X, Y), False).path is None


def test_a_result_is_plotted_asked_and_read_again(tmp_path):
    result = trained((X, Y), tmp_path / "run")
    figure = result.plot(tmp_path / "curve.svg")
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")
    assert result.predict(X[:3], top=1).classes.shape == (3, 1)
    read = crossmesh.Result.read(tmp_path / "run")
    assert repr(read) == repr(result)
    assert read.history == result.history
    assert result.best.test_accuracy == result.test_accuracy
    assert f"<td style='text-align:left'>{result.path}</td>" in result._repr_html_()
    with pytest.raises(ConfigError, match=r"file must end in .png, .svg, .pdf, got .*curve.gif"):
        result.plot(tmp_path / "curve.gif")
    with pytest.raises(
        ConfigError, match=r"must be that of a finished run, got .*no \(it is not f"
    ):
        crossmesh.Result.read(tmp_path / "no")
    with pytest.raises(ConfigError, match="directory must be given to train for predictions"):
        trained((X, Y)).predict(X)
    with pytest.raises(ConfigError, match="top must be from 1 to the 3 outputs, got 4"):
        result.predict(X, top=4)


def test_a_fast_dev_run_does_everything_on_eight_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = small_config(schedule="synchronous", training={"baseline": True, "epochs": 9})
    result = crossmesh.train(config, fast_dev_run=True, quiet=True)
    assert (result.examples_trained, result.epochs) == (12, 1)  # in whole batches
    assert result.path.name == "small-fast-dev-run"
    assert {"summary.json", "links.parquet"} <= run_folder(result.path)
    assert result.baseline_test_accuracy is not None
    assert crossmesh.predict(result.path, np.zeros((2, 8, 8))).outputs.shape == (2, 10)


def test_progress_is_shown_on_standard_error_unless_quiet(capsys):
    crossmesh.train(CONFIG, False, data=(X, Y))
    shown = capsys.readouterr()
    assert "epoch 1: loss" in shown.err
    trained((X, Y))
    assert capsys.readouterr() == ("", "")
    assert shown.out == ""


def test_importing_takes_no_packages_that_need_time():
    code = "import sys, crossmesh.callbacks; print({'matplotlib', 'ray', 'onnx'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

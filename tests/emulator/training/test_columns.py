"""Several inputs of an example, and arrays in memory."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import crossmesh
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.data import DataConfig, load

A = np.random.default_rng(3).normal(size=(9, 2, 3))
B = np.random.default_rng(4).integers(0, 256, (9, 4)).astype(np.uint8)
ROWS = np.hstack([A.reshape(9, 6), B / 255]).astype(np.float32)
LABELS = np.arange(9) % 3


def columns(folder, source):
    """Two inputs in a file, and the data section that names them."""
    if source == "npz":
        fortran = np.asfortranarray(A)
        np.savez(folder / "data.npz", a_train=fortran, b_train=B, y_train=LABELS)
    else:
        table = {"b": list(B), "label": LABELS, "a": list(A.reshape(9, 6))}
        pq.write_table(pa.table(table), folder / "data.parquet")
    return {"source": source, "file": str(folder / f"data.{source}"), "columns": ["a", "b"]}


@pytest.mark.parametrize("source", ["npz", "parquet"])
def test_several_inputs_lie_behind_each_other(source, tmp_path):
    fields = columns(tmp_path, source)
    dataset = load(DataConfig.model_validate(fields))
    shape = (2, 3) if source == "npz" else (6,)

    rows = {tuple(row): label for row, label in zip(ROWS.tolist(), LABELS, strict=True)}
    for part in (dataset.train, dataset.test):
        assert [rows[tuple(row)] for row in part.inputs.tolist()] == part.targets.tolist()
    assert len(dataset.train) + len(dataset.test) == 9
    assert [(c.name, c.shape, c.start, c.stop) for c in dataset.columns] == [
        ("a", shape, 0, 6), ("b", (4,), 6, 10),
    ]  # fmt: skip


def test_several_inputs_are_predicted_by_their_names(tmp_path):
    fields = {
        "name": "several", "data": columns(tmp_path, "npz"), "engine": {"kind": "local"},
        "network": [{"kind": "linear", "outputs": 3, "activation": "softmax"}],
    }  # fmt: skip
    config = load_config(fields)
    trained = crossmesh.train(config, tmp_path / "run")
    assert trained.examples_trained == 7
    run = crossmesh.RunDirectory(tmp_path / "run")
    found = crossmesh.predict(run, {"b": B, "other": LABELS, "a": A})
    rows = crossmesh.predict(run, ROWS)
    np.savez(tmp_path / "in.npz", b=B, a=A)
    pq.write_table(pa.table({"b": list(B), "a": list(A.reshape(9, 6))}), tmp_path / "in.parquet")

    np.testing.assert_array_equal(found.outputs, rows.outputs)
    for name in ("in.npz", "in.parquet"):
        same = crossmesh.predict(run, tmp_path / name)
        np.testing.assert_array_equal(found.outputs, same.outputs)
    with pytest.raises(crossmesh.DataError, match=r"inputs must hold a, b, got b in the arrays"):
        crossmesh.predict(run, {"b": B})
    with pytest.raises(crossmesh.DataError, match=r"as many examples in each in a, b, got a float"):
        crossmesh.predict(run, {"b": B[:3], "a": A})


REFUSED = {
    "tokens": (7, "data.tokens must be left out beside columns, got 7"),
    "standardise": (True, "data.standardise must be left out beside columns, got True"),
    "columns": (["a", "a"], "data.columns must differ, got a, a"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_of_one_input_are_refused_for_several(name, tmp_path):
    value, rule = REFUSED[name]
    fields = {
        "name": "several", "data": columns(tmp_path, "npz") | {name: value},
        "network": [{"kind": "linear", "outputs": 3, "activation": "softmax"}],
    }  # fmt: skip
    with pytest.raises(crossmesh.ConfigError) as raised:
        load_config(fields)
    assert rule.removeprefix("data.") in str(raised.value)


def test_a_missing_column_is_named(tmp_path):
    fields = columns(tmp_path, "npz") | {"columns": ["a", "c"]}
    with pytest.raises(crossmesh.DataError, match=r"data.file must hold c_train, got a_train, b_"):
        load(DataConfig.model_validate(fields))
    fields = columns(tmp_path, "parquet") | {"columns": ["a", "c"]}
    with pytest.raises(crossmesh.DataError, match=r"data.file must have the column c, got b, lab"):
        load(DataConfig.model_validate(fields))


def test_arrays_in_memory_train_as_a_file_does(tmp_path):
    x = np.random.default_rng(5).integers(0, 256, (20, 3, 4)).astype(np.uint8)
    y = np.arange(20) % 4
    np.savez(tmp_path / "data.npz", x_train=x[:15], y_train=y[:15], x_test=x[15:], y_test=y[15:])
    fields = {
        "name": "memory", "engine": {"kind": "local"},
        "data": {"source": "npz", "file": str(tmp_path / "data.npz"), "standardise": True},
        "network": [{"kind": "linear", "outputs": 4, "activation": "softmax"}],
    }  # fmt: skip
    from_file = crossmesh.train(load_config(fields), False)
    config = load_config({**fields, "data": {"source": "synthetic", "inputs": 2}})
    config = config.model_copy(update={"data": load_config(fields).data})
    arrays = (x[:15], y[:15], x[15:], y[15:])
    (tmp_path / "data.npz").unlink()
    directory = crossmesh.RunDirectory(tmp_path / "run")
    result = crossmesh.train(config, directory, data=arrays)

    assert result.state_digest == from_file.state_digest
    assert result.test_loss == from_file.test_loss
    again = crossmesh.evaluate(directory, directory.config(), print, data=arrays)
    assert again["test_loss"] == result.test_loss
    with pytest.raises(crossmesh.ConfigError, match="data must be those that step-"):
        crossmesh.evaluate(directory, directory.config(), print, data=(x, y))
    assert crossmesh.predict(directory, x[15:]).outputs.shape == (5, 4)
    with pytest.raises(crossmesh.DataError, match="data must hold y_train, got x_train in the arr"):
        crossmesh.train(config, False, data={"x_train": x})

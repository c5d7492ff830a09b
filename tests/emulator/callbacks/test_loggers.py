"""Loggers write what the run has measured, read back by the programs that they write for."""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import crossmesh
from crossmesh.callbacks import CsvLogger, MLflowLogger, TensorBoardLogger
from crossmesh.common.errors import ConfigError, RunError
from tests.emulator.commands.shell import crossmesh as command
from tests.jobs import small_config


def trained(folder, *loggers, **training):
    config = small_config(training={"log_every": 10, **training})
    return crossmesh.train(config, folder, callbacks=loggers, quiet=True)


def losses(result):
    return [round(value, 4) for value in result.history["loss"].to_pylist()]


def test_csv_has_the_rows_of_the_metrics_also_after_a_resume(tmp_path):
    first = trained(tmp_path / "run", CsvLogger(), epochs=1)
    crossmesh.resume(first.path, training={"epochs": 2}, callbacks=[CsvLogger()], quiet=True)
    whole = crossmesh.Result.read(first.path)
    with (first.path / "metrics.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [round(float(row["loss"]), 4) for row in rows] == losses(whole)
    assert [row["epoch"] for row in rows if row["test_loss"]] == ["1", "2"]


def test_tensorboard_shows_the_losses_over_examples(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = trained(tmp_path / "run", TensorBoardLogger())
    found = EventAccumulator(str(result.path / "tensorboard"))
    found.Reload()
    loss = [found.Tensors(tag) for tag in found.Tags()["tensors"] if tag == "loss"]
    assert [event.step for event in loss[0]] == result.history["examples"].to_pylist()
    values = [round(event.tensor_proto.float_val[0], 4) for event in loss[0]]
    assert values == losses(result)


@pytest.mark.slow  # its database takes seconds to make
def test_mlflow_has_config_metrics_and_result(tmp_path):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    where = f"sqlite:///{tmp_path}/mlflow.db"
    code = f"""
import json, crossmesh
from crossmesh.callbacks import MLflowLogger
from tests.jobs import small_config
from mlflow import MlflowClient
logger, config = MLflowLogger(tracking_uri={where!r}), small_config(training={{"log_every": 10}})
result = crossmesh.train(config, False, callbacks=[logger], quiet=True)
client = MlflowClient({where!r})
[run] = client.search_runs([client.get_experiment_by_name("crossmesh").experiment_id])
loss = client.get_metric_history(run.info.run_id, "loss")
assert run.info.status == "FINISHED"
assert run.data.params["tile.rows"] == "19"
assert run.data.metrics["result.test_loss"] == result.test_loss
print(json.dumps([[m.step for m in loss], result.history["examples"].to_pylist()]))
"""
    steps, examples = json.loads(_done(code, tmp_path).splitlines()[-1])
    assert steps == examples


@pytest.mark.slow  # it starts a process of its own
def test_weights_and_biases_logs_offline(tmp_path):
    pytest.importorskip("wandb")
    code = """
import crossmesh, wandb
from crossmesh.callbacks import WandbLogger
from tests.jobs import small_config
logger = WandbLogger(options={"mode": "offline", "settings": wandb.Settings(silent=True)})
crossmesh.train(small_config(), "run", callbacks=[logger], quiet=True)
assert logger._run.config["tile.rows"] == 19
"""
    _done(code, tmp_path)
    result = crossmesh.Result.read(tmp_path / "run")
    [logged] = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    text = logged.read_bytes()
    values = [*result.history["loss"].to_pylist(), result.test_loss]
    assert all(json.dumps(value).encode() in text for value in values)
    assert b"chip.interval_s" in text


def _done(code: str, folder: Path) -> str:
    """What a program prints; its packages start threads and warn of themselves."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_logs_by_names(tmp_path):
    done = command(
        "train", "digits", "--engine", "local", "--fast-dev-run", "--log", "csv", "--json",
        "--quiet", folder=tmp_path,
    )  # fmt: skip
    summary = json.loads(done.out)
    assert (summary["name"], summary["examples_trained"]) == ("digits-fast-dev-run", 8)
    assert (tmp_path / "runs" / "digits-fast-dev-run" / "metrics.csv").is_file()
    refused = command("train", "digits", "--log", "csv,tensorbord", folder=tmp_path)
    assert refused.code == 2
    assert (
        "error: --log must be of csv, tensorboard, mlflow, wandb, got tensorbord; did you mean "
        in (refused.err)
    )


def test_a_package_that_is_missing_is_named_before_the_run(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"mlflow must be installed for MLflowLogger, .*\[mlflow\]"
    ):
        MLflowLogger()


def test_a_logger_that_cannot_start_ends_the_run(tmp_path):
    with pytest.raises(RunError, match=r"CsvLogger.on_start raised FileNotFoundError: "):
        trained(False, CsvLogger(tmp_path / "no" / "metrics.csv"))
    with pytest.raises(ConfigError, match="a place must be given for CsvLogger"):
        trained(False, CsvLogger())

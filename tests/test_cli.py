"""The command as a user types it: processes, exit codes, signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "emulator.cli"]
ENVIRONMENT = {**os.environ, "XDG_DATA_HOME": "", "COLUMNS": "100"}
SMALL = ["train", "digits", "--engine", "local", "--examples", "64", "--epochs", "1"]


def crossmesh(*arguments, cwd=None):
    root = str(Path(__file__).parents[1])
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**ENVIRONMENT, "PYTHONPATH": root},
        check=False,
    )


def test_train_prints_the_summary_and_leaves_a_run(tmp_path):
    done = crossmesh(*SMALL, "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["examples_trained"] == 64
    assert summary == json.loads((tmp_path / "runs" / "digits" / "summary.json").read_text())
    assert "epoch 1: loss " in done.stderr

    again = crossmesh(*SMALL, "--json", "--quiet", cwd=tmp_path)
    assert again.stderr == ""
    assert json.loads(again.stdout)["state_digest"] == summary["state_digest"]
    assert (tmp_path / "runs" / "digits-2").is_dir()

    table = crossmesh("evaluate", "runs/digits", cwd=tmp_path)
    assert f"{100 * summary['test_accuracy']:.2f} %" in table.stdout
    resumed = crossmesh("resume", "runs/digits", "--json", "--quiet", cwd=tmp_path)
    assert json.loads(resumed.stdout)["state_digest"] == summary["state_digest"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "digits", "--set", "tile.rows=0"], "tile.rows must be at least 1, got 0"),
        (["train", "digits", "--examples", "99999"], "training.examples must be at most"),
        (["train", "mnist-ideal", "--data-dir", "/nowhere"], "data.directory must "),
        (["train", "digits", "--address", "127.0.0.1:1"], "engine.address must be host:port"),
        (["train", "nothing"], "config must be a file or a shipped name"),
        (["evaluate", "."], "RUN must be a run directory with a config.yaml, got ."),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_and_leaves_nothing(arguments, sentence, tmp_path):
    done = crossmesh(*arguments, "--quiet" if arguments[0] == "train" else "--json", cwd=tmp_path)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_directory_in_use_is_refused(tmp_path):
    (tmp_path / "file").write_text("precious")
    done = crossmesh(*SMALL, "--run-dir", tmp_path)

    assert done.returncode == 2
    assert "--run-dir must be new or empty, got " in done.stderr
    assert (tmp_path / "file").read_text() == "precious"


def test_lists_and_schema():
    assert "mnist-constant-step" in crossmesh("configs", "list").stdout
    assert "learning_rate: 0.02" in crossmesh("configs", "show", "digits").stdout
    assert json.loads(crossmesh("schema").stdout)["title"] == "RunConfig"
    devices = json.loads(crossmesh("devices", "list", "--json").stdout)
    assert {device["kind"] for device in devices} >= {"ideal", "constant_step", "exp_step"}
    for device in devices:
        assert device["source"]
        assert all(parameter["what"] for parameter in device["parameters"])
    assert "dw_min" in crossmesh("devices", "list").stdout


def test_program_prints_every_record():
    done = crossmesh("program", "digits", "--micro-batches", "1", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]

    assert [row["operation"] for row in rows[:2]] == ["input", "read"]
    assert sum(row["operation"] == "pulse" for row in rows) == 4
    assert crossmesh("program", "digits").stdout.startswith("  tick")


def children(process):
    """Processes below one, by id."""
    table = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = {int(pid): int(parent) for pid, parent in (row.split() for row in table.splitlines())}
    found = {process}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found - {process}
        found |= more


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_in_order_and_resumes_with_the_same_bits(engine, number, tmp_path):
    arguments = ["train", "digits", "--engine", engine, "--epochs", "400", "--set"]
    arguments += ["training.baseline=false", "--run-dir", str(tmp_path / "run")]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,  # a terminal's Ctrl-C reaches the whole group; so does killpg
    )
    checkpoints = tmp_path / "run" / "checkpoints"
    deadline = time.monotonic() + 90
    while len(list(checkpoints.glob("step-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    started = children(process.pid)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "interrupted; go on with: crossmesh resume" in errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]

    done = int(max(checkpoints.glob("step-*")).name.removeprefix("step-")) // 1438
    text = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(
        text.replace("epochs: 400", f"epochs: {done + 1}")
    )
    whole = crossmesh("train", "digits", "--engine", "local", "--epochs", done + 1, "--set",
                      "training.baseline=false", "--json", "--quiet", cwd=tmp_path)  # fmt: skip
    resumed = crossmesh("resume", tmp_path / "run", "--engine", "local", "--json", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    digest = json.loads(resumed.stdout)["state_digest"]
    assert digest == json.loads(whole.stdout)["state_digest"]

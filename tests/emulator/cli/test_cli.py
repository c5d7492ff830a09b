"""The command as a user types it: processes, exit codes, signals."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from crossmesh.emulator.cli import main
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.config.loading import dumped, load_config, shipped
from tests.emulator.commands.shell import refused

COMMAND = [sys.executable, "-m", "crossmesh"]
ENVIRONMENT = {**os.environ, "XDG_DATA_HOME": "", "COLUMNS": "100"}
SMALL = ["train", "digits", "--engine", "local", "--examples", "64", "--epochs", "1"]


def crossmesh(*arguments, cwd=None):
    root = str(Path(__file__).parents[3])
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**ENVIRONMENT, "PYTHONPATH": root},
        check=False,
    )


@pytest.fixture
def run(monkeypatch, capsys):
    """The command within this process: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["crossmesh", *map(str, arguments)])
        return main.run(), *capsys.readouterr()

    return run


@pytest.fixture
def trained(run, monkeypatch):
    """The config that ``crossmesh train`` with some arguments would train."""
    configs = []
    monkeypatch.setattr(
        "crossmesh.emulator.cli.train._train", lambda config, *_, **__: configs.append(config)
    )

    def trained(*arguments):
        assert run("train", *arguments) == (0, "", "")
        return configs.pop()

    return trained


@pytest.mark.slow
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
    quiet = "--quiet" if arguments[0] == "train" else "--json"
    said = refused(*arguments, quiet, folder=tmp_path)  # within this process

    assert sentence in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_mistake_ends_the_process_with_exit_code_2(tmp_path):
    done = crossmesh("train", "nothing", "--quiet", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("error: config must be a file or a shipped name")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_directory_in_use_is_refused(tmp_path):
    (tmp_path / "file").write_text("precious")
    done = crossmesh(*SMALL, "--run-dir", tmp_path)

    assert done.returncode == 2
    assert "--run-dir must be new or empty, got " in done.stderr
    assert (tmp_path / "file").read_text() == "precious"


def test_lists_and_schema(run):
    assert "mnist-constant-step" in run("configs", "list")[1]
    assert "learning_rate: 0.02" in run("configs", "show", "digits")[1]
    assert json.loads(run("schema")[1])["title"] == "RunConfig"
    assert run("--version")[1] == f"crossmesh {version('crossmesh')}\n"
    devices = json.loads(run("devices", "list", "--json")[1])
    assert {device["kind"] for device in devices} >= {"ideal", "constant_step", "exp_step"}
    for device in devices:
        assert device["source"]
        assert all(parameter["what"] for parameter in device["parameters"])
    assert {device["name"] for device in devices} >= {"constant_step", "idealized"}
    assert "dw_min" in run("devices", "show", "constant_step")[1]
    assert "reram-es-gong-2018" in run("devices", "list")[1]


def test_lists_are_what_configs_and_devices_do_by_themselves(run):
    assert run("configs") == run("configs", "list")
    assert run("configs", "--json") == run("configs", "list", "--json")
    assert run("devices") == run("devices", "list")
    assert run("devices", "--json") == run("devices", "list", "--json")
    assert [entry["name"] for entry in json.loads(run("configs", "--json")[1])] == list(shipped())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--bogus"], "error: No such option: --bogus"),
        (["bogus"], "error: No such command 'bogus'."),
        (["train"], "error: Missing argument 'CONFIG'."),
        (["train", "digits", "--bogus"], "error: No such option: --bogus"),
        (["train", "digits", "--epochs", "x"], "error: Invalid value for '--epochs': "),
        (["train", "digits", "--set"], "error: Option '--set' requires an argument."),
        (["configs", "show"], "error: Missing argument 'CONFIG'."),
    ],
)
def test_a_mistake_of_usage_is_one_line_and_exit_code_2(run, arguments, line):
    code, output, errors = run(*arguments)

    assert (code, output) == (2, "")
    assert errors.startswith(line)
    assert len(errors.splitlines()) == 1


def test_help_is_printed_when_asked_for_and_when_nothing_is(run):
    code, output, errors = run("--help")

    assert (code, errors) == (0, "")
    assert "Train neural networks on emulated crossbar tiles." in output
    assert run() == (2, output, "")
    assert run("train", "--help")[0] == 0


def test_an_unforeseen_error_is_one_line_that_names_a_file_with_the_traceback(
    run, monkeypatch, tmp_path
):
    def broken(*arguments):
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("crossmesh.emulator.cli.train.load_config", broken)
    code, output, errors = run("train", "digits")
    (file,) = tmp_path.iterdir()

    assert (code, output) == (1, "")
    said = "ZeroDivisionError: first second; please report it with the file"
    assert errors == f"error: {said} {file}\n"
    assert file.read_text().startswith("Traceback (most recent call last):")


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("engine.tiles_per_actor=0", "engine.tiles_per_actor must be at least 1 or be 'auto' or"),
        ("engine.tiles_per_actor=some", "engine.tiles_per_actor must be a whole number or be"),
        ("engine=5", "engine must be a mapping, got 5"),
        ("seed.x=1", "seed must be a whole number, got {'x': 1}"),
    ],
)
def test_an_option_does_not_hide_what_is_set(run, field, sentence):
    code, _, errors = run("train", "digits", "--engine", "local", "--set", field)

    assert code == 2
    assert errors.startswith(f"error: {sentence}")


def test_a_change_of_engine_keeps_the_fields_that_are_set(trained, tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: digits\nengine: {kind: local, timeout_s: 7}\n")
    address = "engine.address=10.0.0.1:6379"
    config = trained(tmp_path / "mine.yaml", "--set", address, "--engine", "ray")

    assert config.engine == Engine(kind="ray", address="10.0.0.1:6379", timeout_s=7.0)


def test_what_is_set_counts_before_the_options(trained):
    assert trained("digits", "--seed", "1", "--set", "seed=2").seed == 2


@pytest.mark.parametrize("folder", ["1e5", "it's", "a: b", "#", "Größe", "null"])
def test_a_folder_of_any_name_is_taken_as_it_is(trained, folder):
    assert trained("digits", "--data-dir", folder).data.directory == Path(folder)


def test_quiet_evaluation_prints_no_warnings(run, monkeypatch, tmp_path):
    def evaluate(directory, config, warn):
        warn("a checkpoint is damaged")
        return {"test_accuracy": 0.5}

    monkeypatch.setattr("crossmesh.emulator.cli.evaluate.evaluate", evaluate)
    (tmp_path / "config.yaml").write_text(dumped(load_config("digits")))

    assert run("evaluate", tmp_path)[2] == "a checkpoint is damaged\n"
    code, output, errors = run("evaluate", tmp_path, "--quiet")
    assert (code, errors) == (0, "")
    assert "50.00 %" in output


def test_a_signal_while_the_command_loads_ends_it_in_order():
    program = """
import os, signal, sys
from crossmesh.cluster.cli import main

class Finder:
    def find_spec(self, name, *rest):
        if name == "crossmesh.emulator.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
main()
"""
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_program_prints_every_record(run):
    _, output, _ = run("program", "digits", "--micro-batches", "1", "--json")
    rows = [json.loads(line) for line in output.splitlines()]

    assert [row["operation"] for row in rows[:2]] == ["input", "read"]
    assert sum(row["operation"] == "pulse" for row in rows) == 4
    assert run("program", "digits")[1].startswith("  tick")


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
def test_an_interrupted_run_ends_in_order_and_resumes_with_the_same_bits(tmp_path):
    arguments = ["train", "digits", "--engine", "local", "--epochs", "400", "--set"]
    arguments += ["training.baseline=false", "--run-dir", str(tmp_path / "run")]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[3])},
        start_new_session=True,  # a terminal's Ctrl-C reaches the whole group; so does killpg
    )
    checkpoints = tmp_path / "run" / "checkpoints"
    deadline = time.monotonic() + 90
    while len(list(checkpoints.glob("step-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    started = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors
    assert "interrupted; resume with: crossmesh resume" in errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]

    done = int(max(checkpoints.glob("step-*")).name.removeprefix("step-"))
    more = ("--engine", "local", "--epochs", done // 1438 + 1, "--json")
    resumed = crossmesh("resume", tmp_path / "run", *more)
    assert resumed.returncode == 0, resumed.stderr
    assert f"resumed after {done:,} examples" in resumed.stderr
    whole = crossmesh("train", "digits", *more, "--set", "training.baseline=false", cwd=tmp_path)
    digest = json.loads(resumed.stdout)["state_digest"]
    assert digest == json.loads(whole.stdout)["state_digest"]


def test_a_run_is_tested_on_memories_as_they_age(run, tmp_path):
    assert (
        run("train", "digits", "--engine", "local", "--run-dir", tmp_path / "r", "--epochs", 1)[0]
        == 0
    )
    code, out, _ = run(
        "evaluate", tmp_path / "r", "--engine", "local", "--after", "1s,1y", "--json"
    )
    reported = json.loads(out)

    assert code == 0
    assert [row["after_s"] for row in reported["ages"]] == [1, 1, 31536000, 31536000]
    assert reported["inference"] == "pcm"
    assert (tmp_path / "r" / "after.png").stat().st_size > 10_000
    drawn = tmp_path / "digits.svg"
    code, out, _ = run(
        "evaluate", "digits", "--engine", "local", "--after", "1y", "--json", "--plot", drawn
    )
    assert code == 0
    assert drawn.is_file()
    plain = json.loads(run("evaluate", "digits", "--engine", "local", "--json")[1])
    assert json.loads(out)["trained_accuracy"] == plain["test_accuracy"]
    for options, rule in (
        (("--inference", "pcm"), "--inference must come with --after, got pcm without it"),
        (("--after", "1x"), "--after must be times such as 1s,1h,30d"),
        (("--after", "1s", "--plot", "a.gif"), "--plot must end in .png, .svg, .pdf, got a.gif"),
    ):
        code, _, error = run("evaluate", tmp_path / "r", *options)
        assert code == 2
        assert rule in error


def test_fields_may_follow_the_config_without_an_option(trained, run):
    config = trained("digits", "training.epochs=3", "--set", "tile.rows=9", "tile.cols=7")

    assert (config.training.epochs, config.tile.rows, config.tile.cols) == (3, 9, 7)
    assert run("train", "digits", "mnist") == (
        2, "", "error: CONFIG must be followed by fields like a.b=value only, got mnist\n"
    )  # fmt: skip
    assert run("chip", "tile.rows=9")[0::2] == (
        2, "error: CONFIG must be given, got tile.rows=9 only\n"
    )  # fmt: skip

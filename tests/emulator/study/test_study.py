"""Studies: what they refuse, that a killed one ends with the same results, tables and plots."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from crossmesh import ConfigError, load_config, load_study, run_study, train
from crossmesh.common.errors import DataError
from crossmesh.emulator.config.loading import dumped
from crossmesh.emulator.study.config import shipped_studies, validated
from crossmesh.emulator.study.plan import trials
from crossmesh.emulator.study.pool import CHILD, ProcessTask, perform
from crossmesh.emulator.study.table import cells, failures, markdown, summaries
from tests.jobs import small_config

COMMAND = [sys.executable, "-m", "crossmesh", "study"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "COLUMNS": "100"}
SMALL = {
    "name": "tiny",
    "seeds": [0, 1],
    "baseline": True,
    "runs": [
        {"config": "small.yaml", "title": "constant"},
        {"config": "small.yaml", "title": "soft", "set": {"tile.cell": {"kind": "soft_bounds"}}},
    ],
}
ELSEWHERE = {"examples_per_s", "wall_s", "run", "config"}  # differ between places and times


@pytest.fixture
def folder(tmp_path):
    """A folder with a small config and a study of it."""
    (tmp_path / "small.yaml").write_text(dumped(small_config()))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SMALL))
    return tmp_path


@pytest.fixture
def tiny(folder):
    """A study of two rows and two seeds."""
    return load_study(folder / "tiny.yaml")


def command(*arguments, cwd):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=ENVIRONMENT,
        check=False,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": []}, "runs must have at least 1 entries, got []"),
        ({"runs": [{}]}, "runs.0.config must be given"),
        (
            {"runs": [{"config": "digits", "sed": 3}]},
            "runs.0.sed is unknown; did you mean set?",
        ),
        ({"seeds": []}, "seeds must have at least 1 entries, got []"),
        ({"seeds": [0, 0]}, "seeds must differ, got [0, 0]"),
        ({"seeds": ["x"]}, "seeds.0 must be a whole number, got 'x'"),
        ({"seeds": [-1]}, "seeds.0 must be at least 0, got -1"),
        ({"vary": {"tile.rows": 3}}, "vary.tile.rows must be a list, got 3"),
        ({"vary": {"tile.rows": []}}, "vary.tile.rows must have at least 1 entries, got []"),
        (
            {"set": {"seed": 3}},
            "seed must be given by seeds or --seeds, got it as a field to change",
        ),
        ({"baselin": True}, "baselin is unknown; did you mean baseline?"),
        ({"name": "a/b"}, "name must match ^[A-Za-z0-9][A-Za-z0-9._-]*$, got 'a/b'"),
    ],
)
def test_a_wrong_study_is_refused_in_one_line(change, message):
    with pytest.raises(ConfigError) as error:
        validated({**SMALL, **change})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"set": {"tile.row": 3}}, "constant: tile.row is unknown"),
        ({"vary": {"tile.rows": [0]}}, "constant, rows=0: tile.rows must be at least 1, got 0"),
        ({"runs": [SMALL["runs"][0]] * 2}, "runs must have titles that differ in letters or"),
        ({"runs": [{"config": "nothing"}]}, "nothing: config must be a file or a shipped name"),
    ],
)
def test_a_study_of_wrong_configs_is_refused_before_anything_runs(folder, change, message):
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**SMALL, **change}))
    with pytest.raises(ConfigError, match=message.split(",", maxsplit=1)[0]) as error:
        run_study(load_study(folder / "tiny.yaml"), folder / "out")
    assert str(error.value).startswith(message)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("sets", "vary", "message"),
    [
        (["x"], [], "--set must be like a.b=value, got x"),
        ([], ["tile.rows"], "--vary must be like a.b=value, got tile.rows"),
        ([], ["tile.rows=[1"], "--vary tile.rows must have a YAML value, got [1"),
        ([], ["tile.rows=1"], "vary.tile.rows must be a list, got 1"),
    ],
)
def test_wrong_options_are_refused_in_one_line(tiny, sets, vary, message):
    with pytest.raises(ConfigError) as error:
        tiny.changed(sets, vary)
    assert str(error.value) == message


def test_one_name_is_the_study_and_several_are_configs(folder, monkeypatch):
    assert load_study("digits-devices").name == "digits-devices"
    several = load_study("mnist-ideal", folder / "small.yaml")
    assert (several.name, several.seeds, several.baseline) == ("mnist-ideal-small", (0,), False)
    assert [run.label for run in several.runs] == ["mnist-ideal", "small"]
    assert [run.config for run in load_study(folder / "small.yaml").runs] == [
        str(folder / "small.yaml")
    ]
    monkeypatch.setattr("crossmesh.emulator.study.config.SHIPPED", folder)
    (folder / "digits.yaml").write_text(yaml.safe_dump({**SMALL, "name": "both"}))
    assert load_study("digits").name == "both"
    with pytest.raises(ConfigError, match=r"^STUDY must be a file, .*; did you mean digits\?$"):
        load_study("digit")


def test_what_counts_more_wins(tiny):
    changed = {"set": {"training.epochs": 5, "training.learning_rate": 0.3}}
    study = validated({**tiny.model_dump(), **changed})
    study = study.changed(["training.epochs=3"], ["training.batch=[2, 4]"], "7")
    plan = trials(study, Path("out"))

    assert [trial.title for trial in plan] == [
        "constant, batch=2", "constant, batch=4", "soft, batch=2", "soft, batch=4",
    ]  # fmt: skip
    assert [trial.config.training.batch for trial in plan] == [2, 4, 2, 4]
    for trial in plan:
        assert (trial.config.training.epochs, trial.config.seed) == (3, 7)
        assert trial.config.training.learning_rate == 0.3
    assert plan[3].config.tile.cell.kind == "soft_bounds"
    assert plan[3].folder == Path("out/runs/soft-batch=4-seed7")


def test_a_run_is_trained_here_and_without_a_baseline_of_its_own_unless_asked(tiny):
    study = validated({**tiny.model_dump(), "runs": [{"config": "digits"}]})
    (config,) = {
        trial.config.model_dump_json() for trial in trials(study.changed(seeds="0"), Path())
    }
    config = json.loads(config)
    assert (config["engine"]["kind"], config["training"]["baseline"]) == ("local", False)
    on_ray = trials(study.changed(["engine.kind=ray"]), Path())
    assert {trial.config.engine.kind for trial in on_ray} == {"ray"}


def test_runs_that_differ_in_their_tiles_share_a_baseline(tiny):
    plan = trials(tiny.changed(vary=["training.epochs=[1, 2]"]), Path())
    assert len(plan) == 8
    assert len({trial.baseline_digest for trial in plan}) == 4


@pytest.mark.slow
def test_a_study_leaves_a_table_and_plots_and_its_runs_are_those_of_train(tiny, folder):
    table = run_study(tiny, folder / "out", jobs=2)

    assert table["title"].to_pylist() == ["constant", "soft"] * 2
    assert table["seed"].to_pylist() == [0, 0, 1, 1]
    alone = train(small_config(seed=1), False)
    row = table.to_pylist()[2]
    assert row["state_digest"] == alone.state_digest
    assert row["test_accuracy"] == alone.test_accuracy
    baseline = train(
        small_config(seed=1, training={"baseline": True}), False
    ).baseline_test_accuracy
    assert row["baseline_test_accuracy"] == baseline
    assert table["failure"].null_count == 4

    assert pq.read_table(folder / "out" / "results.parquet").equals(table)
    assert (folder / "out" / "table.md").read_text() == markdown("tiny", table)
    assert (folder / "out" / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert load_study(folder / "out" / "study.yaml") == tiny
    assert not list((folder / "out" / "runs").glob("*.log"))
    first = summaries(table)[0]
    accuracies = [r["test_accuracy"] for r in table.to_pylist() if r["title"] == "constant"]
    assert (first.seeds, first.ended, first.lowest) == (2, 2, min(accuracies))
    assert first.accuracy == pytest.approx(sum(accuracies) / 2)

    times = {path: path.stat().st_mtime_ns for path in (folder / "out" / "runs").rglob("*")}
    assert run_study(tiny, folder / "out", jobs=1).equals(table)
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.slow
def test_what_is_varied_is_a_column_and_a_plot(folder):
    vary = ["tile.cell.step=[0.01, 0.02]", "training.schedule=[sequential, asynchronous]"]
    study = load_study(folder / "small.yaml").changed(["training.epochs=1"], vary)
    table = run_study(study, folder / "out", jobs=1, plot_format="svg")

    assert table["tile.cell.step"].to_pylist() == [0.01, 0.01, 0.02, 0.02]
    assert table["training.schedule"].to_pylist() == ["sequential", "asynchronous"] * 2
    assert table["title"][3].as_py() == "small, step=0.02, schedule=asynchronous"
    assert "schedule=asynchronous" in (folder / "out" / "vary.svg").read_text()
    ends = (folder / "out" / "accuracy.svg").read_text()
    assert "small, step=0.02" in ends
    assert "epoch" not in ends, "one epoch is no curve"


@pytest.mark.slow
def test_a_study_of_a_regression_shows_the_loss(folder):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(40, 4))
    np.savez(folder / "mine.npz", x_train=x, y_train=x @ rng.uniform(size=(4, 2)))
    config = {
        "name": "regression",
        "data": {"source": "npz", "file": "mine.npz"},
        "network": [{"kind": "linear", "outputs": 2}],
        "loss": "mean_squared_error",
    }
    (folder / "regression.yaml").write_text(yaml.safe_dump(config))
    study = load_study(folder / "regression.yaml").changed(baseline=True)
    table = run_study(study, folder / "out", jobs=1, plot_format="svg")

    assert (table["test_accuracy"].null_count, table["failure"].null_count) == (1, 1)
    assert cells(table, wide=False)[1][2] == "-"
    assert table["test_loss"][0].as_py() > 0
    assert (folder / "out" / "accuracy.svg").is_file()


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_go_on(tiny, folder):
    tree = tiny.model_dump()
    tree["runs"][0]["set"] = {"training.examples": 9999}
    (folder / "fails.yaml").write_text(yaml.safe_dump({**tree, "baseline": False}))
    done = command("fails.yaml", "--seeds", "0", cwd=folder)

    assert done.returncode == 1
    reason = "training.examples must be at most 1438, the size of the data, got 9999"
    assert f"failed: constant, seed 0: {reason}" in done.stderr
    assert f"* constant, seed 0: {reason}" in (folder / "studies/tiny/table.md").read_text()
    table = pq.read_table(folder / "studies/tiny/results.parquet")
    assert failures(table) == [f"constant, seed 0: {reason}"]
    assert table["test_accuracy"].null_count == 1
    assert cells(table, wide=True)[1][1:3] == ("0 of 1", "-")


def test_data_that_cannot_be_had_is_refused_before_anything_runs(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    study = load_study(folder / "small.yaml").changed(
        ["data={source: npz, file: nowhere.npz}"], seeds="0"
    )
    with pytest.raises(DataError, match=r"^data\.file must be a file, got nowhere\.npz$"):
        run_study(study, folder / "out")
    assert not (folder / "out").exists()


@pytest.mark.parametrize("place", ["file", "taken", "/proc/no"])
def test_a_folder_that_cannot_be_had_is_refused(folder, place, tiny):
    (folder / "file").write_text("precious")
    (folder / "taken").mkdir()
    (folder / "taken" / "file").write_text("precious")

    with pytest.raises(ConfigError, match="--output must be "):
        run_study(tiny, folder / place)
    assert (folder / "file").read_text() == (folder / "taken" / "file").read_text() == "precious"


LONG = {
    **SMALL,
    "seeds": [0],
    "runs": [
        *SMALL["runs"],  # two at once; the third waits for one of them to end
        {"config": "small.yaml", "title": "ideal", "set": {"tile.cell": {"kind": "ideal"}}},
    ],
    "set": {"training.epochs": 30, "training.examples": 300},
}
LONG_COMMAND = ["long.yaml", "--jobs", "2", "--output", "out"]


def prepared(folder):
    """The folder, with the long study and its config in it."""
    (folder / "small.yaml").write_text(dumped(small_config()))
    (folder / "long.yaml").write_text(yaml.safe_dump(LONG))
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Folder of the long study, and what it comes to."""
    folder = prepared(tmp_path_factory.mktemp("whole"))
    return folder, run_study(load_study(folder / "long.yaml"), folder / "out", jobs=1).to_pylist()


@pytest.mark.slow
def test_runs_of_another_config_are_refused(undisturbed):
    folder, _ = undisturbed
    study = load_study(folder / "long.yaml")

    with pytest.raises(ConfigError) as error:
        run_study(study.changed(["training.epochs=31"]), folder / "out")
    assert str(error.value) == (
        f"--output must hold runs of this study, got {folder / 'out/runs/constant-seed0'} with "
        "training.epochs 30, not 31; give another --output, or remove it"
    )


def started(folder):
    """The long study, once it goes on and has three new checkpoints; what it says is in a file."""
    before = set(folder.glob("out/runs/*/checkpoints/step-*"))
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [*COMMAND, *LONG_COMMAND],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=said,
            stderr=said,
            start_new_session=True,  # a terminal's Ctrl-C reaches the whole group; so does killpg
        )
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        written = set(folder.glob("out/runs/*/checkpoints/step-*")) - before
        goes_on = not before or "resumed after" in (folder / "said").read_text()
        if goes_on and len(written) >= 3:
            return process
        time.sleep(0.02)
    raise TimeoutError((folder / "said").read_text())


@pytest.mark.slow
def test_a_study_that_was_ended_ends_with_the_same_results(tmp_path, undisturbed):
    folder = prepared(tmp_path)
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        process = started(folder)
        os.killpg(process.pid, number)
        code = process.wait(60)
        assert len(list(folder.glob("out/runs/*/summary.json"))) < 3
        if number != signal.SIGKILL:
            said = (folder / "said").read_text()
            assert code == 130
            assert said.endswith(
                f"interrupted; resume with: crossmesh study {shlex.join(LONG_COMMAND)}\n"
            )
            assert "Traceback" not in said

    done = command(*LONG_COMMAND, "--json", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert "resumed after" in done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert [lasting(row) for row in runs] == [lasting(row) for row in undisturbed[1]]


def lasting(row):
    return {key: value for key, value in row.items() if key not in ELSEWHERE}


@pytest.mark.slow
def test_a_process_that_is_killed_is_told_with_the_signal(folder):
    task = ProcessTask(
        key="a",
        name="a",
        config=small_config(training={"epochs": 10_000}),
        folder=folder / "run",
        log=folder / "run.log",
    )
    others = children()
    with (folder / "small.yaml").open() as kept:
        events = perform([task], 1, kept.fileno())
        for _, kind, _value in events:
            if kind == "examples":
                (pid,) = children() - others
                os.kill(pid, signal.SIGKILL)
                break
        assert list(events)[-1][1:] == ("error", "its process was killed by SIGKILL")
    assert not children() - others


def test_what_a_process_says_is_in_the_log_of_its_task(folder):
    tasks = [{"kind": kind, "log": str(folder / f"{kind}.log")} for kind in ("one", "two")]
    lines = "".join(f"{json.dumps(task)}\n" for task in tasks)
    with subprocess.Popen([sys.executable, "-m", CHILD], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=ENVIRONMENT) as process:  # fmt: skip
        process.stdin.write(f"{lines}\n".encode())
        process.stdin.flush()  # it stays open, as its end ends the process
        said = [json.loads(line) for line in process.stdout]

    assert said == [{"error": "KeyError: 'one'"}, {"error": "KeyError: 'two'"}]
    for kind in ("one", "two"):
        assert (folder / f"{kind}.log").read_text().count("KeyError: ") == 1


@pytest.mark.slow
def test_a_process_trains_one_network_after_the_other_but_none_after_a_failure(folder):
    fails = small_config(training={"examples": 9999})
    configs = {"a": small_config(), "b": small_config(seed=1), "c": fails, "d": small_config()}
    tasks = [
        ProcessTask(key=key, name=key, config=configs[key], folder=folder / key,
                    log=folder / f"{key}.log")
        for key in configs
    ]  # fmt: skip
    others, at_work, ends = children(), {}, {}
    with (folder / "small.yaml").open() as kept:
        for task, kind, value in perform(tasks, 1, kept.fileno()):
            at_work.setdefault(task.key, children() - others)
            if kind in {"result", "error"}:
                ends[task.key] = value
    assert at_work["a"] == at_work["b"] == at_work["c"] != at_work["d"]
    assert not list(folder.glob("*.log"))
    assert ends["c"].startswith("training.examples must be at most 1438")
    alone = [train(configs[key], False).state_digest for key in ("a", "b")]
    assert [ends[key]["state_digest"] for key in sorted(ends.keys() - {"c"})] == [*alone, alone[0]]


def children():
    """Ids of the processes that this one has started and not yet seen end."""
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(pid) for pid in task.read_text().split()}


@pytest.mark.slow
def test_json_has_rows_and_runs(folder):
    done = command("small.yaml", "--seeds", "3,5", "--json", "--quiet", cwd=folder)

    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert [row["title"] for row in result["rows"]] == ["small"]
    assert [run["seed"] for run in result["runs"]] == [3, 5]
    assert result["path"] == "studies/small"


@pytest.mark.slow
def test_help_lists_the_studies_with_and_without_asking(folder):
    asked, bare = command("--help", cwd=folder), command(cwd=folder)

    assert (asked.returncode, bare.returncode) == (0, 2)
    assert "digits-devices" in asked.stdout
    assert asked.stdout == bare.stdout


@pytest.mark.parametrize("name", shipped_studies())
def test_every_shipped_study_says_what_it_is_and_resolves(name):
    path = shipped_studies()[name]
    assert path.read_text().startswith("# ")
    study = load_study(name)
    assert study.name == name
    assert trials(study, Path())
    assert load_config("digits").name == "digits"

"""Launches by name: what is listed, what is said of each, and what can be asked of it."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
import yaml

from crossmesh.cluster.jobs.commands import jobs
from crossmesh.cluster.launch.launched import JobState, Launched, find, fresh_name, launches
from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import ConfigError, RunError

ROOT = Path(__file__).parents[3]
SHORT = ("--examples", "200", "--epochs", "2", "--set", "training.baseline=false")


@pytest.fixture
def crossmesh(tmp_path, monkeypatch):
    """Starts the command in an empty working folder, with a list of launches of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    started = []

    def start(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        process = subprocess.Popen(
            [sys.executable, "-m", "crossmesh", *map(str, arguments)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=60)


def said(process, within_s=240):
    out, errors = process.communicate(timeout=within_s)
    return process.returncode, out, errors


def begun(folder, *, name="mine-digits-x7k2", cluster="local"):
    """A launch that is recorded, by this process."""
    order = Order(load_cluster(cluster), "digits", ("--seed", "3"), name)
    return Launched.new(order, folder, str(folder / "run"))


def fail(words):
    sys.stderr.write(words)
    raise ConfigError("seed must be at least 0, got -1")


def test_names_are_fit_for_jobs_and_differ():
    names = {fresh_name("mine", "Digits 8x8/ü" + "a" * 60) for _ in range(50)}

    assert len(names) == 50
    assert all(name.startswith("mine-digits-8x8-aaa") and len(name) <= 47 for name in names)


def test_a_launch_is_found_by_name_and_folder_until_its_folder_is_deleted(crossmesh, tmp_path):
    launched = begun(tmp_path / "somewhere")

    for job in ("mine-digits-x7k2", str(tmp_path / "somewhere")):
        assert find(job).record == launched.record
    (tmp_path / "state/crossmesh/launches/old").symlink_to(300 * "a")  # cannot be looked at
    assert [other.name for other in launches()] == ["mine-digits-x7k2"]
    begun(tmp_path / "other", name="other")
    assert find("other").folder == tmp_path / "other"
    shutil.rmtree(tmp_path / "other")
    (tmp_path / "somewhere" / "launch.json").unlink()
    assert launches() == []
    for job in ("mine-digits-x7k2", 300 * "a", 3000 * "a/"):
        with pytest.raises(ConfigError, match=r"^JOB must be a name that crossmesh jobs lists, or"):
            find(job)


def test_nobody_else_can_read_a_launch(crossmesh, tmp_path):
    launched = begun(tmp_path / "mine")
    with launched.going():
        typer.echo("hello")
    modes = {path.name: path.stat().st_mode & 0o777 for path in launched.folder.iterdir()}

    assert modes == {"launch.json": 0o600, "log": 0o600, "ended.json": 0o600}
    assert launched.folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_holds_one_launch(crossmesh, tmp_path):
    begun(tmp_path / "mine")
    with pytest.raises(ConfigError, match="--files must hold no launch yet, got "):
        begun(tmp_path / "mine", name="other")


def test_a_launch_that_somebody_else_has_put_there_is_no_launch(crossmesh, tmp_path, monkeypatch):
    launched = begun(tmp_path / "launched" / "mine-digits-x7k2")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)  # its ssh.proxy_command would be run

    assert launches() == []
    with pytest.raises(ConfigError, match=f"^JOB must be a launch of this user, got {tmp_path}"):
        find(str(launched.folder))


def test_a_launch_that_is_a_pipe_keeps_nobody_waiting(crossmesh, tmp_path):
    (tmp_path / "launched/mine").mkdir(parents=True)
    os.mkfifo(tmp_path / "launched/mine/launch.json")

    assert launches() == []


def test_a_training_whose_launch_was_deleted_ends_as_it_ended(crossmesh, tmp_path):
    launched = begun(tmp_path / "mine")
    with launched.going():
        shutil.rmtree(launched.folder)


def test_a_run_is_fetched_although_files_of_it_are_gone_by_then(crossmesh, tmp_path):
    launched = begun(tmp_path / "mine")
    run = Path(launched.run_dir)
    run.mkdir()
    (run / "config.yaml").touch()
    (run / "live.json").symlink_to("replaced meanwhile")
    load_cluster("local").fetch(launched, tmp_path / "here")

    assert (tmp_path / "here/config.yaml").is_file()
    with pytest.raises(RunError, match=rf"^{run} cannot be copied to .*/config.yaml: File exists"):
        load_cluster("local").fetch(launched, run / "config.yaml")


def test_a_launch_that_was_killed_is_lost(crossmesh, tmp_path):
    launched = begun(tmp_path / "mine")
    cluster = load_cluster("local")
    assert cluster.state(launched).kind == "starting"
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    launched.record = launched.record.model_copy(update={"pid": gone.pid})

    assert cluster.state(launched).kind == "lost"


def test_a_launch_that_may_have_left_machines_is_listed(crossmesh, tmp_path, monkeypatch, capsys):
    source = tmp_path / "mine.yaml"
    source.write_text(yaml.safe_dump({
        "kind": "on-premises", "head": "127.0.0.1", "storage": "/nowhere",
        "ssh": {"user": "me", "proxy_command": "false"},
    }))  # fmt: skip
    launched = begun(tmp_path / "launched" / "mine", cluster=str(source))
    launched.remember(phase="running")
    monkeypatch.setattr(Launched, "process", None)

    def listed():
        jobs(json_=True, all_=False)
        return [(job["name"], job["state"]) for job in json.loads(capsys.readouterr().out)]

    assert listed() == [("mine-digits-x7k2", "lost")]
    launched.end(0)
    assert listed() == []
    launched.remember(kept=True)
    assert listed() == [("mine-digits-x7k2", "done")]


def test_a_log_is_followed_without_asking_as_often_how_it_stands(crossmesh, tmp_path, monkeypatch):
    launched = begun(tmp_path / "mine")
    launched.log.touch()
    states = iter(["running", "done"])
    asked = []

    class Asked(type(load_cluster("local"))):
        ask_s = 1.0

        def state(self, _):
            asked.append(time.monotonic())
            return JobState(next(states))

    Asked().follow(launched, to_end=True)

    assert len(asked) == 2
    assert asked[1] - asked[0] >= 1.0


def test_a_log_keeps_what_a_line_shows_in_the_end(crossmesh, tmp_path, capsys):
    launched = begun(tmp_path / "mine")
    with pytest.raises(ConfigError), launched.going():
        fail("10 %\r\x1b[2K20 %\r\x1b[31mdone\x1b[0m\nhalf")

    assert launched.log.read_text() == "done\nerror: seed must be at least 0, got -1\n"
    assert launched.exit_code == 2
    assert capsys.readouterr().err.startswith("10 %\r\x1b[2K20 %")


@pytest.mark.parametrize("is_open", [False, True])
def test_output_that_nobody_reads_ends_no_launch(is_open, crossmesh, tmp_path, monkeypatch):
    launched = begun(tmp_path / "mine")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread if is_open else None)
        with launched.going():
            for word in ("one", "two"):
                typer.echo(word)

    assert launched.log.read_text() == "one\ntwo\n"
    assert launched.exit_code == 0


def test_what_is_wrong_is_told_at_once_and_leaves_nothing(crossmesh, tmp_path):
    (tmp_path / "wrong").touch(mode=0o600)
    fields = {"extends": "local", "token": "wrong", "port": 1 << 15}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(fields))
    code, out, errors = said(crossmesh("launch", "mine.yaml", "digits", "--check"))

    assert (code, out) == (2, "")
    assert (
        errors
        == f"error: token must hold the cluster's token, got an empty file {tmp_path}/wrong\n"
    )
    assert not (tmp_path / "launched").exists()


@pytest.mark.slow
@pytest.mark.ray
def test_a_training_is_followed_to_its_end_by_the_name_that_launch_printed(crossmesh, tmp_path):
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({"extends": "local", "nodes": 1}))
    launch = crossmesh("launch", "one.yaml", "digits", *SHORT)
    name = launch.stderr.readline().split()[1].rstrip(":")
    followed = crossmesh("logs", name, "--follow")
    watched = crossmesh("watch", name)
    code, out, errors = said(launch)
    assert code == 0, errors

    code, log, _ = said(followed)
    assert code == 0
    assert "epoch 2: " in log
    assert out.splitlines()[-1] in log
    assert "the run has ended: 400 examples" in said(watched)[1]
    assert said(crossmesh("status", name))[1].startswith(f"{name}: done\n")
    (job,) = json.loads(said(crossmesh("jobs", "--all", "--json"))[1])
    assert (job["name"], job["state"], job["exit_code"]) == (name, "done", 0)
    assert said(crossmesh("fetch", name, "--to", "here"))[0] == 0
    assert json.loads(Path("here/summary.json").read_text())["examples_trained"] == 400


@pytest.mark.slow
@pytest.mark.ray
def test_a_training_is_cancelled_by_name_and_says_how_it_ended(crossmesh, tmp_path):
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({"extends": "local", "nodes": 1}))
    launch = crossmesh("launch", "one.yaml", "digits", "--epochs", "4000")
    name = launch.stderr.readline().split()[1].rstrip(":")
    steps = tmp_path / "runs" / name / "checkpoints"
    deadline = time.monotonic() + 240
    while not list(steps.glob("step-*")):
        assert launch.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "running" in said(crossmesh("jobs"))[1]
    assert said(crossmesh("cancel", name, "--wait"))[0] == 0

    code, _, errors = said(launch)
    assert code == 130
    assert errors.splitlines()[-1] == f"interrupted; resume with: crossmesh resume runs/{name}"
    assert said(crossmesh("status", name))[1].startswith(f"{name}: cancelled (exit code 130)\n")
    assert said(crossmesh("cancel", name))[2].startswith(f"{name} has ended already: cancelled")

"""Watching: what a real run says of itself, and what is said of one that is silent."""

import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from crossmesh.cluster.watch.picture import picture
from crossmesh.cluster.watch.state import STALE_S, RunState, RunWatcher, is_held, read
from crossmesh.cluster.watch.words import line
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import dumped
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.history import History
from crossmesh.emulator.runs.live import LiveFile
from crossmesh.emulator.runs.live_state import LiveHost, LiveState
from crossmesh.tiles.runtime.measure import HostReport, Progress
from tests.emulator.commands.shell import refused
from tests.jobs import small_config

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "110"}
CROSSMESH = (sys.executable, "-m", "crossmesh")


def crossmesh(*arguments, cwd):
    command = [*CROSSMESH, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120
    )


def host(number, busy, ip="10.0.0.1", node=""):
    return LiveHost(
        host=number, node=node, ip=ip, tiles=2, compute=busy, message=0.0, wait=1.0 - busy
    )


def live(**changes):
    values = {
        "phase": "training", "epoch": 1, "epochs": 5, "examples": 1500, "total": 5000,
        "examples_per_s": 100.0, "loss": 0.25, "accuracy": 0.915, "updated": time.time(),
        "recoveries": 1, "checkpoint": 1000, "hosts": [host(0, 0.5), host(1, 0.9)],
    }  # fmt: skip
    return LiveState(**{**values, **changes})


def state(kind="running", age_s=0.0, is_held=False, **changes):
    return RunState(kind=kind, live=live(**changes), age_s=age_s, is_held=is_held)


def drawn(seen, width=110, height=30):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(picture(seen, Path("runs/small"), height))
    return console.file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """A run directory as the training makes it, without a training."""
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    directory.write_config(small_config())
    return directory.path


def say(folder, examples=1500, updated=None):
    """Write ``live.json`` as a training does."""
    file = LiveFile(RunDirectory(folder), epochs=5)
    file.phase("training", 5000)
    hosts = [HostReport(n, "", "10.0.0.1", 3, 10.0, 1.0, 2.0 + n, 5, 99, 7) for n in range(2)]
    file.update(Progress(examples, 0.25, 0.915), History(epoch=1), hosts)
    if updated is not None:
        path = folder / "live.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "updated": updated}))


# What is said


def test_a_line_says_how_far_how_fast_and_who_is_slowest(folder):
    reported = line(state(), folder)
    assert reported == (
        "training, epoch 2 of 5, 1,500 of 5,000 examples, 100 examples/s, 35 s left, loss 0.2500, "
        "accuracy 91.5 %, checkpoint 500 examples ago (5 s), 1 recovery, slowest: host 1 on "
        "10.0.0.1 (compute 90 %, messages 0 %, waiting 10 %)"
    )


@pytest.mark.parametrize(("moves", "said"), [(1, "1 time"), (3, "3 times")])
def test_moves_of_tiles_are_counted(folder, moves, said):
    assert f", 1 recovery, tiles moved {said}, slowest: " in line(state(moves=moves), folder)


def test_what_is_not_known_is_not_told(folder):
    reported = line(
        state(examples_per_s=None, loss=None, accuracy=None, checkpoint=None, recoveries=0,
              hosts=[host(0, 1.0, ip="")]),
        folder,
    )  # fmt: skip
    assert reported == "training, epoch 2 of 5, 1,500 of 5,000 examples, no checkpoint yet"


def test_a_picture_puts_the_slowest_host_first_and_marks_it():
    lines = drawn(state()).splitlines()
    table = lines[next(i for i, text in enumerate(lines) if text.startswith("host")) :]

    assert [row.split()[0] for row in table[1:3]] == ["1", "0"]
    assert "◀ slowest" in table[1]
    assert "slowest" not in table[2]
    bar = re.search("█+·+", table[1]).group()
    assert (bar.count("█"), bar.count("·")) == (27, 3)
    assert any("30 %" in text for text in lines)


def test_many_hosts_fit_the_terminal():
    text = drawn(state(hosts=[host(n, n / 64) for n in range(64)]), height=24)
    assert len(text.splitlines()) <= 24
    assert "49 more, less busy" in text
    assert "◀ slowest" in text


def test_nodes_that_share_an_address_are_told_apart():
    hosts = [host(0, 0.5, node="aaaaaaaa"), host(1, 0.9, node="bbbbbbbb")]
    assert "10.0.0.1 bbbbbb" in drawn(state(hosts=hosts))
    assert "bbbbbb" not in drawn(state(hosts=[host(0, 0.5, node="c"), host(1, 0.9, node="c")]))


def test_a_single_host_is_not_the_slowest():
    assert "slowest" not in drawn(state(hosts=[host(0, 0.9)]))


# What is seen


def test_a_run_says_what_a_watcher_reads(folder):
    say(folder)
    seen = RunWatcher(folder).look()

    assert seen.kind == "running"
    assert seen.live.examples == 1500
    assert [h.host for h in seen.live.slowest_first] == [0, 1]
    assert seen.live.hosts[0].compute == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (False, r"not updated for 1[23] s: the run may have ended; resume with: crossmesh resume "),
        (True, r"not updated for 1[23] s: the run is recovering or busy$"),
    ],
)
def test_silence_is_noticed(folder, held, words):
    say(folder, updated=time.time() - 12)
    lock = os.open(folder, os.O_RDONLY)
    if held:
        fcntl.flock(lock, fcntl.LOCK_EX)
    seen = RunWatcher(folder).look()
    os.close(lock)

    assert seen.kind == "stale"
    assert re.match(words, line(seen, folder))
    assert "examples/s" in drawn(state("stale", 12.0))


def test_clocks_of_two_machines_may_differ(folder):
    eye = RunWatcher(folder)
    say(folder, updated=time.time() - 3600)
    assert eye.look().kind == "stale"
    say(folder, updated=time.time() - 3599)
    seen = eye.look()
    assert seen.kind == "running"
    assert seen.age_s < STALE_S


def test_a_lock_is_seen_while_it_is_held(folder):
    assert not is_held(folder)
    with RunDirectory(folder).held(new=False):
        assert is_held(folder)
        assert RunWatcher(folder).look().kind == "quiet"
    assert not is_held(folder)
    assert RunWatcher(folder).look().kind == "gone"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"schema": 2}', "must be of schema 1, got 2"),
        ('{"schema": 1}', "must be a live.json that a run has written, got something else"),
        ("[]", "must be a live.json that a run has written, got something else"),
        ("no", "must be a live.json that a run has written, got something else"),
    ],
)
def test_another_file_is_refused(folder, text, rule):
    path = folder / "live.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value) == f"{path} {rule}"


# The command


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_wrong_run_is_one_line(name, tmp_path):
    assert refused("watch", name, folder=tmp_path) == (
        f"error: RUN must be a run directory with a config.yaml, got {Path(name)}"
    )


@pytest.mark.slow
def test_once_says_what_there_is_and_ends(folder):
    say(folder, updated=time.time() - 3600)
    done = crossmesh("watch", "run", "--once", cwd=folder.parent)
    assert done.returncode == 1
    assert re.fullmatch(
        r"not updated for 360\d s: the run may have ended; "
        r"resume with: crossmesh resume run\n",
        done.stdout,
    )
    (folder / "live.json").unlink()
    done = crossmesh("watch", "run", "--once", cwd=folder.parent)
    assert done.returncode == 1
    assert done.stdout == (
        "the run stopped before its last epoch; resume with: crossmesh resume run\n"
    )


@pytest.mark.slow
def test_a_run_is_watched_to_its_end(tmp_path):
    (tmp_path / "small.yaml").write_text(
        dumped(small_config(training={"epochs": 8, "examples": 1400}))
    )
    options = ("train", "small.yaml", "--run-dir", "run", "--quiet")
    with subprocess.Popen([*CROSSMESH, *options], cwd=tmp_path, env=ENVIRONMENT,
                          stdout=subprocess.DEVNULL) as run:  # fmt: skip
        wait_for(tmp_path / "run" / "live.json", run)
        works = work_of(run)
        os.kill(works, signal.SIGSTOP)  # so that it does not end before it is looked at
        with watching(tmp_path) as watch:
            first = watch.stdout.readline()
            for process in (works, run.pid):  # which stops with it
                os.kill(process, signal.SIGCONT)
            reported, _ = watch.communicate(timeout=120)
        run.wait(timeout=120)

    assert watch.returncode == 0
    assert first.startswith(("training, epoch ", "not updated for "))
    last = reported.splitlines()[-1]
    assert last.startswith("the run has ended: 11,200 examples, test loss ")
    assert "test accuracy" in last
    again = crossmesh("watch", "run", "--once", cwd=tmp_path)
    assert again.stdout == last + "\n"


@pytest.mark.slow
def test_an_interrupted_run_can_be_gone_on_with(tmp_path):
    (tmp_path / "small.yaml").write_text(
        dumped(small_config(training={"epochs": 10_000, "examples": 1400}))
    )
    options = ("train", "small.yaml", "--run-dir", "run", "--quiet")
    with subprocess.Popen([*CROSSMESH, *options], cwd=tmp_path, env=ENVIRONMENT,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:  # fmt: skip
        wait_for(tmp_path / "run" / "live.json", run)
        with watching(tmp_path) as watch:
            assert watch.stdout.readline().startswith("training, epoch ")
            run.send_signal(signal.SIGINT)
            reported, _ = watch.communicate(timeout=120)
            assert run.wait(timeout=120) == 130

    assert watch.returncode == 1
    assert reported.splitlines()[-1] == (
        "the run stopped before its last epoch; resume with: crossmesh resume run"
    )


def work_of(run):
    """The process below a command that does its work."""
    (process,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return int(process)


def watching(folder):
    command = [*CROSSMESH, "watch", "run"]
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


def wait_for(path, run):
    """Until a file is there, or the run has ended without it."""
    deadline = time.monotonic() + 90
    while not path.is_file():
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)

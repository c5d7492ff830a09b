"""Ends that are always ours: the parent with the last word, errors of others in our words."""

import contextlib
import json
import os
import random
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossmesh.common.errors import in_our_words
from crossmesh.common.supervision import interrupts
from crossmesh.emulator.cli import main
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.training.training import train
from tests.fault_table import COMMAND, EXAMPLES, FAULTS, MOMENTS, seen

ROOT = Path(__file__).parents[2]
INTERRUPTED = "interrupted; restart with: crossmesh again\n"
BEGIN = """
import os, signal, subprocess, sys, time
from crossmesh.common.supervision import reports, interrupts
from crossmesh.common.supervision.guard import guarded
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):  # nohup ignores them, for instance
    signal.signal(number, signal.SIG_DFL)
"""


@pytest.fixture
def start():
    """Starts a command whose child does ``work``; it reports with ``print(..., flush=True)``."""
    started = []

    def begin(work, before="", **options):
        body = "\n".join(f"    {line}" for line in work.strip().splitlines())
        program = f"{BEGIN}{before}\ndef work():\n{body}\n    return 0\n\nsys.exit(guarded(work))"
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        process = subprocess.Popen(
            [sys.executable, "-c", program, "again"],
            text=True,
            cwd=ROOT,
            start_new_session=True,
            **pipes,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            for pid in (process.pid, *below(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


def below(root):
    """Ids of all processes below one."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            stat_ = (entry / "stat").read_text()
            parents[int(entry.name)] = int(stat_.rpartition(") ")[2].split()[1])
    found = [root]
    for parent in found:
        found += [pid for pid, its in parents.items() if its == parent]
    return found[1:]


def ended(process, within_s=60):
    """Exit code, standard output and standard error."""
    output, errors = process.communicate(timeout=within_s)
    return process.returncode, output, errors


def is_alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def wait_until(condition, within_s=30):
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_exit_code_and_output_pass_through(start):
    assert ended(start("print('out'); print('err', file=sys.stderr); return 7")) == (
        7, "out\n", "err\n"
    )  # fmt: skip


def test_raw_words_of_others_stay_off_the_terminal(start):
    code, _, errors = ended(start("os.write(2, b'*** raw ***'); print('ours', file=sys.stderr)"))

    assert (code, errors) == (0, "ours\n")


def test_a_library_that_makes_an_error_of_a_signal_does_not_end_in_a_traceback(start):
    work = "try: os.kill(os.getpid(), signal.SIGTERM)\nexcept BaseException: raise ValueError"
    assert ended(start(work)) == (130, "", INTERRUPTED)


@pytest.mark.parametrize(
    ("end", "what"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "the process of the run was killed by SIGKILL"),
        ("os.abort()", "the process of the run was killed by SIGABRT"),
        ("os._exit(3)", "the process of the run ended with exit code 3"),
        ("reports.vital([]); os._exit(1)", "Ray's raylet or its GCS is lost, which ends the run"),
    ],
)
def test_a_child_without_a_last_word_is_one_error_line_with_the_way_on(start, end, what):
    said = ended(start(f"reports.resumable('crossmesh resume r'); {end}"))
    assert said == (1, "", f"error: {what}; resume with: crossmesh resume r\n")

    said = ended(start(end))
    assert said == (1, "", f"error: {what}; restart with: crossmesh again\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_child_in_order(start, number):
    process = start(
        """
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("in order", flush=True)
"""
    )
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, number)

    assert ended(process) == (130, "in order\n", INTERRUPTED)


def test_a_child_that_dies_of_a_signal_to_all_is_an_interrupted_run(start):
    process = start(
        """
reports.resumable("crossmesh resume r")
signal.signal(signal.SIGTERM, signal.SIG_DFL)
print("ready", flush=True)
time.sleep(60)
"""
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)

    assert ended(process) == (130, "", "interrupted; resume with: crossmesh resume r\n")


def test_a_signal_that_a_library_hears_first_is_an_interrupt(start):
    """As Ray does while it starts, before our handlers are back in place."""
    process = start(
        """
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
print("ready", flush=True)
time.sleep(60)
"""
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)

    assert ended(process) == (130, "", INTERRUPTED)


def test_a_second_signal_ends_a_deaf_child(start):
    process = start(
        """
with interrupts.deferred():
    print("ready", flush=True)
    time.sleep(60)
"""
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)

    code, _, errors = ended(process, within_s=20)  # not only when the time for an end is over
    assert (code, errors) == (130, INTERRUPTED)


def test_a_signal_to_quit_ends_a_deaf_child_at_once(start):
    process = start(
        """
with interrupts.deferred():
    print("ready", flush=True)
    time.sleep(60)
"""
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGQUIT)

    assert ended(process, within_s=20) == (130, "", INTERRUPTED)


def test_a_signal_is_answered_while_other_code_listens_to_none(start):
    process = start(
        """
print("ready", flush=True)
interrupts.answering(lambda: time.sleep(60))
"""
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)

    assert ended(process, within_s=20) == (130, "", INTERRUPTED)


# The parent's patience, and how often the child says that it goes on.
SHORT = (
    "from crossmesh.common.supervision import parent; parent.ENDING_S = 4.0; reports._RENEW_S = 0.1"
)


@pytest.mark.slow
def test_an_end_that_goes_on_in_order_may_take_long(start):
    process = start(
        """
with interrupts.deferred(), reports.within(60, "it"):
    print("ready", flush=True)
    while not interrupts.requested():
        time.sleep(0.1)
    for _ in range(80):
        time.sleep(0.1)
        reports.renew()
    print("saved", flush=True)
""",
        before=SHORT,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)

    assert ended(process) == (130, "saved\n", INTERRUPTED)


@pytest.mark.slow
def test_a_long_limit_does_not_put_off_an_end_that_is_asked_for(start):
    process = start(
        """
with interrupts.deferred(), reports.within(600, "it"):
    print("ready", flush=True)
    time.sleep(600)
""",
        before=SHORT,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)

    assert ended(process, within_s=30) == (130, "", INTERRUPTED)


def test_a_reader_that_is_gone_is_no_loss(start):
    read, write = os.pipe()
    os.close(read)
    work = "import click\ntry: click.echo('all')\nexcept BrokenPipeError: sys.exit(4)"
    process = start(work, stdout=write)
    os.close(write)

    assert ended(process) == (4, None, "")


@pytest.mark.slow
def test_a_signal_after_the_work_changes_nothing(start):
    process = start(
        """
import atexit, threading
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()  # which could hear it
atexit.register(time.sleep, 60)
atexit.register(print, "over", flush=True)
return 7
"""
    )
    assert process.stdout.readline() == "over\n"
    process.send_signal(signal.SIGINT)
    assert process.poll() is None

    assert ended(process, within_s=30) == (7, "", "")


def test_raw_words_of_a_crash_are_kept_for_their_owner(start, tmp_path):
    work = "os.write(2, b'fatal at s3://me:secret@host/x\\n'); os.abort()"
    code, _, errors = ended(start(work, env={**os.environ, "TMPDIR": str(tmp_path)}))
    (file,) = tmp_path.iterdir()

    assert code == 1
    assert errors == (
        "error: the process of the run was killed by SIGABRT (its output is in "
        f"{file}); restart with: crossmesh again\n"
    )
    assert file.read_text() == "fatal at s3://***@host/x\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_run_whose_reader_is_gone_says_nothing_false(tmp_path):
    command = [*COMMAND, "train", "digits", "--engine", "local", "--examples", "64", "--epochs",
               "1", "--set", "training.baseline=false", "--json", "--quiet", "--run-dir",
               str(tmp_path / "run")]  # fmt: skip
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(write)

    assert (done.returncode, done.stderr) == (1, b"")
    assert (tmp_path / "run" / "summary.json").exists()


def test_what_takes_longer_than_it_may_is_ended(start):
    code, _, errors = ended(start("with reports.within(0.5, 'an answer of Ray'): time.sleep(60)"))

    assert code == 1
    assert errors.startswith("error: an answer of Ray took too long; restart with: ")


@pytest.mark.slow
def test_what_hangs_after_the_last_word_does_not_matter(start):
    work = "import atexit; atexit.register(time.sleep, 60); print('result', flush=True)"

    assert ended(start(work)) == (0, "result\n", "")


@pytest.mark.slow
def test_a_lost_process_that_is_vital_ends_a_child_that_does_not_notice(start):
    code, _, errors = ended(
        start("reports.vital([subprocess.Popen(['sleep', '0.1']).pid]); time.sleep(60)")
    )

    assert code == 1
    assert errors.startswith("error: Ray's raylet or its GCS is lost, which ends the run")


@pytest.mark.slow
def test_a_frozen_child_is_ended(start):
    process = start("print(os.getpid(), flush=True); time.sleep(90)")
    os.kill(int(process.stdout.readline()), signal.SIGSTOP)

    code, _, errors = ended(process)
    assert code == 1
    assert errors.startswith("error: the process of the run was frozen for 10 s; restart with: ")


def test_nothing_is_left_running_not_even_what_is_frozen_or_in_a_session_of_its_own(
    start, tmp_path
):
    process = start(
        f"""
reports.made({str(tmp_path / "made")!r})
reports.claimed({str(tmp_path / "full")!r})
reports.claimed({str(tmp_path / "empty")!r})
for name in ("made", "full", "empty", "full/file"):
    os.mkdir(os.path.join({str(tmp_path)!r}, name))
for _ in range(2):
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print(left.pid, flush=True)
left.send_signal(signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    code, output, _ = ended(process)

    assert code == 1
    assert [pid for pid in output.split() if is_alive(pid)] == []
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_the_child_ends_with_its_parent(start):
    process = start("print(os.getpid(), flush=True); time.sleep(600)")
    child = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=60)

    wait_until(lambda: not is_alive(child))


@pytest.mark.slow
def test_ctrl_z_stops_everything_and_fg_goes_on(start):
    process = start(
        """
left = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(left.pid, flush=True)
while not os.path.exists(f"/proc/{left.pid}/stop"):
    time.sleep(0.05)
    print("on", flush=True)
"""
    )
    grandchild = process.stdout.readline().strip()

    def state(pid):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]

    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: state(process.pid) == state(grandchild) == "T")
    process.send_signal(signal.SIGCONT)
    wait_until(lambda: state(grandchild) == "S")
    process.send_signal(signal.SIGTERM)

    assert ended(process)[0] == 130


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (OSError(28, "No space left on device", "/r"),
         "operating system error: No space left on device: /r"),
        (PermissionError(13, "Permission denied", "/r"),
         "operating system error: Permission denied: /r"),
        (OSError(24, "Too many open files"), "operating system error: Too many open files"),
        (OSError(30, "Read-only file system", "/a", None, "/b"),
         "operating system error: Read-only file system: /a: /b"),
        (MemoryError(), "out of memory"),
        (RuntimeError("can't start new thread"),
         "operating system error: too many processes or threads of this user"),
        (ValueError("wrong"), None),
        (RuntimeError("wrong"), None),
    ],
)  # fmt: skip
def test_refusals_of_the_system_are_reported_in_our_words(error, reported):
    assert in_our_words(error) == reported


def test_errors_of_libraries_are_reported_in_our_words():
    import pyarrow as pa
    import zmq
    from ray.exceptions import ObjectStoreFullError

    assert in_our_words(pa.ArrowInvalid("not a file\nmore")) == "Arrow failed: not a file"
    assert in_our_words(zmq.ZMQError(24)) == "ZeroMQ failed: Too many open files"
    assert in_our_words(ObjectStoreFullError("full")).startswith("Ray failed: full")


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("kind", FAULTS)
def test_whatever_dies_or_freezes_the_end_is_ours(kind, tmp_path):
    """One of each kind; tests/fault_table.py makes as many as are asked for, at all moments."""
    moments = list(MOMENTS)
    moment = moments[(list(FAULTS).index(kind) + 2) % len(moments)]  # so that few wait for long

    one = seen(kind, moment, random.Random(kind), tmp_path)

    assert one.is_ours, one


@pytest.mark.slow
@pytest.mark.ray
def test_the_command_that_the_last_word_names_goes_on_with_the_same_bits(tmp_path):
    one = seen("all killed at once", "training", random.Random(0), tmp_path)
    assert one.is_ours, one
    command = shlex.split(one.line.partition("resume with: crossmesh ")[2])
    run = tmp_path / "run"
    newest = max(run.glob("checkpoints/step-*"))
    epochs = int(newest.name.partition("-")[2]) // EXAMPLES + 1
    options = ["--engine", "local", "--epochs", str(epochs), "--json", "--quiet"]

    again = subprocess.run(
        [*COMMAND, *command, *options], capture_output=True, text=True, cwd=ROOT, check=False
    )

    assert again.returncode == 0, again.stderr
    config = load_config("digits", [f"training.examples={EXAMPLES}", f"training.epochs={epochs}",
                                    "training.baseline=false", "engine.kind=local"])  # fmt: skip
    assert json.loads(again.stdout)["state_digest"] == train(config).state_digest


def test_an_error_that_a_signal_has_caused_is_an_interrupt(monkeypatch, capsys):
    def compiled(*arguments):
        try:
            signal.raise_signal(signal.SIGTERM)
        except interrupts.Interrupted:
            raise RuntimeError("no compiled object yet") from None

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "argv", ["crossmesh", "train", "digits"])
    monkeypatch.setattr("crossmesh.emulator.cli.train.load_config", compiled)
    monkeypatch.setattr(interrupts, "_installed", False)
    monkeypatch.setattr(interrupts, "_came", False)
    try:
        interrupts.install()
        assert main.run() == 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err == ""

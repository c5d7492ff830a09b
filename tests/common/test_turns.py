"""Turns: one process at a time, none for ever, and nothing lost where there can be no lock."""

import subprocess
import sys

import pytest

from crossmesh.common.turns import TurnToMake

TAKES = """
import sys, time
from pathlib import Path
from crossmesh.common.turns import TurnToMake
TurnToMake(Path(sys.argv[1])).take()
print(flush=True)
time.sleep(600)
"""

FORKS = """
import os, sys
from pathlib import Path
from crossmesh.common.turns import TurnToMake
path = Path(sys.argv[1])
turn = TurnToMake(path)
turn.take()
seen, lives = os.pipe()
if not os.fork():  # which ends with the other process
    os.close(lives)
    os.read(seen, 1)
    os._exit(0)
turn.give()
"""


@pytest.fixture
def other(tmp_path):
    """A process that has the turn until it is ended."""
    command = [sys.executable, "-c", TAKES, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"\n"
        yield process
        process.kill()


def is_free(path):
    turn = TurnToMake(path)
    taken = turn.take(0.05)
    turn.give()
    return taken


def test_a_turn_is_given_to_the_next(tmp_path):
    first = TurnToMake(tmp_path / "lock")
    assert first.take()
    assert first.take()  # which it has
    assert not is_free(tmp_path / "lock")
    first.give()
    first.give()
    assert is_free(tmp_path / "lock")


def test_a_process_that_ends_gives_its_turn_back(tmp_path, other):
    assert not is_free(tmp_path / "lock")
    other.kill()
    other.wait()
    assert is_free(tmp_path / "lock")


def test_a_turn_is_given_also_where_a_fork_has_copied_it(tmp_path):
    code = FORKS + "print('given' if TurnToMake(path).take(0) else 'held')"
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    assert subprocess.check_output(command, text=True) == "given\n"


def test_where_nothing_can_be_locked_nobody_waits(tmp_path):
    turn = TurnToMake(tmp_path / "missing" / "lock")
    assert not turn.take()
    turn.give()
    assert not (tmp_path / "missing").exists()

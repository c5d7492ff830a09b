"""Accounts that no file knows, as containers run them, and that have no HOME."""

import os
import subprocess
import sys
from pathlib import Path

from crossmesh.common.homes import user_home

ROOT = Path(__file__).parents[2]
UNKNOWN = """
import pwd, sys
def getpwuid(number):
    raise KeyError(number)
pwd.getpwuid = getpwuid
sys.argv[0] = "crossmesh"
from crossmesh.cluster.cli import main
main()
"""


def test_the_home_is_that_of_the_user(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")

    assert user_home() == Path("/home/me")


def test_commands_work_without_a_home(tmp_path):
    kept = {name: value for name, value in os.environ.items() if name not in {"HOME"}}
    environment = {**kept, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("XDG_STATE_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", UNKNOWN, "jobs"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no launches yet; begin with: crossmesh launch local digits\n"

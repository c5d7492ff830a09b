"""The import of Ray, while which a signal comes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.ray]
ROOT = Path(__file__).parents[3]
# A command that sends itself SIGINT some calls after Ray has registered its hook for the end.
INTERRUPTED = """
import atexit, os, signal, sys

from crossmesh.cluster.cli import main

left = 300
register = atexit.register


def registered(hook, *arguments, **options):
    if hook.__module__ == "ray._private.worker":
        sys.setprofile(called)
    return register(hook, *arguments, **options)


def called(*_):
    global left
    left -= 1
    if left == 0:
        sys.setprofile(None)
        print("signal", file=sys.__stdout__, flush=True)
        os.kill(os.getpid(), signal.SIGINT)


atexit.register = registered
main()
"""


@pytest.fixture
def server():
    """Something that accepts connections, as the head of a cluster does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("verb", ["train", "launch", "launch aws"])
def test_a_signal_meanwhile_ends_the_command_in_order(verb, server, tmp_path):
    address = f"127.0.0.1:{server.getsockname()[1]}"
    (tmp_path / "lab.yaml").write_text(yaml.safe_dump({"kind": "existing", "address": address}))
    words = {
        "train": ["train", "digits"],
        "launch": ["launch", "lab.yaml", "digits"],
        "launch aws": ["launch", "aws", "digits", "--dry-run"],
    }[verb]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert "signal" in done.stdout.splitlines()
    assert "Traceback" not in done.stderr
    assert done.returncode == 130, done.stderr

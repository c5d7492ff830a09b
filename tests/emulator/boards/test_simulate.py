"""The command ``crossmesh board simulate``: what it says, what it refuses, and its restarts."""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from crossmesh.common.supervision import interrupts
from crossmesh.emulator.cli.main import run as run_command
from crossmesh.tiles.boards.access import Access, BoardRestarted
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.client import BoardClient
from tests.tiles.boards.board_material import RETRIES, lines

ALL = lines(0, 1, 2, 3), lines(0, 1, 2)


@contextlib.contextmanager
def simulated(folder, *options):
    """The command as a process, and the first lines that it prints; ended by SIGINT, if need be."""
    words = ("board", "simulate", "soft_bounds", "--rows", "4", "--cols", "3", *options)
    process = subprocess.Popen(
        [sys.executable, "-m", "crossmesh", *words], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process, [process.stdout.readline().strip() for _ in range(3)]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.slow
def test_a_board_that_is_killed_goes_on_with_its_devices(tmp_path):
    options = ("--at", "unix:b.sock", "--state", "devices.npz", "--read-noise", "0")
    address = address_of(f"unix:{tmp_path / 'b.sock'}")
    state = tmp_path / "devices.npz"
    with simulated(tmp_path, *options) as (process, said):
        assert said == [
            f"listening at {address}",
            f"use it with: --set 'tile.array={{kind: board, address: {address}}}'",
            "end it with Ctrl-C",
        ]
        access = Access(address, **RETRIES | {"patience_s": 60.0})
        client = BoardClient(access)
        before = state.stat().st_mtime_ns
        seen = client.pulse(*(lines(1, 2), lines(0, 1)), np.array([9, -9], np.int16), read=ALL)
        until = time.monotonic() + 30
        while state.stat().st_mtime_ns == before and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
        process.wait()
    with contextlib.closing(client), simulated(tmp_path, *options) as (process, said):
        assert said[0] == f"listening at {address}"
        with pytest.raises(BoardRestarted):
            client.read(*ALL)
        np.testing.assert_array_equal(client.read(*ALL), seen)
        client.pulse(lines(0), lines(0), np.array([5], np.int16))
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 130
    assert not (tmp_path / "b.sock").exists()
    with np.load(state) as kept:  # that of the end
        assert kept["used"][0, 0] == 5


def run(monkeypatch, *options):
    """Exit code of the command in this process, which ends as soon as it listens."""
    monkeypatch.setattr(interrupts, "requested", lambda: True)
    words = ["board", "simulate", "soft_bounds", "--rows", "2", "--cols", "2", *options]
    monkeypatch.setattr("sys.argv", ["crossmesh", *words])
    return run_command()


def test_what_a_network_needs_is_said(monkeypatch, capsys, tmp_path):
    """A free port, keys that are made, a token, and where a config names them."""
    monkeypatch.chdir(tmp_path)
    Path("token").write_text("0123456789abcdef")
    Path("token").chmod(0o600)
    for options, field in (
        (("--at", "curve:127.0.0.1:0", "--keys", "keys"), "keys"),
        (("--at", "tcp:0.0.0.0:0", "--token", "token"), "token"),
    ):
        assert run(monkeypatch, *options) == 0
        said = capsys.readouterr().out.splitlines()
        at = said[0].removeprefix("listening at ")
        fields = f"address: {at}, {field}: {tmp_path / field}"
        assert said[1] == f"use it with: --set 'tile.array={{kind: board, {fields}}}'"
        assert not at.endswith(":0")
    assert Path("keys.server").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--at", "board"], "--at must be unix:PATH, tcp:HOST:PORT, "),
        (["--at", "replay:a"], "--at must be a unix, tcp, curve or serial address, got replay:a"),
        (
            ["--at", "tcp:0.0.0.0:0"],
            "--token must be given where other machines can connect, got none with --at "
            "tcp:0.0.0.0:0",
        ),
        (["--at", "curve:127.0.0.1:0"], "--keys must be given for an encrypted line, got none"),
        (["--at", "tcp:127.0.0.1:0", "--token", "none"], "--token none must be readable: No such"),
        (["--at", "serial:/dev/none"], "a board cannot listen at serial:/dev/none@115200: "),
        (["--at", "unix:none/b"], "a board cannot listen at unix:none/b: No such file"),
        (["--without", "read"], "--without must be of set, product, got read"),
        (["--stuck", "2"], "--stuck"),
        (["--state", "none/a.npz"], "--state none/a.npz must be writable: No such file"),
    ],
)
def test_what_cannot_be_served_is_refused_in_a_line(options, says, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *options) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert says in captured.err
    assert captured.err.count("\n") == 1

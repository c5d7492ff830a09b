"""Every operation over every kind of line, and who is let in."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.tiles.boards.access import BoardError
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.keys import new_keys, token_of
from crossmesh.tiles.boards.listening import serve
from crossmesh.tiles.boards.serving import Service
from tests.tiles.boards.board_material import ALL, lines, served, simulated
from tests.tiles.boards.faulty_lines import serial_pair

ROOT = Path(__file__).parents[3]
NOBODY = 65534
TOKEN = b"0123456789abcdef0123"


@pytest.fixture(params=["unix", "tcp", "curve", "serial"])
def board(request, tmp_path):
    """A board, and how it is reached over one kind of line."""
    with contextlib.ExitStack() as stack:
        if request.param == "unix":
            serving = stack.enter_context(served(f"unix:{tmp_path / 'board.sock'}"))
            yield serving, serving.access()
        elif request.param == "tcp":
            serving = stack.enter_context(served("tcp:127.0.0.1:0", token=TOKEN))
            yield serving, serving.access(token=TOKEN)
        elif request.param == "curve":
            own, clients = new_keys(tmp_path / "board.keys")
            serving = stack.enter_context(served("curve:127.0.0.1:0", keys=own))
            yield serving, serving.access(keys=clients)
        else:
            here, there = stack.enter_context(serial_pair())
            serving = stack.enter_context(served(f"serial:{there}"))
            yield serving, serving.access()._replace(address=address_of(f"serial:{here}"))


def test_every_operation_does_over_a_line_what_the_board_does(board):
    serving, access = board
    twin = simulated()  # the same devices, asked directly
    with contextlib.closing(BoardClient(access)) as client:
        assert client.description == twin.description
        np.testing.assert_array_equal(client.read(*ALL), twin.read(*ALL))

        at, counts = (lines(0, 3, 0), lines(1, 4, 1)), np.array([20, -7, -3], np.int16)
        twin.pulse(*at, counts, 0.0, 0.0)
        seen = client.pulse(*at, counts, read=ALL)
        np.testing.assert_array_equal(seen, twin.read(*ALL))

        wanted = np.array([40e-9, 20e-9], np.float32)
        twin.set(lines(1, 2), lines(1, 2), wanted)
        near = client.set(lines(1, 2), lines(1, 2), wanted)
        np.testing.assert_array_equal(near, twin.read(*ALL)[[1, 2], [1, 2]])

        for backward, n in ((False, 6), (True, 5)):
            volts = np.linspace(-0.1, 0.1, 3 * n, dtype=np.float32).reshape(3, n)
            amperes = client.product(*ALL, volts, backward=backward)
            np.testing.assert_array_equal(amperes, twin.product(*ALL, volts, backward=backward))
        status = client.status()
        assert status.done == 5
        assert np.isnan(status.celsius)
    assert serving.hardware.saved()["counts"][1] == twin.saved()["counts"][1]


def test_what_is_too_long_for_a_request_is_sent_in_several(tmp_path):
    hardware = simulated(rows=40, cols=30)
    hardware.description = type(hardware.description)(
        **{**vars(hardware.description), "max_cells": 100}
    )
    twin = simulated(rows=40, cols=30)
    every = lines(*range(40)), lines(*range(30))
    rows, cols = (each.reshape(-1).astype(np.uint16) for each in np.indices((40, 30)))
    counts = (np.arange(1200) % 7 - 3).astype(np.int16)
    volts = np.full((9, 40), 0.1, np.float32)
    with served(f"unix:{tmp_path / 'b'}", hardware) as serving, serving.met() as client:
        seen = client.pulse(rows, cols, counts, read=every)
        np.testing.assert_array_equal(client.read(*every), seen)
        amperes = client.product(*every, volts)
        wanted = np.linspace(20e-9, 60e-9, 1200, dtype=np.float32)
        near = client.set(rows, cols, wanted)
    for piece in range(0, 1200, 100):
        some = slice(piece, piece + 100)
        twin.pulse(rows[some], cols[some], counts[some], 0.0, 0.0)
    np.testing.assert_array_equal(seen, twin.read(*every))
    np.testing.assert_allclose(amperes, volts @ twin.read(*every), rtol=1e-5)
    assert np.median(np.abs(near - wanted)) < 0.3e-9  # some do not reach as far


@pytest.mark.parametrize(
    ("token", "says"), [(None, "asks for a token"), (b"another" * 4, "asks for another token")]
)
def test_a_wrong_token_is_refused_in_a_line(token, says):
    with served("tcp:127.0.0.1:0", token=TOKEN) as serving:
        with pytest.raises(BoardError, match=says):
            BoardClient(serving.access(token=token))
        with serving.met(token=TOKEN) as client:
            assert client.status().done == 0


def test_a_stranger_without_the_token_does_nothing(tmp_path):
    """Requests that do not begin with a greeting, too."""
    at = "tcp:127.0.0.1:0"
    with served(at, token=TOKEN) as serving, serving.met(token=TOKEN) as client:
        client._session._access = serving.access(token=None, patience_s=0.0)
        client._session._drop()
        with pytest.raises(BoardError, match="asks for a token"):
            client.pulse(lines(0), lines(0), np.array([5], np.int16))
        assert serving.hardware.saved()["counts"][1] == 0


def test_other_keys_than_the_boards_are_not_let_in(tmp_path):
    own, clients = new_keys(tmp_path / "board.keys")
    _, others = new_keys(tmp_path / "others.keys")
    assert new_keys(tmp_path / "board.keys") == (own, clients)  # kept
    wrong = [
        others,
        type(own)(server_public=own.server_public, public=others.public, secret=others.secret),
    ]
    with served("curve:127.0.0.1:0", keys=own) as serving:
        for keys in wrong:
            with pytest.raises(BoardError, match="cannot be reached"):
                BoardClient(serving.access(keys=keys, answer_s=0.1))
        with serving.met(keys=clients) as client:
            assert client.status().done == 0


def test_secrets_that_others_may_read_are_refused(tmp_path):
    path = tmp_path / "token"
    path.write_bytes(TOKEN)
    path.chmod(0o644)
    with pytest.raises(ValueError, match=r"its owner alone may read \(chmod 600 "):
        token_of(path)
    path.chmod(0o600)
    assert token_of(path) == TOKEN


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_another_user_of_the_machine_is_not_let_in(tmp_path):
    code = f"""
import os, socket
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect("b.sock")
print(s.recv(1))
"""
    tmp_path.chmod(0o755)
    with served(f"unix:{tmp_path / 'b.sock'}"):
        for mode, end in ((0o600, "PermissionError"), (0o666, "b''")):
            (tmp_path / "b.sock").chmod(mode)
            tried = subprocess.run(
                [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False,
                cwd=tmp_path,
            )  # fmt: skip
            assert end in tried.stdout + tried.stderr


def test_a_socket_in_use_is_kept_and_a_dead_one_is_replaced(tmp_path):
    path = tmp_path / "board.sock"
    with served(f"unix:{path}"):
        with pytest.raises(ConfigError, match=r"cannot listen at .*: Address already in use"):
            serve(Service(simulated()), address_of(f"unix:{path}"))
        assert path.is_socket()
    assert not path.exists()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with served(f"unix:{path}") as serving, serving.met() as client:
        assert client.status().done == 0


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("tcp:nowhere.invalid:1", "cannot listen at tcp:nowhere.invalid:1: "),
        ("curve:127.0.0.1:1", "keys must be given to serve a board at curve:127.0.0.1:1"),
        ("serial:/dev/none", "cannot listen at serial:/dev/none@115200: "),
        ("replay:a", "must be served at a unix, tcp, curve or serial address, got replay:a"),
    ],
)
def test_where_no_board_can_be_served_is_said_in_a_line(address, says):
    with pytest.raises(ConfigError, match=says) as caught:
        serve(Service(simulated()), address_of(address), ready=lambda at: None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "tcp:a", "tcp:a:70000", "tcp::1", "serial:a@b", "usb:a"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"must be .*got"):
        address_of(text)


def test_a_board_that_is_not_there_is_said_to_be_away():
    said = []
    with served("tcp:127.0.0.1:0") as serving:
        client = BoardClient(serving.access(patience_s=0.2), said.append)
    with pytest.raises(BoardError, match=r"was away for 0\.2 s"):
        client.status()
    assert "waiting up to 0.2 s for it" in said[0]

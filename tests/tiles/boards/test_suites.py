"""Served boards, held to the rules that boards of others are held to: in Python, and in C."""

import os
import shutil
import subprocess
import tty
from pathlib import Path

import pytest

from crossmesh.testing import BoardTests
from tests.tiles.boards.board_material import Steps, served

FIRMWARE = Path(__file__).parents[3] / "examples" / "boards" / "firmware"
FLAGS = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic"]


class TestService(BoardTests):
    @pytest.fixture(autouse=True, scope="class", params=["open", "with a token"])
    @classmethod
    def board(cls, request, tmp_path_factory):
        is_open = request.param == "open"
        place = f"unix:{tmp_path_factory.mktemp('board')}/s" if is_open else "tcp:127.0.0.1:0"
        cls.token = None if is_open else b"a token of 20 bytes!"
        with served(place, Steps() if is_open else None, cls.token) as board:
            cls.address = str(board.address)
            yield


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    """The reference firmware, compiled for this machine."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("the firmware needs a C compiler named cc")
    program = tmp_path_factory.mktemp("firmware") / "board"
    sources = [FIRMWARE / "board.c", FIRMWARE / "simulated.c"]
    built = [compiler, *FLAGS, "-o", program, *sources, "-lm"]
    done = subprocess.run(built, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


class TestFirmware(BoardTests):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def board(cls, firmware):
        pytest.importorskip("serial", reason="serial lines need pyserial")
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        cls.address = f"serial:{os.ttyname(theirs)}"
        with subprocess.Popen([firmware], stdin=ours, stdout=ours) as running:
            yield
            running.kill()
        os.close(ours)
        os.close(theirs)

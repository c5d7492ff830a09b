"""``crossmesh board serve``: instruments of pyvisa-sim as a board, and what is refused."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.boards.instruments import instrument_board
from crossmesh.emulator.boards.visa import VisaBoard
from crossmesh.tiles.boards.access import Access
from crossmesh.tiles.boards.addresses import Address
from crossmesh.tiles.boards.client import BoardClient
from tests.emulator.commands.shell import refused

ROOT = Path(__file__).parents[3]
FRAME = Path(__file__).with_name("frame.yaml")
BOARD = {
    "name": "frame", "rows": 2, "cols": 3, "off_siemens": 1.0, "on_siemens": 20.0, "read_v": 0.1,
    "up_v": 1.25, "down_v": -0.75, "most_v": 2.0, "pulse_s": 1e-3, "limit_a": 1.5, "item": 1,
    "visa": f"{FRAME}@sim",
    "instruments": {name: {"resource": "GPIB0::16::INSTR"} for name in ("smu", "matrix")},
    "commands": {
        "start": [{"smu": "*RST"}, {"smu": "*OPC?"}],
        "close": [{"matrix": "CLOSE {row}{col:02d}"}, {"wait": "0.001"}],
        "read": [{"smu": "VOLT {volts:.3f}"}],
        "measure": {"smu": "CURR?"},
        "pulse": [{"smu": "PULSE {volts:.6f}"}, {"smu": "WIDT {width_s:.6f}"}],
        "open": [{"smu": "VOLT 0.000"}, {"matrix": "CLOSE 0"}],
    },
}  # fmt: skip
ALL = np.arange(2, dtype=np.uint16), np.arange(3, dtype=np.uint16)


def written(folder, **changes):
    """A file of the board with some fields changed, ``a.b`` within others."""
    tree = yaml.safe_load(yaml.safe_dump(BOARD))
    for place, value in changes.items():
        *parents, name = place.split("__")
        section = tree
        for parent in parents:
            section = section[parent]
        section[name] = value
    file = folder / "board.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


def test_a_process_serves_instruments_that_a_client_reads_and_pulses(tmp_path):
    file = written(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "crossmesh", "board", "serve", file.name, "--at", "unix:b"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, stdout=subprocess.PIPE, text=True,
    ) as serving:  # fmt: skip
        try:
            assert "listening at" in serving.stdout.readline()
            with contextlib.closing(client_of(tmp_path / "b")) as board:
                _read_and_pulse(board)
        finally:
            serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 130


def client_of(path):
    return BoardClient(Access(Address("unix", str(path)), patience_s=20))


def _read_and_pulse(board):
    assert (board.description.rows, board.description.cols) == (2, 3)
    assert board.read(*ALL) == pytest.approx(np.full((2, 3), 5.0))
    rows, cols = np.array([[1, 0], [0, 2]], np.uint16)
    after = board.pulse(rows, cols, np.array([3, -1], np.int16), read=ALL)
    assert after == pytest.approx(np.array([[5, 5, -7.5], [12.5, 5, 5]]))
    after = board.pulse(rows, cols, np.array([-1, 1], np.int16), 1.0, read=ALL)
    assert after == pytest.approx(np.array([[5, 5, 10], [-10, 5, 5]]))


def test_pulses_are_as_wide_as_asked_for_or_as_the_file_says(tmp_path):
    row, col, one = (np.array([n]) for n in (1, 2, 1))
    with VisaBoard(instrument_board(written(tmp_path))) as board:
        smu = board._instruments["smu"]
        for width_s, sent in ((0.0, 1e-3), (5e-3, 5e-3)):
            board.pulse(row, col, one, 0.0, width_s)
            smu.write("CLOSE 203")
            assert float(smu.query("WIDT?")) == sent


def test_devices_are_disconnected_whatever_happens(tmp_path):
    for question, says in (
        ("BAD?", "smu answers '1.0,none', which holds no current"),
        ("NAN?", "smu answers '9.91E\\+37', which holds no current"),
        ("ERR?", "smu answers 'ERROR', which holds no current"),
    ):
        with VisaBoard(
            instrument_board(written(tmp_path, commands__measure={"smu": question}))
        ) as board:
            with pytest.raises(ValueError, match=says):
                board.read(*ALL)
            matrix = board._instruments["matrix"]
            assert [float(matrix.query(each)) for each in ("CLOSE?", "VOLT?")] == [0, 0]


@pytest.mark.parametrize(("question", "siemens"), [("HIGH?", 15.0), ("CURR?", 5.0)])
def test_a_current_is_cut_to_its_limit(question, siemens, tmp_path):
    changes = {"commands__measure": {"smu": question}, "item": int(question == "CURR?")}
    with VisaBoard(instrument_board(written(tmp_path, **changes))) as board:
        assert board.read(*ALL) == pytest.approx(siemens)


def test_the_example_is_a_board():
    board = instrument_board(ROOT / "examples" / "boards" / "instruments.yaml")
    assert (board.description.rows, board.description.cols) == (8, 8)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"up_v": 3.0}, "up_v must be between 0 and most_v, 2 V, got 3"),
        ({"read_v": 0.0}, "read_v must not be 0"),
        ({"on_siemens": 0.5}, "on_siemens must be above off_siemens"),
        ({"commands__close": [{"dmm": "X"}]}, "commands.close must name one of matrix, smu, wait"),
        ({"commands__pulse": [{"smu": "X {row.real}"}]}, "commands.pulse must be a text in which"),
        ({"commands__pulse": [{"smu": "X {}"}]}, "commands.pulse must be a text in which"),
        ({"commands__open": [{"wait": "long"}]}, "commands.open must be seconds in which words"),
        ({"instruments__smu": {"resource": "here"}},
         "instruments.smu.resource must be one that can be opened, got here: "),
        ({"commands__start": [{"smu": "NAN?"}], "instruments__smu__timeout_s": 0.0},
         "instruments.smu.timeout_s must be above 0"),
        ({"visa": "no.so@ivi"}, "visa must be a VISA library that is installed, got 'no.so@ivi'"),
    ],
)  # fmt: skip
def test_what_is_no_board_is_refused_in_a_line(changes, says, tmp_path):
    assert says in refused("board", "serve", written(tmp_path, **changes))


def test_a_field_of_an_instrument_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"instruments\.smu\.resourc"):
        instrument_board(written(tmp_path, instruments__smu={"resourc": "x"}))

"""``crossmesh board measure``: what it writes, ``devices fit`` takes, and finds the board's law."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
import yaml

from crossmesh.emulator.boards.measuring import Train, pulsed
from crossmesh.emulator.boards.sampling import LineCells, region, spread
from crossmesh.emulator.boards.simulated import SimulatedBoard, Simulation
from crossmesh.tiles.analog.devices import DEVICES
from crossmesh.tiles.boards.access import BoardRestarted
from crossmesh.tiles.boards.maps import LineMap
from tests.emulator.boards.law_board import LawBoard, client, served
from tests.emulator.commands.shell import crossmesh, done, refused

FEW = ("--engine", "local", "--examples", "8", "--epochs", "1", "--quiet", "--json",
       "--set", "training.baseline=false", "--set", "training.test_examples=8")  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with short names for sockets."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(path):
    lines = path.read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_measured_fitted_and_trained_as_typed_the_law_is_that_of_the_board(place):
    """Steps within two standard errors of some 20 devices, a tenth apart."""
    law = DEVICES["soft_bounds"](
        step=0.05, device_noise=0.1, cycle_noise=0.3, asymmetry=0.2,
        upper_device_noise=0.05, lower_device_noise=0.05,
    )  # fmt: skip
    board = SimulatedBoard(Simulation(device=law, rows=8, cols=16, read_noise=0.002, stuck=0.1))
    with served(board, "b"):
        measured = done("board", "measure", "unix:b", "--output", "t.csv", "--lines", "1-3,1-8",
                        "--pulses", 60, "--json").answer  # fmt: skip
    still = np.argwhere(board._is_stuck[1:4, 1:9]) + 1
    assert measured["still"] == [f"r{i}c{j}" for i, j in still]
    n = 24 - len(still)
    assert measured["cells"] == n < 24
    assert len(rows_of(place / "t.csv")) == n * 2 * 2 * 60
    fit = done("devices", "fit", "t.csv", "--law", "soft_bounds", "--json").answer
    assert (fit["devices"], fit["cycles"]) == (n, 2)
    device = yaml.safe_load((place / "t.yaml").read_text())
    what, (lower, upper) = board.description, law.limits
    per_w = (what.on_siemens - what.off_siemens) / (upper - lower)  # siemens
    middle = what.off_siemens - lower * per_w  # where the law's w is 0
    offset, scale = 1e-9 * fit["offset"], 1e-9 * fit["scale"]
    w = (offset - middle) / per_w  # where the fit's w is 0
    rise, fall = (0.05 * (1 - w / upper), 0.04 * (1 - w / lower))
    steps = [device["step"], device["step"] * (1 - device["asymmetry"])]
    assert np.multiply(steps, scale / per_w) == pytest.approx([rise, fall], rel=0.05)
    ends = np.multiply([device["lower"], device["upper"]], scale) + offset
    assert ends == pytest.approx([what.off_siemens, what.on_siemens], abs=0.03 * 2 * upper * per_w)
    assert device["device_noise"] == pytest.approx(0.1, rel=0.6)  # with the errors of 22 fits
    assert device["cycle_noise"] == pytest.approx(0.3, rel=0.35)  # it is found too low
    trained = done("train", "digits", "--set", "tile.cell={extends: t.yaml}", *FEW).answer
    assert trained["examples_trained"] == 8


def test_retention_is_that_of_the_board(place):
    with served(LawBoard(4, 4, step=0.2, tau_s=0.5), "b"):
        said = done("board", "measure", "unix:b", "--output", "t.csv", "--cells", 4,
                    "--pulses", 20, "--retention", "0.05s,0.1s,0.3s")  # fmt: skip
    assert "crossmesh devices fit t.csv --retention t-retention.csv" in said.out
    rows = rows_of(place / "t-retention.csv")
    assert len(rows) == 4 * 13
    assert 0.05 <= float(rows[0]["time (s)"]) < 0.3
    kept = done("devices", "fit", "--retention", "t-retention.csv", "--json").answer
    assert kept["tau_s"] == pytest.approx(0.5, rel=0.15)


def test_cells_are_spread_and_good():
    usable = LineMap(tuple(range(1, 65)), tuple(range(2, 66, 2)), stuck=((9, 2, 0.0),))
    sample = spread(usable, 64)
    cells = [(line.row, int(j)) for line in sample for j in line.cols]
    assert len(set(cells)) == len(cells) == 64
    assert {i for i, _ in cells} <= set(usable.rows)
    assert {j for _, j in cells} <= set(usable.cols)
    assert len(sample) == 8
    for axis, most in ((0, 65), (1, 66)):
        places = np.unique([cell[axis] for cell in cells])
        assert np.diff(np.concatenate([[0], places, [most]])).max() <= most / 6
    assert sum(len(line.cols) for line in spread(usable, 64 * 32)) == 64 * 32 - 1
    (line,) = region(usable, "9,1-6")
    assert (line.row, line.cols.tolist(), line.names) == (9, [4, 6], ["r9c4", "r9c6"])


def test_a_word_line_begins_again_where_the_board_started_anew(place):
    board = LawBoard(2, 2)
    with client(board, "b") as asked:
        pulse, calls = asked.pulse, []

        def lost_once(*arguments):
            calls.append(arguments)
            if len(calls) == 4:
                raise BoardRestarted("the board has started anew")
            return pulse(*arguments)

        asked.pulse = lost_once
        train, cells = Train(5), LineCells(1, np.array([0, 1], np.uint16))
        (found,) = pulsed(asked, [cells], train)
    assert len(calls) == 4 + 11
    assert found.up.shape == (2, 1, 5)
    assert (np.diff(found.up) > 0).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--lines", "3"), "--lines must be word lines and bit lines such as 0-3,8-15, got 3"),
        (("--lines", "9,0"), "--lines must be of word lines 0 to 2 and bit lines 0 to 1, got 9,0"),
        (("--cells", "7"), "--cells must be at most 6 on this board, got 7"),
        (("--cells", "1", "--lines", "0,0"), "--cells must be left out where --lines says"),
        (("--retention", "0s,2s"), "--retention must be at least 2 times above 0, got 0s,2s"),
        (("--retention", "1"), "--retention must be times such as 1s,1h,30d"),
        (("--volts", "3"), "--volts must be at most 1 on this board, got 3"),
        (("--pulses", "10000", "--cycles", "9"), "must give at most 800,000 readings"),
        (("--map", "no.yaml"), "--map must be readable, got no.yaml: No such file"),
        (("--map", "law.yaml"), "--map must be a map that crossmesh board check has written"),
        (("--map", "big.yaml"), "--map must be of a board of 3 x 2, got lines up to 2 and 2 in"),
        (("--token", "no"), "--token must be readable, got no: No such file"),
        (("--output", "law.yaml"), "--output must be a new file, got law.yaml, which exists"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, says, place):
    (place / "law.yaml").write_text("rows: {}")
    (place / "big.yaml").write_text("rows: [2]\ncols: [2]")
    with served(LawBoard(3, 2), "b"):
        said = refused("board", "measure", "unix:b", "--output", "t.csv", *options)
    assert says in said
    assert not (place / "t.csv").exists()


def test_a_board_that_does_not_move_or_is_not_there_ends_in_a_line(place):
    board = LawBoard(2, 2)
    board.stuck[:] = True
    asked = ("board", "measure", "unix:b", "--output", "t.csv", "--quiet")
    with served(board, "b"):
        said = crossmesh(*asked)
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "none of 4 cells moves up and down with 100 pulses" in said.err
    assert not (place / "t.csv").exists()
    gone = crossmesh(*asked)
    assert (gone.code, gone.err) == (1, "error: the board unix:b cannot be reached: "
                                        "No such file or directory\n")  # fmt: skip


def test_cells_that_noise_hides_are_told_from_stuck_ones_and_more_pulses_are_named(place):
    board = LawBoard(6, 6, step=0.002, cycle_noise=10, read_noise=1e-9)
    board.stuck[1, 1] = True
    with served(board, "b"):
        said = done("board", "measure", "unix:b", "--output", "t.csv", "--lines", "0-5,0-5",
                    "--pulses", 40, "--cycles", 1)  # fmt: skip
    assert "left out, because pulses do not move them: r1c1\n" in said.out
    (hidden,) = (line for line in said.out.splitlines() if "noise hides how they move" in line)
    cells = {row["device"] for row in rows_of(place / "t.csv")}
    assert len(cells) + len(hidden.split(", ")) - 1 == 35
    share, more = re.search(r"40 pulses cross (\d+) % .*; --pulses (\d+) would", said.out).groups()
    assert int(more) == pytest.approx(40 * 100 / int(share), rel=0.1)


def test_a_board_that_asks_for_a_token_says_how_long_it_takes(place):
    token = place / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    board = LawBoard(2, 2)
    board.description = replace(board.description, row_read_s=0.5, row_write_s=1.0)
    with served(board, "b", b"0123456789abcdef") as address:
        asked = ("board", "measure", address, "--output", "t.csv", "--pulses", 3, "--cells", 1)
        said = done(*asked, "--token", "token")
        other = crossmesh("board", "check", address)
    assert "measuring: 21 requests, about 32 s\n" in said.err
    assert (other.code, other.err) == (1, f"error: the board {address} asks for a token\n")

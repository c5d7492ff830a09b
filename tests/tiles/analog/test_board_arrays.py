"""Devices of tiles that lie on a board, which is served in a thread over a real socket."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from typer.testing import CliRunner

from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.emulator.cli.main import app
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.training.training import train
from crossmesh.tiles.analog.board_devices import pulsed_by
from crossmesh.tiles.analog.pulser import Trains
from crossmesh.tiles.boards.access import BoardError, BoardRestarted
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.hardware import Description
from crossmesh.tiles.boards.listening import serve
from crossmesh.tiles.boards.serving import Service

LINE = 7.5e-10  # siemens of a pulse
LAYER = "network=[{kind: linear, outputs: 10, activation: softmax}]"
TWO = "network=[{kind: linear, outputs: 8}, {kind: linear, outputs: 10, activation: softmax}]"
CELLS = {
    "constant_step": 1, "pair": 2, "shared_reference": 1, "pairs": 4, "pcm_3t1c": 2,
}  # fmt: skip


class Linear:
    """Devices whose conductance moves by the same step at every pulse."""

    def __init__(self, rows=200, cols=60, can=("set", "product")):
        self.siemens = np.full((rows, cols), 5e-7, np.float32)
        self.touched = np.zeros((rows, cols), bool)
        self.requests = 0
        self.description = Description(
            name="linear", rows=rows, cols=cols, off_siemens=1e-7, on_siemens=1e-6, can=can
        )

    def read(self, rows, cols):
        return self.siemens[np.ix_(rows, cols)]

    def pulse(self, rows, cols, counts, volts, width_s):
        self.requests += 1
        self.touched[rows, cols] = True
        for row, col, count in zip(rows, cols, counts, strict=True):
            moved = self.siemens[row, col] + np.float32(LINE) * count
            self.siemens[row, col] = np.clip(moved, 1e-7, 1e-6)

    def set(self, rows, cols, siemens):
        self.touched[rows, cols] = True
        self.siemens[rows, cols] = siemens

    def product(self, rows, cols, volts, *, backward):
        siemens = self.read(rows, cols)
        return volts @ (siemens.T if backward else siemens)


@contextmanager
def served(hardware, path):
    """Its server, until the end of the block."""
    ready, ended = threading.Event(), threading.Event()
    address = address_of(f"unix:{path}")
    arguments = (Service(hardware), address, None, lambda _: ready.set(), ended.is_set)
    thread = threading.Thread(target=serve, args=arguments)
    thread.start()
    assert ready.wait(10)
    try:
        yield ended.set
    finally:
        ended.set()
        thread.join(10)


@pytest.fixture
def board(tmp_path):
    hardware = Linear()
    with served(hardware, tmp_path / "board"):
        yield hardware


def _yaml(value):
    return value if isinstance(value, float) else f"'{value}'"


def config(path, *overrides, **array):
    fields = {"address": f"unix:{path}/board", **array}
    given = ", ".join(f"{name}: {_yaml(value)}" for name, value in fields.items())
    return load_config(
        "digits",
        [
            LAYER, "engine.kind=local", "training.epochs=1", "training.examples=40",
            "training.baseline=false", f"tile.array={{kind: board, {given}}}", *overrides,
        ],
    )  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_all_devices_of_a_cell_lie_on_the_board_and_reads_are_those_of_the_board(
    cell, board, tmp_path
):
    of_cells = train(config(tmp_path, f"tile.cell={{kind: {cell}}}"))
    touched = board.touched.copy()
    board.siemens[:] = 5e-7
    by_board = train(config(tmp_path, f"tile.cell={{kind: {cell}}}", reads="products"))

    assert touched[:64, : 10 * CELLS[cell]].all()
    assert touched.sum() == 64 * 10 * CELLS[cell]
    assert of_cells.summary["emulation"]["on_boards"] == 2
    assert by_board.test_loss == pytest.approx(of_cells.test_loss, abs=2e-3)


def test_mixed_precision_sends_what_is_due_to_the_board_at_once(board, tmp_path):
    mixed = ("training.algorithm={kind: mixed_precision, every: 10}",)
    assert train(config(tmp_path, *mixed)).test_accuracy > 0.2
    assert 0 < board.requests <= 2 * 40 / 10  # of two tiles


def test_a_transcript_gives_the_same_bits_without_the_board(board, tmp_path):
    cells = "tile.cell={kind: pair}"
    first = train(config(tmp_path, cells, transcript=tmp_path / "said"))
    again = train(config(tmp_path, cells, address=f"replay:{tmp_path}/said"))

    assert again.state_digest == first.state_digest
    assert again.test_loss == first.test_loss
    with pytest.raises(BoardError, match="something else than the transcript"):
        train(config(tmp_path, cells, "seed=1", address=f"replay:{tmp_path}/said"))
    said = r"tile\.array\.transcript must be a folder without one of another run, got .*/said"
    with pytest.raises(ConfigError, match=said):
        train(config(tmp_path, cells, transcript=tmp_path / "said"))
    (tmp_path / "none").touch()
    with pytest.raises(BoardError, match=r"transcript .*/none holds nothing"):
        train(config(tmp_path, cells, address=f"replay:{tmp_path}/none"))


def test_a_board_that_starts_anew_is_set_to_what_was_read_last(tmp_path):
    before, after = Linear(), Linear()
    with served(before, tmp_path / "board"):
        train(config(tmp_path), tmp_path / "run")
    held = before.siemens.copy()
    with served(after, tmp_path / "board"):
        done = train(config(tmp_path), tmp_path / "run", resume=True)

    assert done.examples_trained == 40
    assert np.abs(after.siemens - held)[:64, :10].max() <= 0.011 * 9e-7  # as tolerance says


def test_a_board_that_starts_anew_while_it_is_set_again_loses_nothing(tmp_path, monkeypatch):
    before, after = Linear(), Linear()
    with served(before, tmp_path / "board"):
        train(config(tmp_path), tmp_path / "run")
    held, made = before.siemens.copy(), BoardClient.set
    restarts = []

    def interrupted(client, *arguments):
        if not restarts:
            restarts.append(client)
            client._session.starts += 1
            raise BoardRestarted("the board has started anew")
        return made(client, *arguments)

    monkeypatch.setattr(BoardClient, "set", interrupted)
    with served(after, tmp_path / "board"):
        train(config(tmp_path), tmp_path / "run", resume=True)

    assert restarts
    assert np.abs(after.siemens - held)[:64, :10].max() <= 0.011 * 9e-7


def test_pulses_are_the_coincidences_of_trains_in_their_order():
    rows = np.array([[0b111, 0, 0x80000001], [0b1, 0b10, 0]], np.uint32)
    columns = np.array([[0b101, 0x80000100, 0, 7], [0, 0b10, 0b11, 7]], np.uint32)
    found = pulsed_by(Trains(rows, columns, 0), 3)

    assert list(zip(*(each.tolist() for each in found), strict=True)) == [
        (0, 0, 2), (2, 0, -1), (0, 2, 1), (1, 1, 1), (1, 2, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "array", "said"),
    [
        ((), {"region": [180, 0]}, "tile.array.region must leave 40 rows of the board linear"),
        ((TWO,), {}, "tile.array.region must keep arrays apart on the board unix:"),
        ((), {"planes": ["x"]}, "tile.array.planes of constant_step must be of devices, got 'x'"),
        ((), {"planes": []}, "tile.array.planes"),
        ((), {"address": "serial:/dev/x"}, "a serial line has one user; got serial:/dev/x@115200"),
        ((), {"address": "x:1"}, "tile.array.address must be unix:PATH, tcp:HOST:PORT"),
        (("tile.cell={kind: ideal}",), {}, "tile.array must be left out with cells of kind ideal"),
        (("training.algorithm={kind: tiki_taka}",), {}, "tile.array must be left out, or training"),
        (
            (),
            {"map": "beyond.yaml"},
            "tile.array.map must have rows below 200, as the board linear",
        ),
        ((), {"siemens": [2e-6, 1e-6]}, "tile.array.siemens must rise"),
        ((), {"token": "nowhere"}, "tile.array.token cannot be read: No such file"),
    ],
)
def test_what_cannot_lie_on_the_board_is_refused(overrides, array, said, board, tmp_path):
    (tmp_path / "beyond.yaml").write_text(f"rows: {list(range(300))}\ncols: {list(range(60))}\n")
    if "map" in array:
        array = {"map": str(tmp_path / array["map"])}
    text = str(array).replace("{", "").replace("}", "")
    address = "" if "address" in array else f", address: 'unix:{tmp_path}/board'"
    given = f"tile.array={{kind: board, {text}{address}}}".replace("board, ,", "board,")
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        train(load_config("digits", [LAYER, "engine.kind=local", *overrides, given]))


def test_a_board_that_is_not_there_is_said_in_a_line(tmp_path):
    with pytest.raises(BoardError, match=r"board unix:.*/board cannot be reached: No such file"):
        train(config(tmp_path))


def test_a_board_that_fails_says_why(board, tmp_path):
    def burns(*arguments):
        raise OSError("burnt")

    board.pulse = burns
    with pytest.raises(BoardError, match="answers: OSError: burnt"):
        train(config(tmp_path))


def test_a_run_ends_when_its_board_is_away_for_longer_than_it_waits(tmp_path):
    hardware, wanted = Linear(), config(tmp_path, patience_s=0.3)
    with served(hardware, tmp_path / "board") as end:
        hardware.pulse = lambda *arguments: end()
        said = r"was away for 0\.3 s \(.*\); resume with: crossmesh resume .*run"
        with pytest.raises(RunLost, match=said):
            train(wanted, tmp_path / "run")


@pytest.mark.slow
def test_a_training_goes_on_with_a_board_that_was_killed_and_started_again(tmp_path):
    """By the commands that a user types, each in a process of its own."""

    def command(*arguments, **options):
        return subprocess.Popen(
            [sys.executable, "-m", "crossmesh", *arguments], cwd=tmp_path, text=True, **options
        )

    def simulated():
        size = "--rows", "64", "--cols", "20", "--at", "unix:b", "--state", "devices.npz"
        board = command("board", "simulate", "pcm-memory", *size, stdout=subprocess.PIPE)
        assert f"unix:{tmp_path}/b" in board.stdout.readline()
        return board

    board = simulated()
    training = command(
        "train", "digits", LAYER, "--engine", "local", "--json", "training.epochs=3",
        "tile.cell={kind: pcm_3t1c, transfer: {every: 400}}",
        "tile.array={kind: board, address: 'unix:b'}",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        notes = []
        for note in training.stderr:
            notes.append(note)
            if note.startswith("epoch 1"):
                board.kill()
                board.wait()
                board.stdout.close()
            elif "is away" in note:
                board = simulated()
        summary = json.loads(training.stdout.read())
        assert training.wait(60) == 0, notes
    finally:
        for process in (training, board):
            process.kill()
            process.wait()
            process.stdout.close()
        training.stderr.close()
    assert any(note.endswith("/b is back\n") for note in notes), notes
    assert summary["examples_trained"] == 3 * 1438
    assert summary["emulation"]["on_boards"] == 2
    assert summary["test_accuracy"] > 0.5


def test_a_measured_device_says_what_its_bounds_are_in_siemens(board, tmp_path):
    """Steps of 7.5e-10 S are 0.001 of a range of 1.2 over 9e-7 S, as the board says it is."""
    train(config(tmp_path, "tile.cell={kind: constant_step, upper_device_noise: 0}"))
    as_board_says = board.siemens[:64, :10].copy()
    electrical = "electrical: {off_siemens: 2.0e-7, on_siemens: 6.5e-7}"
    train(
        config(tmp_path, f"tile.cell={{kind: constant_step, {electrical}}}", "training.examples=1")
    )
    as_measured = board.siemens[:64, :10]

    assert as_board_says.mean() == pytest.approx(5.5e-7, rel=0.02)  # weight 0, in the middle
    assert as_measured.mean() == pytest.approx(4.25e-7, rel=0.02)


def test_runs_of_a_study_share_a_board_one_after_the_other(board, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = ["study", "digits", "--seeds", "0,1", "--output", "o", "--set", "training.examples=8"]
    wanted += ["--set", "training.epochs=1", "--set", "engine.kind=local", "--set", LAYER]
    wanted += ["--set", "tile.array={kind: board, address: 'unix:board'}"]
    refused = CliRunner().invoke(app, [*wanted, "--jobs", "2"])
    assert "--jobs must be 1, without --address, where runs share a board" in str(refused.exception)
    assert not CliRunner().invoke(app, wanted).exception
    assert board.touched.any()

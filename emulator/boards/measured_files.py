"""Measurements of a board in tables that ``crossmesh devices fit`` reads."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crossmesh.common.errors import ConfigError, RunError
from crossmesh.emulator.boards.measuring import LineReadings, Train, Watch, kept, pulsed
from crossmesh.emulator.boards.sampling import LineCells
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.hardware import Description

PULSE_HEAD = ("device", "cycle", "direction", "pulse", "conductance (S)")
RETENTION_HEAD = ("device", "time (s)", "conductance (S)")


class MeasuredCells(NamedTuple):
    """What a table of pulses holds.

    Attributes:
        moving: Cells whose readings are in it.
        still: Names of those that were left out because pulses do not move them.
        hidden: Names of those that were left out because they do not move with the pulses on
            average: noise hides it.
        share: Of the range that the board states, what up pulses cross on average.
        low_siemens: Smallest reading.
        high_siemens: Largest reading.
    """

    moving: list[LineCells]
    still: list[str]
    hidden: list[str]
    share: float
    low_siemens: float
    high_siemens: float


def measure(
    board: BoardClient, sample: Sequence[LineCells], train: Train, output: Path,
    watch: Watch = lambda done: None,
) -> MeasuredCells:  # fmt: skip
    """Measure pulse responses and write them, each word line as soon as it is done.

    Raises:
        ConfigError: If ``output`` is no new file.
        RunError: If no cell moves.
    """
    moving, still, hidden, ways = [], list[str](), list[str](), []
    low, high = float("inf"), float("-inf")
    volts = train.volts or board.description.pulse_v
    width_s = train.width_s or board.description.pulse_s
    remark = f"{what_board(board.description)}; pulses of {volts:g} V, {width_s:g} s"
    with new_table(output, PULSE_HEAD, remark) as table:
        for line in pulsed(board, sample, train, watch):
            are_still, travel = line.are_still(), line.travel()
            still += line.of(are_still).cells.names
            hidden += line.of(~are_still & ~travel).cells.names
            both = line.up[~are_still]
            ways.append((both[..., -1] - both[..., 0]).ravel())
            good = line.of(~are_still & travel)
            if not good.cells.names:
                continue
            moving.append(good.cells)
            table.add(pulse_rows(good))
            low = min(low, float(good.up.min()), float(good.down.min()))
            high = max(high, float(good.up.max()), float(good.down.max()))
    if not moving:
        output.unlink()
        raise RunError(
            f"none of {len(still + hidden)} cells moves up and down with {train.pulses} pulses; "
            "crossmesh board check finds those that do"
        )
    what = board.description
    share = float(np.concatenate(ways).mean()) / (what.on_siemens - what.off_siemens)
    return MeasuredCells(moving, still, hidden, share, low, high)


def measure_retention(
    board: BoardClient, sample: Sequence[LineCells], train: Train, times_s: Sequence[float],
    output: Path,
) -> None:  # fmt: skip
    """Measure what cells keep of their upper conductance, and write it reading by reading.

    Raises:
        ConfigError: If ``output`` is no new file.
    """
    with new_table(output, RETENTION_HEAD, what_board(board.description)) as table:
        for cells, after_s, siemens in kept(board, sample, train, times_s):
            table.add(
                (name, f"{after_s:.6g}", f"{value:.7g}")
                for name, value in zip(cells.names, siemens, strict=True)
            )


class GrowingTable:
    """A CSV file to which rows are added, each there at once.

    Args:
        file: Open for writing.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._writer = csv.writer(file, lineterminator="\n")

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add rows."""
        self._writer.writerows(rows)
        self._file.flush()


@contextmanager
def new_table(path: Path, head: tuple[str, ...], remark: str) -> Iterator[GrowingTable]:
    """A new CSV file.

    Args:
        path: The file.
        head: Names of the columns.
        remark: A line above them.

    Raises:
        ConfigError: If it is there already, or cannot be written.
    """
    try:
        file = path.open("x", encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"--output must be a new file, got {path}: {error.strerror}") from None
    with file:
        file.write(f"# {remark}\n")
        table = GrowingTable(file)
        table.add([head])
        yield table


def what_board(description: Description) -> str:
    """The board in a line."""
    name = " ".join(description.name.split())
    return f"board {name}, {description.rows} word lines x {description.cols} bit lines"


def pulse_rows(readings: LineReadings) -> Iterator[tuple[str, int, str, int, str]]:
    """Rows under ``PULSE_HEAD``."""
    for k, name in enumerate(readings.cells.names):
        for cycle in range(readings.up.shape[1]):
            for way, values in (("up", readings.up), ("down", readings.down)):
                for pulse, siemens in enumerate(values[k, cycle], 1):
                    yield name, cycle + 1, way, pulse, f"{siemens:.7g}"

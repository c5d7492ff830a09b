"""Reading and pulsing every cell of a board, word line by word line."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from crossmesh.tiles.boards.access import BoardRestarted
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.hardware import Array, Lines

_RESTARTS = 3  # of a board within one word line, before it is given up


class BoardReads(NamedTuple):
    """Readings of every cell, ``(rows, cols)`` siemens each.

    Attributes:
        before: Before any pulse.
        again: The same, read a second time.
        up: After the up pulses.
        down: After as many down pulses.
        kept: When a word line was left.
        later: At the end of the check.
        age_s: Mean time between the last two, in seconds.
        restored: Whether ``kept`` is after the board had set every cell back.
    """

    before: Array
    again: Array
    up: Array
    down: Array
    kept: Array
    later: Array
    age_s: float
    restored: bool


def requests(board: BoardClient) -> int:
    """How many requests ``swept`` sends."""
    return board.description.rows * (5 + _can_set(board))


def swept(
    board: BoardClient, pulses: int, watch: Callable[[int], None] = lambda done: None
) -> BoardReads:
    """Pulse every cell up and down and read it; set it back where the board can.

    Args:
        board: The board.
        pulses: Up pulses of each cell, and down pulses.
        watch: Is told how many requests are done.
    """
    rows, cols = board.description.rows, board.description.cols
    done, left_s, lines = 0, [], []
    for row in range(rows):
        for trial in range(_RESTARTS + 1):
            try:
                lines.append(_line(board, row, pulses))
                break
            except BoardRestarted:
                if trial == _RESTARTS:
                    raise
        left_s.append(time.monotonic())
        watch(done := done + 4 + _can_set(board))
    later, ages_s = np.zeros((rows, cols), np.float32), []
    for row in range(rows):
        later[row] = _read(board, row)
        ages_s.append(time.monotonic() - left_s[row])
        watch(done := done + 1)
    before, again, up, down, kept = np.array(lines).swapaxes(0, 1)
    return BoardReads(
        before, again, up, down, kept, later, float(np.mean(ages_s)), _can_set(board)
    )  # fmt: skip


def _line(board: BoardClient, row: int, pulses: int) -> tuple[Array, ...]:
    """``(cols,)`` readings: twice before, after up and down pulses, and as the line is left."""
    cols = _all(board)
    rows = np.full(len(cols), row, np.uint16)
    read = rows[:1], cols
    before, again = _read(board, row), _read(board, row)
    up, down = (
        board.pulse(rows, cols, np.full(len(cols), count, np.int16), read=read).reshape(-1)
        for count in (pulses, -pulses)
    )
    kept = board.set(rows, cols, before) if _can_set(board) else down
    return before, again, up, down, kept


def _read(board: BoardClient, row: int) -> Array:
    return board.read(np.array([row], np.uint16), _all(board)).reshape(-1)


def _all(board: BoardClient) -> Lines:
    return np.arange(board.description.cols, dtype=np.uint16)


def _can_set(board: BoardClient) -> bool:
    return "set" in board.description.can

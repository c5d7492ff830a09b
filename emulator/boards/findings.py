"""What is wrong with a board, from readings before and after pulses of every cell."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError, RunError
from crossmesh.emulator.boards.checking import BoardReads
from crossmesh.tiles.boards.hardware import Array
from crossmesh.tiles.boards.maps import LineMap

_SIGMAS = 6.0  # of the difference of two readings, beyond which a cell has moved
_LEAST = 0.05  # of what cells move typically, below which one is stuck
_DEAD = 0.1  # of the cells of a line at most move: the line is dead
_MOST_PULSES = 32767  # of a request
_FAR = 10.0  # times the largest conductance of a typical device: no device reads so
_OFFSET = 5.0  # standard errors of a bit line's median from the others'
_OF_MEDIAN = 1.2533  # standard error of a median over that of a mean, for normal values
_MAD = 1.4826  # standard deviation of normal values over their median deviation


class DeadLine(NamedTuple):
    """A line no cell of which moves.

    Attributes:
        kind: ``word line`` or ``bit line``.
        number: Which.
        siemens: What its cells read, their median.
    """

    kind: str
    number: int
    siemens: float


class Findings(NamedTuple):
    """What is wrong with a board.

    Attributes:
        usable: The lines that are not dead, and the stuck cells on them.
        dead: Dead lines.
        offsets: Bit lines whose cells read more or less than the others' before any pulse, with
            the difference in siemens.
        move: What pulses move a cell, a median in siemens.
        noise: Standard deviation of a reading, in siemens.
        drift: Mean change of the cells that move while they were left alone, in siemens.
        drift_error: Its standard error.
        error: How far cells are from where they were before, root mean square in siemens.
    """

    usable: LineMap
    dead: tuple[DeadLine, ...]
    offsets: tuple[tuple[int, float], ...]
    move: float
    noise: float
    drift: float
    drift_error: float
    error: float


def found(reads: BoardReads, on_siemens: float, pulses: int) -> Findings:
    """Tell dead lines, stuck cells, offsets and drift.

    Args:
        reads: Readings of every cell.
        on_siemens: Largest conductance of a typical device.
        pulses: Pulses of each cell in a direction, for errors.

    Raises:
        RunError: If nothing moves, or by less than the readings' noise.
    """
    noise = _MAD * float(np.median(np.abs(reads.again - reads.before))) / np.sqrt(2)
    swing = np.maximum(np.abs(reads.up - reads.before), np.abs(reads.up - reads.down))
    level = np.mean([reads.before, reads.again, reads.up, reads.down], axis=0)
    _check_moves(reads, swing, noise, pulses)
    moves = _moving(swing, noise) & (np.abs(level) < _FAR * on_siemens)
    rows, cols = _live(moves)
    good = moves & rows[:, None] & cols
    stuck = np.argwhere(~moves & rows[:, None] & cols)
    usable = LineMap(
        _numbers(rows),
        _numbers(cols),
        tuple((int(i), int(j), float(level[i, j])) for i, j in stuck),
    )
    dead = [DeadLine("word line", int(i), float(np.median(level[i, cols]))) for i in _off(rows)]
    dead += [DeadLine("bit line", int(j), float(np.median(level[rows, j]))) for j in _off(cols)]
    lost = (reads.later - reads.kept)[good]
    return Findings(
        usable=usable,
        dead=tuple(dead),
        offsets=_offsets(reads.before, good),
        move=float(np.median(swing[good])),
        noise=noise,
        drift=float(lost.mean()),
        drift_error=float(lost.std() / np.sqrt(lost.size)),
        error=float(np.sqrt(np.mean((reads.kept - reads.before)[good] ** 2))),
    )


def _check_moves(reads: BoardReads, swing: Array, noise: float, pulses: int) -> None:
    """Refuse readings that do not tell cells that move from others."""
    typical, bound = _typical(swing), _bound(noise)
    if not typical:
        raise RunError(f"no cell of the board moves with {pulses} pulses up and down")
    if typical < 2 * bound:
        mean = abs(float(np.mean(reads.up - reads.down)))  # in which noise cancels
        many = min(2 * pulses * bound / mean, _MOST_PULSES) if mean else _MOST_PULSES
        raise RunError(
            f"cells move by about {mean:.2g} S with {pulses} pulses, which readings with a noise "
            f"of {noise:.2g} S do not tell from none; try --pulses {max(pulses + 1, round(many))}"
        )


def _moving(swing: Array, noise: float) -> NDArray[np.bool_]:
    """``(rows, cols)`` whether pulses have moved a cell."""
    return np.asarray(swing > max(_bound(noise), _LEAST * _typical(swing)))


def _typical(swing: Array) -> float:
    return float(np.quantile(swing, 0.75))


def _bound(noise: float) -> float:
    return float(_SIGMAS * np.sqrt(2) * noise)


def _live(moves: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """``(rows,)`` and ``(cols,)`` whether cells of a line move, but for those on dead lines."""
    rows = moves.mean(axis=1) > 0
    cols = moves[rows].mean(axis=0) > _DEAD
    rows = moves[:, cols].mean(axis=1) > _DEAD
    return rows, moves[rows].mean(axis=0) > _DEAD


def _offsets(before: Array, good: NDArray[np.bool_]) -> tuple[tuple[int, float], ...]:
    """Bit lines that read more or less than the others, and by how much."""
    cols = np.flatnonzero(good.any(axis=0))
    medians = np.array([np.median(before[good[:, j], j]) for j in cols])
    away = medians - np.median(medians)
    spread = np.array([before[good[:, j], j].std() for j in cols])
    error = _OF_MEDIAN * np.median(spread) / np.sqrt(good[:, cols].sum(axis=0))
    return tuple((int(j), float(d)) for j, d, e in zip(cols, away, error, strict=True)
                 if abs(d) > _OFFSET * e)  # fmt: skip


def _numbers(lines: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(n) for n in np.flatnonzero(lines))


def _off(lines: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.flatnonzero(~lines)


def write_map(path: Path, usable: LineMap, remark: str) -> None:
    """Write the map that ``tile.array.map`` names.

    Raises:
        ConfigError: If it cannot be written.
    """
    stuck = "".join(f"\n- [{i}, {j}, {siemens:.5e}]" for i, j, siemens in usable.stuck)
    text = (
        f"# {remark}\n# stuck: word line, bit line, siemens\n"
        f"rows: {_listed(usable.rows)}\ncols: {_listed(usable.cols)}\nstuck:{stuck or ' []'}\n"
    )
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"--output must be writable, got {path}: {error.strerror}") from None


def _listed(lines: Sequence[int]) -> str:
    return yaml.safe_dump(list(lines), default_flow_style=True, width=100).strip()

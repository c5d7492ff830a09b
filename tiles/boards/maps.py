"""Maps of boards: which lines can be used, and which devices do not move."""

from pathlib import Path
from typing import NamedTuple

import yaml

MOST_LINES = 65536


class LineMap(NamedTuple):
    """What ``crossmesh board check`` found.

    Attributes:
        rows: Word lines that can be used, in order.
        cols: Bit lines that can be used, in order.
        stuck: Word line, bit line and conductance in siemens of devices that do not move.
    """

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    stuck: tuple[tuple[int, int, float], ...] = ()


def read_map(path: Path) -> LineMap:
    """The map in a file.

    Raises:
        ValueError: If it is none.
        OSError: If it cannot be read.
    """
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
        rows, cols = (_lines(tree[name]) for name in ("rows", "cols"))
        stuck = tuple((int(i), int(j), float(g)) for i, j, g in tree.get("stuck", ()))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(
            f"must be a map that crossmesh board check has written, got {path}"
        ) from None
    return LineMap(rows, cols, stuck)


def _lines(given: object) -> tuple[int, ...]:
    lines = tuple(given) if isinstance(given, list) else ()
    if not lines or not all(type(n) is int and 0 <= n < MOST_LINES for n in lines):
        raise ValueError("lines must be a list of numbers")
    if len(set(lines)) < len(lines):
        raise ValueError("lines must differ")
    return lines

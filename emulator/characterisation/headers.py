"""Where a table begins in a file: below what an instrument says of itself, with names or without.

Exports begin with lines about the set-up; names of columns may have a line of units and one of
comments below them, and stand again where files were put together. EasyEXPERT marks its lines
instead: names by ``DataName``, readings by ``DataValue``.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.cells import Row, is_number
from crossmesh.emulator.characterisation.names import is_role
from crossmesh.emulator.characterisation.units import split_unit, unit_of

_LOOKED_AT = 500  # rows that say what a row of readings looks like
_HEADS = 3  # rows of names, units and comments, as Origin has them
_LABELS = {"long name", "units", "comments"}  # of these rows
_NAMES, _VALUES = "DataName", "DataValue"


class Table(NamedTuple):
    """A table and what stands above it.

    Attributes:
        names: Names of its columns, or none.
        body: Its rows.
        preamble: Rows above it.
    """

    names: list[str]
    body: list[Row]
    preamble: list[Row]


def find_table(path: Any, rows: list[Row], decimal: str) -> Table:
    """Find names and readings.

    Raises:
        ConfigError: If a row of readings has another number of cells.
    """
    if any(_tag(row) == _NAMES for _, row in rows):
        return _tagged(rows)
    rows = _without_empty_ends(rows)
    shape = _usual(rows, decimal)
    if shape is None:
        names = [_text(cell) for cell in rows[-1][1]] if rows else []
        return Table(names, [], rows[:-1])
    first = next(k for k, (_, row) in enumerate(rows) if _shape(row, decimal) == shape)
    if _is_head(rows[first][1]):
        return _below(path, rows, first, decimal, shape)
    if first and _may_be_head(rows[first - 1][1], shape, decimal):
        return _below(path, rows, first - 1, decimal, shape)
    return Table([], _of_width(path, rows[first:], len(shape), None, decimal), rows[:first])


def _tag(row: Sequence[Any]) -> str:
    return str(row[0]).strip() if row else ""


def _tagged(rows: list[Row]) -> Table:
    head = next(row for _, row in rows if _tag(row) == _NAMES)
    names = [_text(cell) for cell in head[1:]]
    body = [(n, row[1 : 1 + len(names)]) for n, row in rows if _tag(row) == _VALUES]
    rest = [(n, row) for n, row in rows if _tag(row) not in {_NAMES, _VALUES}]
    return Table(names, [(n, row) for n, row in body if len(row) == len(names)], rest)


def _without_empty_ends(rows: list[Row]) -> list[Row]:
    """Rows without the empty cells behind a delimiter at the end of every line."""
    if rows and all(_text(row[-1]) == "" for _, row in rows if len(row) > 1):
        return [(n, row[:-1] if len(row) > 1 else row) for n, row in rows]
    return rows


def _shape(row: Sequence[Any], decimal: str) -> tuple[bool, ...]:
    """Which of its cells are numbers or empty."""
    return tuple(_text(cell) == "" or is_number(cell, decimal) for cell in row)


def _usual(rows: list[Row], decimal: str) -> tuple[bool, ...] | None:
    """What most rows with numbers look like."""
    looked = rows if len(rows) <= 2 * _LOOKED_AT else rows[:_LOOKED_AT] + rows[-_LOOKED_AT:]
    shapes = Counter(
        _shape(row, decimal) for _, row in looked if any(is_number(cell, decimal) for cell in row)
    )
    return max(shapes, key=lambda shape: (shapes[shape], len(shape))) if shapes else None


def _is_head(row: Sequence[Any]) -> bool:
    """Whether a row that looks like readings is their head: ``device, 1, 2, 3``."""
    texts = [cell for cell in map(_text, row) if cell and not is_number(cell)]
    return bool(texts) and all(is_role(text) for text in texts)


def _may_be_head(row: Sequence[Any], shape: tuple[bool, ...], decimal: str) -> bool:
    texts = [_text(cell) for cell in row]
    has_names = any(text and not is_number(text, decimal) for text in texts)
    fits = len(texts) <= len(shape) or (
        texts[0] != "#" and any(map(is_role, texts))  # LabVIEW names comments too
    )
    return has_names and fits and _shape(row, decimal) != shape


def _below(path: Any, rows: list[Row], head: int, decimal: str, shape: tuple[bool, ...]) -> Table:
    """The table whose last line of names is ``rows[head]``, which may be a line of units."""
    heads = [_unlabelled(row) for _, row in rows[: head + 1]][-_HEADS:]
    last = len(heads) - 1
    units = next((k for k in (last, last - 1) if k > 0 and _is_below_names(heads, k)), None)
    start = head
    names = heads[last]
    if units is not None:
        names = _named_apart(_with_units(heads[units - 1], heads[units]), heads[units + 1 :])
        start = head - (last - units + 1)
    above = [[_text(cell) for cell in row] for _, row in rows[start : head + 1]]
    names = (names + [""] * len(shape))[: len(shape)]
    body = _of_width(path, rows[head + 1 :], len(shape), above, decimal)
    return Table(names, body, rows[:start])


def _unlabelled(row: Sequence[Any]) -> list[str]:
    """Cells of a row of names, units or comments without what it is itself, as Origin writes it."""
    cells = [_text(cell) for cell in row]
    return ["", *cells[1:]] if cells and cells[0].rstrip(":").lower() in _LABELS else cells


def _is_below_names(heads: list[list[str]], k: int) -> bool:
    names, below = heads[k - 1], heads[k + 1 :]
    return (
        _are_units(heads[k])
        and len(names) == len(heads[k])
        and not any(map(is_number, names))
        and all(len(row) == len(names) for row in below)
    )


def _with_units(names: list[str], units: list[str]) -> list[str]:
    bare = [unit.strip("()[] ") for unit in units]
    return [f"{name} ({unit})" if unit_of(unit) and not split_unit(name)[1] else name
            for name, unit in zip(names, bare, strict=True)]  # fmt: skip


def _named_apart(names: list[str], comments: list[list[str]]) -> list[str]:
    """Names that stand several times with the comment below each."""
    several = Counter(names)
    if not comments:
        return names
    return [f"{comment} {name}" if several[name] > 1 and comment else name
            for name, comment in zip(names, comments[0], strict=True)]  # fmt: skip


def _are_units(cells: Sequence[str]) -> bool:
    stripped = [cell.strip("()[] ") for cell in cells]
    return any(map(unit_of, stripped)) and all(
        not cell or unit_of(cell) or cell in {"-", "#", "1", "a.u."} for cell in stripped
    )


def _of_width(
    path: Any, rows: list[Row], width: int, heads: list[list[str]] | None, decimal: str
) -> list[Row]:
    """Rows of readings, without names that stand again and what stands above those."""
    kept: list[Row] = []
    for number, row in rows:
        texts = [_text(cell) for cell in row]
        if heads and texts in heads:
            while kept and len(kept[-1][1]) != width:
                kept.pop()
        elif len(row) == width or any(is_number(cell, decimal) for cell in row):
            kept.append((number, row))
    for number, row in kept:
        if len(row) != width:
            raise ConfigError(f"{path} line {number} must have {width} columns, got {len(row)}")
    while kept and not any(is_number(cell, decimal) for cell in kept[-1][1]):
        kept.pop()  # words below a table
    return kept


def _text(cell: Any) -> str:
    return "" if cell is None else " ".join(str(cell).split())

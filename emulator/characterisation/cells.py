"""Rows of cells from text files, whatever their encoding, delimiter and decimal sign are."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from crossmesh.emulator.characterisation.units import measured

Row = tuple[int, list[Any]]  # its line in the file, its cells
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_COMMENT = ("#", "%", "//", "!")
_LOOKED_AT = 400  # lines, from the beginning and the end
_MOST_OF = 0.6  # of the lines have a delimiter, if it is one
_DECIMAL = re.compile(r"[-+]?\d+(?:,\d+)?(?:[eE][-+]?\d+)?")
_PLAIN = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:[,.' \u00a0\u2009\u202f]\d{3})+")


class Text(NamedTuple):
    """A file of text.

    Attributes:
        rows: Its rows that are no comments, and not blank.
        comments: Its comments, by line.
        decimal: ``.`` or ``,``.
        delimiter: What stands between cells.
    """

    rows: list[Row]
    comments: list[tuple[int, str]]
    decimal: str
    delimiter: str


def decoded(body: bytes) -> str:
    """Text of a file in UTF-8, UTF-16 with its mark, or Windows' Western code page.

    Raises:
        UnicodeDecodeError: If it is none of them.
    """
    for mark, encoding in _MARKS.items():
        if body.startswith(mark):
            return body.decode(encoding)
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("cp1252")


def read_text(text: str) -> Text:
    """Split a text into cells."""
    delimiter = delimiter_of(text)
    if delimiter == " ":  # any number of them, and tabs
        lines: Iterator[tuple[int, list[str]]] = (
            (number, line.split()) for number, line in enumerate(text.splitlines(), 1)
        )
    else:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter,
                            skipinitialspace=True)  # fmt: skip
        lines = ((reader.line_num, cells) for cells in reader)
    rows: list[Row] = []
    comments = []
    for number, cells in lines:
        if cells and cells[0].lstrip().startswith(_COMMENT) and cells[0].strip() != "#":
            comments.append((number, delimiter.join(cells).lstrip("#%/! \t")))
        elif any(cell.strip() for cell in cells):
            rows.append((number, cells))
    return Text(rows, comments, _decimal(rows, delimiter), delimiter)


def delimiter_of(text: str) -> str:
    """Tab, semicolon, bar, comma or blanks: the first that most lines have."""
    lines = _some([line for line in text.splitlines() if line.strip()])
    least = _MOST_OF * len(lines)
    for delimiter in "\t;|":
        if sum(delimiter in line for line in lines) >= least:
            return delimiter
    with_comma = sum("," in line for line in lines)
    in_blanks = sum(_is_blank_separated(line, has_commas=with_comma >= least) for line in lines)
    return " " if lines and in_blanks >= least else ","


def _is_blank_separated(line: str, *, has_commas: bool) -> bool:
    """Whether a line has blanks between its cells, the commas of which, if any, are decimal."""
    words = line.split()
    if has_commas:
        return len(words) > 1 and all(map(_DECIMAL.fullmatch, words))
    return len(words) > 1 and any(map(_PLAIN.fullmatch, words[1:]))


def _some(items: list[Any]) -> list[Any]:
    """The first and the last of many."""
    return items if len(items) <= 2 * _LOOKED_AT else items[:_LOOKED_AT] + items[-_LOOKED_AT:]


def _decimal(rows: Sequence[Row], delimiter: str) -> str:
    """The decimal sign: a comma where cells have one that groups no thousands."""
    cells = [cell.strip() for _, row in _some(list(rows)) for cell in row]
    seen: Counter[tuple[str, bool]] = Counter()
    for cell in cells:
        if re.fullmatch(r"[-+]?[\d.,' ]*\d[\d.,' ]*(?:[eE][-+]?\d+)?.{0,6}", cell) is None:
            continue
        last = max(cell.rfind(","), cell.rfind("."))
        if last < 0:
            continue
        is_grouped = _GROUPED.fullmatch(cell) is not None
        seen[cell[last], is_grouped and (cell[last] == "," or cell.count(".") > 1)] += 1
    if seen[",", False] or (delimiter != "," and seen[",", True] and not seen[".", False]):
        return ","
    return "."


def number_of(cell: Any, decimal: str = ".") -> float | None:
    """The number in a cell, with its unit if it has one, in SI units then; None if it has none.

    >>> number_of("1.234,5", ","), number_of("1,234.5"), number_of("7 uS"), number_of("on")
    (1234.5, 1234.5, 7e-06, None)
    """
    if not isinstance(cell, str):
        is_number = isinstance(cell, int | float) and not isinstance(cell, bool)
        return float(cell) if is_number else None
    text = cell.strip().replace("\u2212", "-")
    if decimal == "," and ("," in text or _GROUPED.fullmatch(text)):
        text = re.sub(r"[.' \u00a0\u2009\u202f](?=\d{3}(?!\d))", "", text).replace(",", ".")
    elif "_" not in text:
        text = re.sub(r"(?<=\d)[,' \u00a0\u2009\u202f](?=\d{3}(?!\d))", "", text)
    try:
        return float(text)
    except ValueError:
        return measured(text)


def is_number(cell: Any, decimal: str = ".") -> bool:
    """Whether a cell holds a number, perhaps with a unit."""
    return number_of(cell, decimal) is not None

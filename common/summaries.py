"""Representations of large objects that fit a screen."""

import textwrap
from collections.abc import Iterable
from typing import Any

LINES, COLUMNS = 24, 120  # of a screen
_BRACKETS = 2  # lines
_ELLIPSIS = " ..."


def summary_of(name: str, fields: Iterable[tuple[str | None, Any]]) -> str:
    """``Name(field=value, ...)``: on one line, or on a screen with a line or more for each field.

    Real numbers have four digits. What is too long ends in three dots.

    >>> summary_of("Point", {"x": 1 / 3, "y": 2}.items())
    'Point(x=0.3333, y=2)'
    """
    texts = [f"{field}={_figure(value)!r}" if field else repr(value) for field, value in fields]
    whole = f"{name}({', '.join(texts)})"
    if len(whole) <= COLUMNS:
        return whole
    for most in range(LINES, 0, -1):
        lines = [line for text in texts for line in _wrapped(f"{text},", most)]
        if len(lines) <= LINES - _BRACKETS:
            break
    return "\n".join([f"{name}(", *lines[: LINES - _BRACKETS], ")"])


def _wrapped(text: str, most: int) -> list[str]:
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent="    ",
        subsequent_indent="        ",
        break_on_hyphens=False,
        max_lines=most,
        placeholder=_ELLIPSIS,
    )


def _figure(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value

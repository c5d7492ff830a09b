"""Domains of fields: ranges from low to high, evenly or by ratio, and lists of values."""

import re
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from crossmesh.common.bounded_yaml import parsed
from crossmesh.common.frozen import Anything, Frozen, Many

_RANGE = re.compile(r"\s*([^:\s]+?)\.\.([^:\s]+?)(:log)?(?::(\d+))?\s*")
_FORMS = "a list, or a range like 1..4:4 or 0.001..0.1:log:5"
_MOST_VALUES = 1000  # of a range on a grid
_DIGITS = {False: 12, True: 4}  # significant ones of values on a grid, by ``log``
_SAMPLED_DIGITS = 4


class Domain(Frozen):
    """Values that a search may give a field: a range or a list.

    Attributes:
        low: Least value; with ``high``, both written without a point, values are whole numbers.
        high: Largest value.
        log: Whether ratios of values count, not differences.
        values: Values in place of a range.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    values: Many[Anything] = Field(())

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, given: Any) -> Any:
        if isinstance(given, list | tuple):
            return {"values": given}
        if not isinstance(given, str):
            return given
        tree, number = _read(given)
        return {"values": _grid(tree, number)} if number is not None else tree

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.values:
            if (self.low, self.high, self.log) != (None, None, False):
                raise ValueError(f"values must stand without low, high and log, got {self.values}")
            return self
        if self.low is None or self.high is None:
            raise ValueError("low and high must be given, or values, got one or none")
        _check(self.low, self.high, log=self.log)
        return self

    @property
    def is_whole(self) -> bool:
        """Whether the values of a range are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, Any]:
        """Least and largest value; of a list, the first and the last."""
        return (self.values[0], self.values[-1]) if self.values else (self.low, self.high)

    def rounded(self, value: float) -> float:
        """A value of a range to a few digits, within it."""
        assert self.low is not None
        assert self.high is not None
        return min(max(_to_digits(value, _SAMPLED_DIGITS), self.low), self.high)


def spelled_out(values: Any) -> Any:
    """The values of a range on a grid, as ``low..high:number``; anything else as it is.

    >>> spelled_out("1..4:4"), spelled_out("0.001..0.1:log:5"), spelled_out([1, 2])
    ([1, 2, 3, 4], [0.001, 0.003162, 0.01, 0.03162, 0.1], [1, 2])
    """
    if not is_range(values):
        return values
    tree, number = _read(values)
    if number is None:
        raise ValueError(
            f"must say how many values, as {values}:5, or be searched with --trials, got {values}"
        )
    return _grid(tree, number)


def is_range(value: Any) -> bool:
    """Whether a value is a text like ``low..high``."""
    return isinstance(value, str) and ".." in value


def _read(text: str) -> tuple[dict[str, Any], int | None]:
    """Low, high and log of a range, and how many values it is to have."""
    match = _RANGE.fullmatch(text)
    ends = [parsed(end) for end in match.group(1, 2)] if match else []
    if match is None or not all(type(end) in {int, float} for end in ends):
        raise ValueError(f"must be {_FORMS}, got {text}")
    tree = {"low": ends[0], "high": ends[1], "log": bool(match[3])}
    return tree, int(match[4]) if match[4] else None


def _check(low: float, high: float, *, log: bool) -> None:
    if not low < high:
        raise ValueError(f"must have its low below its high, got {low}..{high}")
    if log and low <= 0:
        raise ValueError(f"must begin above 0 with log, got {low}..{high}")


def _grid(tree: Mapping[str, Any], number: int) -> list[Any]:
    low, high, log = tree["low"], tree["high"], tree["log"]
    _check(low, high, log=log)
    if not 2 <= number <= _MOST_VALUES:
        raise ValueError(f"must have 2 to {_MOST_VALUES} values, got {number}")
    space = np.geomspace if log else np.linspace
    inner = [_to_digits(value, _DIGITS[log]) for value in space(low, high, number)[1:-1].tolist()]
    values = [low, *inner, high]
    is_whole = isinstance(low, int) and isinstance(high, int)
    return [int(v) for v in values] if is_whole and all(v == int(v) for v in values) else values


def _to_digits(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")

"""Quantities with the prefix that fits their size."""

from typing import NamedTuple

PREFIXES = (
    (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""),
    (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"),
)  # fmt: skip


class Scale(NamedTuple):
    """A unit with its prefix.

    Attributes:
        size: One of it, in the unit without a prefix.
        unit: Its name.
    """

    size: float
    unit: str


def scale_of(largest: float, unit: str) -> Scale:
    """The largest prefix that leaves a value of one or more.

    >>> scale_of(2.5e-7, "s")
    Scale(size=1e-09, unit='ns')
    """
    for size, prefix in PREFIXES:
        if abs(largest) >= size:
            return Scale(size, prefix + unit)
    return Scale(1.0, unit)


def engineering(value: float | None, unit: str, digits: int = 4) -> str:
    """A quantity with a prefix of its size; None: a dash.

    >>> engineering(2.5e-7, "s"), engineering(0.0, "J"), engineering(None, "J")
    ('250 ns', '0 J', '-')
    """
    if value is None:
        return "-"
    scale = scale_of(value, unit)
    return f"{value / scale.size:.{digits}g} {scale.unit}"

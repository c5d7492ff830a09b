"""Units as laboratories write them: ``uS``, ``µA``, ``kOhm``, in headers and in cells."""

import re
from typing import NamedTuple

_PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "": 1.0,
             "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}  # fmt: skip
_SPELLED = {"femto": "f", "pico": "p", "nano": "n", "micro": "µ", "milli": "m", "kilo": "k",
            "mega": "M", "giga": "G"}  # fmt: skip
_BASES = {
    "S": "S", "Siemens": "S", "siemens": "S", "mho": "S", "1/ohm": "S", "1/Ohm": "S", "1/Ω": "S",
    "ohm": "Ω", "Ohm": "Ω", "OHM": "Ω", "ohms": "Ω", "Ohms": "Ω", "Ω": "Ω",
    "A": "A", "amp": "A", "Amp": "A", "amps": "A", "ampere": "A", "Ampere": "A", "amperes": "A",
    "V": "V", "volt": "V", "Volt": "V", "volts": "V", "Volts": "V",
    "s": "s", "sec": "s", "second": "s", "seconds": "s", "Seconds": "s",
}  # fmt: skip
_LONGER = {"min": 60.0, "h": 3600.0, "hr": 3600.0, "hours": 3600.0, "d": 86400.0, "days": 86400.0}
QUANTUM_SIEMENS = 7.748091729e-5  # 2 e^2 / h, CODATA 2018
_QUANTA = re.compile(r"G_?[0₀]|2\s?e\^?[2²]\s?/\s?h")
_RELATIVE = re.compile(
    r"\s*/\s*(?:[RIG]_?(?:[0₀]|max|min|on|off|init|initial|sat))(?![A-Za-z])"
    r"|[\s_,]*[(\[]\s*(?:a\.?\s?u\.?|arb\.? units?|%|norm(?:ali[sz]ed|\.)?|[RIG]/[RIG]_?\w+)"
    r"\s*[)\]]"
    r"|(?<![A-Za-z])norm(?:ali[sz]ed|\.)?(?![A-Za-z])",
    re.I,
)
_BRACKETED = re.compile(r"[\s_]*[(\[{]\s*([^()\[\]{}]*?)\s*[)\]}]\s*$")
_BEHIND = re.compile(r"(?:\s*/\s*|[\s_.]+(?:in\s+)?|,\s*)([^\s/_,]+(?:/[Ωo]\w*)?)\s*$")
_MEASURED = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s.,;][^\s]*)")


class Unit(NamedTuple):
    """A unit.

    Attributes:
        base: ``S``, ``Ω``, ``A``, ``V``, ``s``, or ``1`` for a share of an unknown value.
        scale: How many of them it is.
        text: As it is shown.
    """

    base: str
    scale: float
    text: str


def unit_of(text: str) -> Unit | None:
    """The unit that a text is, if it is one.

    >>> unit_of("uS"), unit_of("kOhm"), unit_of("nanoamps"), unit_of("x")
    (Unit(base='S', scale=1e-06, text='µS'), Unit(base='Ω', scale=1000.0, text='kΩ'), \
Unit(base='A', scale=1e-09, text='nA'), None)
    """
    text = text.strip().replace("\u03bc", "µ").replace("\u2126", "Ω")
    if _QUANTA.fullmatch(text):
        return Unit("S", QUANTUM_SIEMENS, "G0")
    if text in _LONGER:
        return Unit("s", _LONGER[text], text)
    for name, letter in _SPELLED.items():
        if text.lower().startswith(name):
            text = letter + text[len(name) :]
    for ending, base in _BASES.items():
        prefix = text.removesuffix(ending) if text.endswith(ending) else None
        if prefix in _PREFIXES and not (prefix and ending.startswith("1/")):
            shown = ("µ" if prefix == "u" else prefix) + base
            return Unit(base, _PREFIXES[prefix], shown)
    return None


def split_unit(header: str) -> tuple[str, Unit | None]:
    """Name and unit of a column.

    >>> split_unit("Conductance (uS)")[0], split_unit("G_nS")[1].text, split_unit("I / A")[1].text
    ('Conductance', 'nS', 'A')
    >>> split_unit("device s"), split_unit("up_A")
    (('device s', None), ('up_A', None))
    >>> split_unit("G/G0")[1].base, split_unit("G (G0)")[1].base
    ('1', 'S')
    """
    if (found := _BRACKETED.search(header)) and (unit := unit_of(found[1])):
        return header[: found.start()].strip(), unit
    if _RELATIVE.search(header):
        share = Unit("1", 0.01 if "%" in header else 1.0, "")
        return _RELATIVE.sub("", header).strip(), share
    if (found := _BEHIND.search(header)) and (unit := unit_of(found[1])):
        is_apart = "/" in found[0][:3] or " in " in found[0] or "," in found[0]
        if is_apart or len(found[1]) > 1:
            return header[: found.start()].strip(), unit
    return header.strip(), None


def measured(text: str) -> float | None:
    """The value in SI units of a number with its unit, as ``7.5 uS``; None if it is none."""
    found = _MEASURED.fullmatch(text)
    unit = unit_of(found[2]) if found else None
    return float(found[1]) * unit.scale if found and unit else None


def unit_in(cell: object) -> Unit | None:
    """The SI unit of a cell that holds a number with its unit."""
    found = _MEASURED.fullmatch(cell.strip()) if isinstance(cell, str) else None
    unit = unit_of(found[2]) if found else None
    return Unit(unit.base, 1.0, unit.base) if unit else None


def whole_siemens(text: str) -> float | None:
    """The conductance that a text such as ``12.5 µS`` gives for a reading of 1."""
    unit = unit_in(text)
    return measured(text.strip()) if unit and unit.base == "S" else None


def common_unit(largest: float) -> Unit:
    """The unit of conductance in which a number is between 1 and 1,000, or nearest to it."""
    for prefix in ("", "m", "µ", "n", "p"):
        if largest >= _PREFIXES[prefix]:
            break
    return Unit("S", _PREFIXES[prefix], f"{prefix}S")

"""Numbers as people write them: with a unit, a comma or a percent sign."""

import re

from crossmesh.common.prefixes import PREFIXES

_TIMES = {"min": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS = {"hz": "Hz", "siemens": "S", "ohm": "ohm"}  # where a field's name has it otherwise
_ASCII = {0x2212: "-", 0xB5: "u", 0x3BC: "u", 0x3A9: "ohm", 0x2126: "ohm"}  # minus, micro, ohm
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"


def meant(field: str, text: str) -> str:
    """The number that a text stands for in the unit that ends the name of its field, or nothing.

    >>> meant("example_s", "1 ms"), meant("clock_hz", "1.2GHz"), meant("node_nm", "32nm")
    ('0.001', '1.2e+09', '32')
    >>> meant("value", "0,5"), meant("share", "50 %"), meant("epochs", "three")
    ('0.5', '0.5', '')
    """
    plain = text.strip().translate(_ASCII)
    if match := re.fullmatch(r"([-+]?\d+),(\d+)", plain):
        whole, rest = match.groups()
        return f"{whole}{'' if len(rest) == 3 else '.'}{rest}"
    match = re.fullmatch(_NUMBER + r"\s*([a-zA-Z%]+)", plain)
    size = _size(field.rpartition("_")[2], match[2]) if match else None
    return f"{float(match[1]) * size:.6g}" if match and size else ""


def _size(own: str, unit: str) -> float | None:
    """One of a unit, in the unit that a field's name ends in."""
    if unit == "%":
        return 0.01
    own = _UNITS.get(own, own)
    if unit.lower() == own.lower():
        return 1.0
    if own == "s" and unit in _TIMES:
        return _TIMES[unit]
    letters = own if own in {"s", "Hz", "S", "ohm"} else own.upper()
    sizes = {prefix + letters: size for size, prefix in PREFIXES}
    return sizes.get(unit)

"""What process nodes do to logic and wires: energy, delay, area, supply, and the parts of lines.

Logic: Stillmaker & Baas, Integration 58, 74 (2017), 130 to 7 nm, high-performance rows at nominal
supply; energy of a switching event f(V) = a V² + b V + c, delay p V³ + q V² + r V + s. Between the
rows, the logarithm of a value is interpolated over the logarithm of the node. Analog parts limited
by noise, the current through cells and links off the chip do not scale by these factors.
"""

import functools
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Literal, NamedTuple

Transistors = Literal["low_threshold", "low_standby"]  # of logic, routers and links
# Leakage of low standby power against low thresholds: CACTI's memories at 32 nm. Per area,
# NeuroSim's inverter leaks 500 times less than an adder of the Accelergy library.
LOW_STANDBY_LEAKAGE = 1 / 2000
NODES_NM = (7.0, 130.0)
SUPPLY_V = (0.6, 1.3)  # where every row's energy rises with the supply


class LogicRow(NamedTuple):
    """One node of the table.

    Attributes:
        volts: Nominal supply.
        energy: a, b and c.
        delay: p, q, r and s, which give picoseconds.
        area: Relative to 32 nm.
    """

    volts: float
    energy: tuple[float, float, float]
    delay: tuple[float, float, float, float]
    area: float


LOGIC = {
    7.0: LogicRow(0.7, (0.1776, -0.09097, 0.02447), (-28.58, 76.6, -70.26, 24.69), 0.13),
    10.0: LogicRow(0.75, (0.2068, -0.09311, 0.02375), (-34.95, 93.65, -85.99, 30.4), 0.22),
    14.0: LogicRow(0.8, (0.2363, -0.09675, 0.02239), (-40.66, 109.2, -100.6, 35.92), 0.38),
    16.0: LogicRow(0.85, (0.2958, -0.1241, 0.03024), (0, 24.8, -47.52, 28.87), 0.41),
    20.0: LogicRow(0.9, (0.373, -0.1582, 0.04104), (0, 34.63, -66.37, 41.15), 0.46),
    32.0: LogicRow(0.9, (0.8367, -0.4341, 0.1701), (-1047, 2982, -2797, 873.5), 1),
    45.0: LogicRow(1.0, (1.018, -0.3107, 0.1539), (-501.6, 1567, -1619, 566.1), 2.2),
    65.0: LogicRow(1.1, (3.755, -4.398, 1.975), (-53.3, 230.4, -333.9, 178.6), 3.3),
    90.0: LogicRow(1.2, (4.762, -4.781, 2.092), (-60.34, 262.5, -384.2, 210.9), 6.1),
    130.0: LogicRow(1.3, (7.171, -6.709, 2.904), (-76.65, 334.9, -493.4, 275.8), 14),
}


def interpolated(node_nm: float, table: Mapping[float, float]) -> float:
    """A value of a table by node: straight lines of ln(value) over ln(node), also beyond its ends.

    >>> interpolated(20, {10: 1, 40: 4})
    2.0
    """
    known = sorted(table)
    below, above = next(
        (pair for pair in pairwise(known) if node_nm <= pair[1]), (known[-2], known[-1])
    )
    share = math.log(node_nm / below) / math.log(above / below)
    return table[below] ** (1 - share) * table[above] ** share


def check_node(node_nm: float) -> None:
    """Refuse a node that the tables do not cover.

    Raises:
        ValueError: If it lies outside.
    """
    least, most = NODES_NM
    if not least <= node_nm <= most:
        raise ValueError(f"node_nm must be in [{least:g}, {most:g}], got {node_nm!r}")


@functools.cache
def voltage(node_nm: float) -> float:
    """Nominal supply of logic in volts."""
    check_node(node_nm)
    return interpolated(node_nm, {node: row.volts for node, row in LOGIC.items()})


@functools.cache
def energy_factor(from_nm: float, to_nm: float, volts: float | None = None) -> float:
    """Energy of logic at a node, relative to that of the same logic at another.

    Args:
        from_nm: Node that the energy is known at, with its nominal supply.
        to_nm: Node that it is wanted at.
        volts: Supply there; None: the nominal one.

    Raises:
        ValueError: If a node or the supply lies outside the tables.
    """
    least, most = SUPPLY_V
    if volts is not None and not least <= volts <= most:
        raise ValueError(f"volts must be in [{least:g}, {most:g}], got {volts!r}")
    return _energy(to_nm, volts) / _energy(from_nm, None)


@functools.cache
def delay_factor(from_nm: float, to_nm: float) -> float:
    """Delay of logic at a node, relative to that at another."""
    return _delay(to_nm) / _delay(from_nm)


@functools.cache
def area_factor(from_nm: float, to_nm: float) -> float:
    """Area of logic at a node, relative to that at another."""
    return _area(to_nm) / _area(from_nm)


@functools.cache
def leakage_factor(from_nm: float, to_nm: float) -> float:
    """Leakage of a gate at a node, relative to that at another.

    Source: a minimum inverter of low standby power at 300 K, 90 to 22 nm, by the formulas of
    NeuroSim 1.4. Assumed: other flavours, and the nodes beyond, follow the same line.
    """
    return wiring(to_nm).inverter_leakage_w / wiring(from_nm).inverter_leakage_w


def _energy(node_nm: float, volts: float | None) -> float:
    def of(row: LogicRow) -> float:
        (a, b, c), v = row.energy, row.volts if volts is None else volts
        return a * v**2 + b * v + c

    check_node(node_nm)
    return interpolated(node_nm, {node: of(row) for node, row in LOGIC.items()})


def _delay(node_nm: float) -> float:
    def of(row: LogicRow) -> float:
        (p, q, r, s), v = row.delay, row.volts
        return p * v**3 + q * v**2 + r * v + s

    check_node(node_nm)
    return interpolated(node_nm, {node: of(row) for node, row in LOGIC.items()})


def _area(node_nm: float) -> float:
    check_node(node_nm)
    return interpolated(node_nm, {node: row.area for node, row in LOGIC.items()})


class Wiring(NamedTuple):
    """Wires of a node and what hangs on them, by the formulas of NeuroSim 1.4.

    Attributes:
        supply_v: Supply that NeuroSim takes.
        width_nm: Width of a wire.
        ohm_per_um: Resistance of a wire.
        gate_f: Gate of a transistor as wide as the node, in farads.
        drain_f: Drain of such a transistor.
        inverter_leakage_w: Minimum inverter of low standby power at 300 K.
        beyond: What lies beyond the source's range, in words; empty if nothing does.
    """

    supply_v: float
    width_nm: float
    ohm_per_um: float
    gate_f: float
    drain_f: float
    inverter_leakage_w: float
    beyond: str = ""


WIRE_F_PER_UM = 0.2e-15  # NeuroSim 1.4, at every node
_TRANSISTORS_NM = (22.0, 90.0)  # gate, drain and leakage are known between these
_WIRES: dict[float, tuple[float, ...]] = {
    90.0: (1.2, 110, 1.49, 0.253e-15, 0.131e-15, 0.030e-9),
    65.0: (1.1, 105, 1.43, 0.156e-15, 0.093e-15, 0.019e-9),
    45.0: (1.0, 80, 2.60, 0.088e-15, 0.064e-15, 0.012e-9),
    32.0: (0.9, 56, 5.70, 0.054e-15, 0.045e-15, 0.0072e-9),
    22.0: (0.85, 40, 11.6, 0.031e-15, 0.031e-15, 0.0043e-9),
}
_FINE_WIRES: dict[float, tuple[float, ...]] = {
    14.0: (0.8, 32, 19.7),
    7.0: (0.7, 20, 69.5),
}  # supply, width, resistance


@functools.cache
def wiring(node_nm: float) -> Wiring:
    """Wires at a node, interpolated like logic.

    Source: NeuroSim 1.4, wires from 90 to 7 nm, transistors from 90 to 22 nm; beyond, the line
    through the last two nodes goes on, which is assumed and said in ``beyond``.

    Raises:
        ValueError: If the node lies outside the tables.
    """
    check_node(node_nm)
    every = {node: row[:3] for node, row in _WIRES.items()} | _FINE_WIRES
    supply, width, ohm = _columns(node_nm, every)
    *_, gate, drain, leakage = _columns(node_nm, _WIRES)
    least, most = _TRANSISTORS_NM
    beyond = "" if least <= node_nm <= most else f"transistors on lines at {node_nm:g} nm"
    return Wiring(supply, width, ohm, gate, drain, leakage, beyond)


def _columns(node_nm: float, rows: Mapping[float, tuple[float, ...]]) -> Iterator[float]:
    for column in zip(*rows.values(), strict=True):
        yield interpolated(node_nm, dict(zip(rows, column, strict=True)))

"""Digital operations: energy, area and leakage by bits and node, and a lane of a vector unit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from crossmesh.common.price import Price
from crossmesh.common.technology import (
    Transistors,
    area_factor,
    energy_factor,
    leakage_factor,
)

LANE = Price(
    energy_j=1.71e-12,
    area_um2=4030,
    leakage_w=0.19e-3,
    node_nm=32,
    source="lane of a vector unit, 16 bit, 1.71 mW at 1 GHz, PUMA's simulator",
)
# Of logic per um² at 40 nm: a 32-bit adder of the Accelergy library, 2.4 uW on 278 um².
_LEAKAGE_W_PER_UM2 = 2.4e-6 / 278


class Published(NamedTuple):
    """A figure of one operation as somebody gives it.

    Attributes:
        value: Picojoules, um² or watts.
        bits: Bits of the operation.
        node_nm: Process node.
    """

    value: float
    bits: int
    node_nm: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DigitalOperation:
    """A digital operation.

    Attributes:
        energy: Picojoules.
        area: Area in um² of a unit for it.
        leakage: Watts of that unit; None: as an adder of that area.
        power: Power of the bits that all of them grow with.
        others: Picojoules of other sources, which make the ends of the price.
        is_per_bit: Whether bits are so many units side by side, of any number.
        source: Publication.
    """

    energy: Published
    area: Published
    leakage: Published | None = None
    power: int = 1
    others: tuple[Published, ...] = ()
    is_per_bit: bool = False
    source: str

    def price(self, bits: int, node_nm: float) -> Price:
        """Energy of one operation; area and leakage of a unit that does it every cycle."""
        every = [self._energy_pj(each, bits, node_nm) for each in (self.energy, *self.others)]
        area = (
            self.area.value * area_factor(self.area.node_nm, node_nm) * self._grown(self.area, bits)
        )
        return Price(
            energy_j=1e-12 * every[0],
            area_um2=area,
            leakage_w=self._leakage_w(bits, node_nm),
            low=min(every) / every[0],
            high=max(every) / every[0],
            node_nm=node_nm,
            source=self.source,
            beyond=self._beyond(bits),
        )

    def _energy_pj(self, known: Published, bits: int, node_nm: float) -> float:
        scaled = energy_factor(known.node_nm, node_nm)
        return known.value * scaled * self._grown(known, bits)

    def _leakage_w(self, bits: int, node_nm: float) -> float:
        if self.leakage is None:
            value, of_bits, of_node = self.area
            at_40 = value * area_factor(of_node, 40) * _LEAKAGE_W_PER_UM2
            known = Published(at_40, of_bits, 40)
        else:
            known = self.leakage
        scaled = leakage_factor(known.node_nm, node_nm)
        return known.value * scaled * self._grown(known, bits)

    def _grown(self, known: Published, bits: int) -> float:
        return float((bits / known.bits) ** self.power)

    def _beyond(self, bits: int) -> str:
        known = [each.bits for each in (self.energy, *self.others)]
        least, most = min(known), max(known)
        if self.is_per_bit or least <= bits <= most:
            return ""
        return f"{bits} bits, known " + (
            f"at {least}" if least == most else f"from {least} to {most}"
        )


_HOROWITZ, _ALADDIN, _TPU = 45.0, 40.0, 7.0  # nodes of the sources
_FLOATS = "Horowitz, ISSCC 2014; ends: TPUv4i at 7 nm"
OPERATIONS: Mapping[str, DigitalOperation] = {
    "add": DigitalOperation(
        energy=Published(0.21, 32, _ALADDIN),
        area=Published(278, 32, _ALADDIN),
        others=(
            Published(0.03, 8, _HOROWITZ), Published(0.05, 16, _HOROWITZ),
            Published(0.1, 32, _HOROWITZ), Published(0.27, 16, 32),
            Published(0.007, 8, _TPU), Published(0.03, 32, _TPU),
        ),
        source="Accelergy library; low: Horowitz 2014; high: a lane of PUMA's simulator, TPUv4i",
    ),
    "multiply": DigitalOperation(
        energy=Published(0.57, 16, 32),
        area=Published(6350, 32, _ALADDIN),
        power=2,
        others=(
            Published(0.2, 8, _HOROWITZ), Published(3.1, 32, _HOROWITZ),
            Published(12.7, 32, _ALADDIN), Published(0.07, 8, _TPU), Published(1.48, 32, _TPU),
        ),
        source="PUMA's simulator; area: Accelergy library; ends: Horowitz 2014, TPUv4i",
    ),
    "float_add": DigitalOperation(
        energy=Published(0.9, 32, _HOROWITZ),
        area=Published(4184, 32, _HOROWITZ),
        others=(
            Published(0.4, 16, _HOROWITZ), Published(0.16, 16, _TPU), Published(0.38, 32, _TPU),
        ),
        source=_FLOATS,
    ),
    "float_multiply": DigitalOperation(
        energy=Published(3.7, 32, _HOROWITZ),
        area=Published(7700, 32, _HOROWITZ),
        power=2,
        others=(
            Published(1.1, 16, _HOROWITZ), Published(0.34, 16, _TPU), Published(1.31, 32, _TPU),
        ),
        source=_FLOATS,
    ),
    "transcendental": DigitalOperation(
        energy=Published(0.234, 16, 32),
        area=Published(300, 16, 32),
        leakage=Published(26e-6, 16, 32),
        source="sigmoid or tanh, PUMA's simulator",
    ),
    "requantise": DigitalOperation(
        energy=Published(0.25, 16, _ALADDIN),
        area=Published(6350 / 8, 16, _ALADDIN),  # 16 x 8 of the 32 x 32 bits of "multiply"
        others=(Published(0.57 / 2, 16, 32),),
        source="multiplication by 8 bits, RAELLA in the Accelergy library; high: PUMA's simulator",
    ),
    "shift_add": DigitalOperation(
        energy=Published(0.021, 16, 32),
        area=Published(60, 16, 32),
        others=(Published(0.045, 16, 32),),
        source="ISAAC in the Accelergy library; high: PUMA's simulator",
    ),
    "compare": DigitalOperation(
        energy=Published(0.029, 32, _ALADDIN),
        area=Published(71, 32, _ALADDIN),
        source="comparator, Accelergy library",
    ),
    "count": DigitalOperation(
        energy=Published(0.25, 32, _ALADDIN),
        area=Published(496, 32, _ALADDIN),
        source="counter, Accelergy library",
    ),
    "register": DigitalOperation(
        energy=Published(0.009, 1, _ALADDIN),
        area=Published(6, 1, _ALADDIN),
        is_per_bit=True,
        source="register, Accelergy library",
    ),
}  # fmt: skip


def operation_price(
    name: str, bits: int, node_nm: float, transistors: Transistors = "low_threshold"
) -> Price:
    """Energy of a digital operation; area and leakage of a unit for it.

    Args:
        name: One of ``OPERATIONS``.
        bits: Bits of the operands; of a requantisation those of the value, times 8.
        node_nm: Process node.
        transistors: ``low_threshold``, or ``low_standby``, which leak 2,000 times less.

    Raises:
        ValueError: If there is no such operation, or an argument is out of range.

    >>> operation_price("add", 32, 40).energy_j
    2.1e-13
    """
    if name not in OPERATIONS:
        raise ValueError(f"operation must be one of {', '.join(OPERATIONS)}, got {name}")
    if not bits >= 1:
        raise ValueError(f"bits must be at least 1, got {bits!r}")
    return OPERATIONS[name].price(bits, node_nm).of(transistors)


def lane_price(node_nm: float, transistors: Transistors = "low_threshold") -> Price:
    """A lane of a vector unit that adds, multiplies and moves 16-bit values; energy of a cycle."""
    return LANE.at(node_nm).of(transistors)

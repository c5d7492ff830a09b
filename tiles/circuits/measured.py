"""Converters and memories whose figures the config gives."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from crossmesh.common.frozen import Keyed
from crossmesh.common.price import Price
from crossmesh.common.refusals import AS_MAPPING, AS_NUMBER
from crossmesh.tiles.circuits.adc import Adc, at_node, check_conversion
from crossmesh.tiles.circuits.dac import Dac
from crossmesh.tiles.circuits.memory import Memory

Bits = Annotated[int, Field(strict=False)]  # JSON has no keys but text


def _form(value: object) -> str:
    return AS_MAPPING if isinstance(value, Mapping) else AS_NUMBER


ByBits = Annotated[
    Annotated[float, Field(ge=0), Tag(AS_NUMBER)]
    | Annotated[Keyed[Bits, Annotated[float, Field(ge=0)]], Field(min_length=1), Tag(AS_MAPPING)],
    Discriminator(_form),
]
PositiveByBits = Annotated[
    Annotated[float, Field(gt=0), Tag(AS_NUMBER)]
    | Annotated[Keyed[Bits, Annotated[float, Field(gt=0)]], Field(min_length=1), Tag(AS_MAPPING)],
    Discriminator(_form),
]


def at_bits(value: float | Mapping[int, float], bits: int) -> float:
    """A number for any bits, or of a table by bits.

    Between the entries of a table on a straight line; below the first as there; beyond the last
    doubled per bit.

    >>> [at_bits({4: 1.0, 6: 2.0}, bits) for bits in (2, 5, 7)]
    [1.0, 1.5, 4.0]
    """
    if not isinstance(value, Mapping):
        return value
    known = sorted(value)
    if bits <= known[0]:
        return value[known[0]]
    if bits > known[-1]:
        return float(value[known[-1]] * 2.0 ** (bits - known[-1]))
    i = bisect_left(known, bits)
    low, high = known[i - 1], known[i]
    share = (bits - low) / (high - low)
    return value[low] * (1 - share) + value[high] * share


class MeasuredAdc(Adc):
    """A converter with figures of one's own, numbers or tables by bits.

    Attributes:
        energy_pj: Energy of a conversion in picojoules.
        area_um2: Area of a converter.
        leakage_uw: Power of a converter that does nothing, in microwatts.
        time_s: Seconds of a conversion.
        node_nm: Process node of the figures; null: they are those of any node.
        source: Publication, or ``assumed``.
    """

    kind: Literal["measured"] = "measured"
    energy_pj: ByBits
    area_um2: ByBits = 0.0
    leakage_uw: float = Field(0.0, ge=0)
    time_s: PositiveByBits
    node_nm: float | None = Field(None, ge=7, le=130)
    source: str

    def conversion_s(self, bits: int) -> float:
        """As given."""
        return at_bits(self.time_s, bits)

    def price(self, bits: int, rate_hz: float, node_nm: float) -> Price:
        """As given, at any rate."""
        check_conversion(bits, rate_hz, node_nm)
        price = Price(
            energy_j=1e-12 * at_bits(self.energy_pj, bits),
            area_um2=at_bits(self.area_um2, bits),
            leakage_w=1e-6 * self.leakage_uw,
            node_nm=self.node_nm,
            source=self.source,
            beyond=beyond_tables(bits, self.energy_pj),
        )
        return self.split(at_node(price, node_nm), 1 / self.conversion_s(bits))


class MeasuredDac(Dac):
    """A driver of lines with figures of one's own, numbers or tables by bits.

    Attributes:
        energy_pj: Energy of a conversion in picojoules, beside the charge of the line.
        area_um2: Area of the driver of one line.
        leakage_uw: Power of a driver that does nothing, in microwatts.
        time_s: Seconds before the integration.
        line_charges: Charges of the line per conversion, each with an integration of its own that
            the ADCs convert; 0 and 1: one integration.
        node_nm: Process node of the figures; null: they are those of any node.
        source: Publication, or ``assumed``.
    """

    kind: Literal["measured"] = "measured"
    energy_pj: ByBits
    area_um2: ByBits = 0.0
    leakage_uw: float = Field(0.0, ge=0)
    time_s: ByBits = 0.0
    line_charges: int = Field(1, ge=0)
    node_nm: float | None = Field(None, ge=7, le=130)
    source: str

    def drive_s(self, bits: int) -> float:
        """As given."""
        return at_bits(self.time_s, bits)

    def charges(self, bits: int) -> float:
        """As given."""
        return self.line_charges

    def integrations(self, bits: int) -> int:
        """One for each charge of the line."""
        return max(1, self.line_charges)

    def own_price(self, bits: int, node_nm: float) -> Price:
        """As given, scaled as the survey's converters."""
        price = Price(
            energy_j=1e-12 * at_bits(self.energy_pj, bits),
            area_um2=at_bits(self.area_um2, bits),
            leakage_w=1e-6 * self.leakage_uw,
            node_nm=self.node_nm,
            source=self.source,
            beyond=beyond_tables(bits, self.energy_pj),
        )
        return at_node(price, node_nm)


class MeasuredMemory(Memory):
    """A memory with figures of one's own, of any capacity.

    Attributes:
        read_pj: Energy of a bit that is read, in picojoules.
        write_pj: Energy of a bit that is written, in picojoules.
        area_um2: Area of a bit.
        leakage_nw: Power of a bit at rest, in nanowatts.
        time_s: Seconds of an access.
        node_nm: Process node of the figures; null: they are those of any node.
        source: Publication, or ``assumed``.
    """

    kind: Literal["measured"] = "measured"
    read_pj: float = Field(ge=0)
    write_pj: float = Field(ge=0)
    area_um2: float = Field(0.0, ge=0)
    leakage_nw: float = Field(0.0, ge=0)
    time_s: float = Field(1e-9, gt=0)
    node_nm: float | None = Field(None, ge=7, le=130)
    source: str

    def read_price(self, capacity_bits: float, node_nm: float) -> Price:
        """As given, scaled as logic."""
        return self._price(self.read_pj, node_nm)

    def write_price(self, capacity_bits: float, node_nm: float) -> Price:
        """As given, scaled as logic."""
        return self._price(self.write_pj, node_nm)

    def access_s(self, capacity_bits: float, node_nm: float) -> float:
        """As given, at any node."""
        return self.time_s

    def _price(self, energy_pj: float, node_nm: float) -> Price:
        price = Price(
            energy_j=1e-12 * energy_pj,
            area_um2=self.area_um2,
            leakage_w=1e-9 * self.leakage_nw,
            node_nm=self.node_nm,
            source=self.source,
        )
        return price if self.node_nm is None else price.at(node_nm)


def beyond_tables(bits: int, value: ByBits) -> str:
    """Words for bits that a table does not have, or nothing."""
    if not isinstance(value, dict) or min(value) <= bits <= max(value):
        return ""
    return f"{bits} bits, known from {min(value)} to {max(value)}"

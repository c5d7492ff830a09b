"""Ramp converter: a comparator per line, and one ramp and counter for all lines of an array."""

from typing import Literal

from pydantic import Field

from crossmesh.common.price import Price
from crossmesh.tiles.circuits.adc import AREA_EXPONENT, Adc, check_conversion, outside
from crossmesh.tiles.circuits.logic import operation_price

_COMPARATOR_UM2, _COMPARATOR_NM = 40.0, 65.0  # TIMELY
_GENERATOR_J, _GENERATOR_UM2 = 0.0375e-12, 240.0  # of 8 bits, TIMELY's digital-to-time converter
_LEAST_W, _MOST_W = 1.25e-6, 375e-6  # TIMELY; HERMES, all in
_SOURCE = (
    "comparator: config, by default Marinella et al. 2018; latches, counter: Accelergy library"
)


class RampAdc(Adc):
    """All lines of an array are compared with one ramp, whose counter each line latches.

    The time is 2^bits ticks. A comparator works as long as the ramp does, and its power does not
    scale with the node (assumed): 32.6 uW is the 12.8 nJ in 384 ns that all 1,024 columns of
    Marinella et al. 2018 take at 14 nm, cells included; 1.25 uW are TIMELY's comparator and
    time-to-digital converter at 65 nm, 375 uW the whole of a HERMES core per column at 14 nm.
    Latches, counter and generator scale as logic; area of a comparator as the survey's converters.

    Attributes:
        tick_s: Time of one level. Sources: 1.2 ns, Narayanan et al. 2021; 1.5 ns, Marinella et
            al. 2018; 0.3 ns, HERMES.
        comparator_w: Power of a line's comparator while the ramp runs.
        lines: Lines that share the ramp and its counter. Source: 512, Narayanan et al. 2021.
    """

    kind: Literal["ramp"] = "ramp"
    tick_s: float = Field(1.2e-9, gt=0)
    comparator_w: float = Field(32.6e-6, gt=0)
    lines: int = Field(512, ge=1)

    def conversion_s(self, bits: int) -> float:
        """A tick per level."""
        return self.tick_s * 2.0**bits

    def price(self, bits: int, rate_hz: float, node_nm: float) -> Price:
        """A line's comparator and latches, and its share of the ramp, at any rate."""
        check_conversion(bits, rate_hz, node_nm)
        levels = 2.0**bits
        latches = operation_price("register", bits, node_nm)
        counter = operation_price("count", bits, node_nm)
        generator = Price(
            energy_j=_GENERATOR_J * levels / 256,
            area_um2=_GENERATOR_UM2 * bits / 8,
            node_nm=_COMPARATOR_NM,
            source="TIMELY",
        ).at(node_nm)
        comparator_um2 = _COMPARATOR_UM2 * (node_nm / _COMPARATOR_NM) ** AREA_EXPONENT
        shared_j = (counter.energy_j * levels + generator.energy_j) / self.lines
        price = Price(
            energy_j=self.comparator_w * self.conversion_s(bits) + latches.energy_j + shared_j,
            area_um2=comparator_um2
            + latches.area_um2
            + (counter.area_um2 + generator.area_um2) / self.lines,
            leakage_w=latches.leakage_w + counter.leakage_w / self.lines,
            low=min(1, _LEAST_W / self.comparator_w),
            high=max(1, _MOST_W / self.comparator_w),
            node_nm=node_nm,
            source=_SOURCE,
            beyond=outside(bits, 1, 8),
        )
        return self.split(price, 1 / self.conversion_s(bits))

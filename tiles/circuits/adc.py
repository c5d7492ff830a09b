"""What every analog-to-digital converter states, and how published ones scale with the node."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from crossmesh.common.frozen import Frozen
from crossmesh.common.price import Price
from crossmesh.common.technology import check_node

ENERGY_EXPONENT, AREA_EXPONENT = 1.88, 1.56  # of the node, in the survey's fit


class Adc(Frozen):
    """A converter of bit lines or word lines; kinds differ by orders of magnitude, so name one.

    A kind defines ``conversion_s`` and ``price``.

    Attributes:
        leakage_share: Share of its power that a converter takes also when it does not convert;
            the energy of a conversion is the rest. Sources: 0, NeuroSim; 0.1, PUMA; 0.2,
            hwcomponents-adc.
    """

    if TYPE_CHECKING:
        kind: Any  # of every class, which narrows it

    leakage_share: float = Field(0.0, ge=0, lt=1)

    def conversion_s(self, bits: int) -> float:
        """Seconds of one conversion."""
        raise NotImplementedError

    def price(self, bits: int, rate_hz: float, node_nm: float) -> Price:
        """Energy of one conversion; area and leakage of one converter.

        Args:
            bits: Bits of a conversion.
            rate_hz: Conversions per second that the converter is built for.
            node_nm: Process node.

        Raises:
            ValueError: If an argument is out of range.
        """
        raise NotImplementedError

    def split(self, price: Price, rate_hz: float) -> Price:
        """A price with the part of its energy that flows also between conversions as leakage."""
        share = self.leakage_share
        return replace(
            price,
            energy_j=(1 - share) * price.energy_j,
            leakage_w=price.leakage_w + share * price.energy_j * rate_hz,
        )


def check_conversion(bits: int, rate_hz: float, node_nm: float) -> None:
    """Refuse what no converter does.

    Raises:
        ValueError: One line with the argument, the rule and the value.
    """
    if not 1 <= bits <= 24:
        raise ValueError(f"bits must be in [1, 24], got {bits!r}")
    if not rate_hz > 0:
        raise ValueError(f"rate_hz must be above 0, got {rate_hz!r}")
    check_node(node_nm)


def outside(bits: int, least: int, most: int) -> str:
    """Words for bits beyond what a source covers, or nothing."""
    return "" if least <= bits <= most else f"{bits} bits, known from {least} to {most}"


def joined(*remarks: str) -> str:
    """Remarks in one line; empty ones are left out."""
    return "; ".join(filter(None, remarks))


def at_node(price: Price, node_nm: float) -> Price:
    """The price of a published converter at another node, by the survey's exponents.

    Energy goes with the node to the power 1.88, area to 1.56: less than logic gains.
    """
    if price.node_nm in (None, node_nm):
        return price
    assert price.node_nm is not None
    ratio = node_nm / price.node_nm
    remark = f"{node_nm:g} nm, scaled from {price.node_nm:g} nm as in the survey of converters"
    return replace(
        price,
        energy_j=price.energy_j * ratio**ENERGY_EXPONENT,
        area_um2=price.area_um2 * ratio**AREA_EXPONENT,
        leakage_w=price.leakage_w * ratio**ENERGY_EXPONENT,
        node_nm=node_nm,
        beyond=joined(price.beyond, remark),
    )

"""Converters from the survey of published ones, and as ISAAC and PUMA have them."""

import math
from typing import Literal

from pydantic import Field

from crossmesh.common.price import Price
from crossmesh.tiles.circuits.adc import Adc, at_node, check_conversion, joined, outside


class SurveyAdc(Adc):
    """The best that published converters reach: a fit to Murmann's survey.

    Energy does not depend on the rate up to a corner, and rises as rate^0.66 above it. The fit
    holds from 4 to 12 bits; below, it continues as ISAAC's converter does.

    Source: Murmann's ADC survey as fitted by accelergy-adc-plug-in (ff0fb48).

    Attributes:
        clock_hz: Clock of a successive approximation, which takes one period per bit and one to
            sample. Source: 1 GHz, NeuroSim.
    """

    kind: Literal["survey"] = "survey"
    clock_hz: float = Field(1e9, gt=0)

    def conversion_s(self, bits: int) -> float:
        """One period per bit, and one to sample."""
        return (bits + 1) / self.clock_hz

    def price(self, bits: int, rate_hz: float, node_nm: float) -> Price:
        """The fit; ``beyond`` names bits that it does not cover and rates above the corner."""
        check_conversion(bits, rate_hz, node_nm)
        covered = max(bits, 4)
        less = _isaac_pj(bits) / _isaac_pj(covered)
        energy_pj = less * _survey_pj(covered, rate_hz, node_nm)
        area = math.exp(
            1.34619
            + 0.99328 * math.log(node_nm)
            + 0.18072 * math.log(rate_hz)
            + 0.29912 * math.log(energy_pj)
        )
        corner = corner_hz(covered)
        fast = f"{rate_hz:.3g} conversions/s, above the corner of {corner:.3g}"
        price = Price(
            energy_j=1e-12 * energy_pj,
            area_um2=area,
            node_nm=node_nm,
            source="fit to Murmann's ADC survey, Accelergy ADC plug-in",
            beyond=joined(outside(bits, 4, 12), fast if rate_hz > corner else ""),
        )
        return self.split(price, rate_hz)


def corner_hz(bits: int) -> float:
    """Rate above which the energy of the survey's best converters rises."""
    return math.exp((213.781 - _merit_db(bits)) / 2.8719)


def _merit_db(bits: int) -> float:
    """Schreier's figure of merit below the corner."""
    return 128.307 + 3.22051 * bits


def _survey_pj(bits: int, rate_hz: float, node_nm: float) -> float:
    sndr_db = 6.02 * bits + 1.76
    merit_db = min(213.781 - 2.8719 * math.log(rate_hz), _merit_db(bits))
    scale = 26.0496 + 1.88 * math.log(node_nm) - 2.82913 * math.log(bits) - 1.47020
    return float(0.5 * 10 ** ((sndr_db - merit_db) / 10) * math.exp(scale))


class IsaacAdc(Adc):
    """The converter of ISAAC: 8 bits at 1.2 GS/s in 32 nm, scaled by a capacitive DAC's theory.

    One part of it grows with the bits, the capacitors as 2^bits. Known from 4 to 10 bits at
    32 nm, where the two terms here give the published rows within 1 %.

    Source: Shafiee et al. 2016 and Kull et al. 2013, as in Accelergy's hwcomponents library.
    """

    kind: Literal["isaac"] = "isaac"

    def conversion_s(self, bits: int) -> float:
        """A period per bit and one to sample, of which 9 take 1/1.2 ns."""
        return (bits + 1) / 9 / 1.2e9

    def price(self, bits: int, rate_hz: float, node_nm: float) -> Price:
        """The rows of ISAAC's converter, at any rate."""
        check_conversion(bits, rate_hz, node_nm)
        price = Price(
            energy_j=1e-12 * _isaac_pj(bits),
            area_um2=81.8 * bits + 2.133 * 2.0**bits,
            high=1.55,
            node_nm=32,
            source="ISAAC, Shafiee et al. 2016; high: 2.58 pJ at 8 bits in silicon, Kull 2013",
            beyond=outside(bits, 4, 10),
        )
        return self.split(at_node(price, node_nm), rate_hz)


def _isaac_pj(bits: int) -> float:
    return 0.196 * bits + 4.07e-4 * 2.0**bits


class PumaAdc(Adc):
    """The converter of PUMA's simulator: power and time rise with the bits, area does not.

    0.25 mW per bit, of which a tenth is leakage, and 12.5 ns per bit for 128 columns at 32 nm:
    the energy of a conversion goes with the square of the bits.

    Source: PUMA's simulator (a206f75), ``include/constants.py``, 4 to 9 bits.
    """

    kind: Literal["puma"] = "puma"
    leakage_share: float = Field(0.1, ge=0, lt=1)

    def conversion_s(self, bits: int) -> float:
        """12.5 ns per bit for 128 columns."""
        return 12.5e-9 * bits / 128

    def price(self, bits: int, rate_hz: float, node_nm: float) -> Price:
        """Its power times its time, of which ``leakage_share`` flows all the time."""
        check_conversion(bits, rate_hz, node_nm)
        price = Price(
            energy_j=0.25e-3 * bits * self.conversion_s(bits),
            area_um2=1200,
            node_nm=32,
            source="PUMA's simulator",
            beyond=outside(bits, 4, 9),
        )
        return self.split(at_node(price, node_nm), 1 / self.conversion_s(bits))

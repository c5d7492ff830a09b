"""Converters of NeuroSim: fits to circuit simulations of one column's converter."""

import math
from typing import Literal

from pydantic import Field

from crossmesh.common.price import Price
from crossmesh.common.technology import interpolated
from crossmesh.tiles.circuits.adc import Adc, check_conversion, joined

Flavour = Literal["high_performance", "low_standby"]

# By node: microwatts per bit and beside them, of a successive approximation.
_SAR_UW = {
    "high_performance": {
        65.0: (2.950, 22.05), 45.0: (2.184, 11.93), 32.0: (1.016, 7.629),
        22.0: (0.721, 3.304), 14.0: (0.471, 1.953), 7.0: (0.201, 0.682),
    },
    "low_standby": {
        65.0: (3.751, 25.84), 45.0: (2.169, 16.69), 32.0: (1.129, 8.900),
        22.0: (0.538, 4.375), 14.0: (0.313, 2.568), 7.0: (0.106, 0.885),
    },
}  # fmt: skip
# By node: watts and the slope over log10 of ohms, of what the column draws.
_COLUMN_W = {65.0: 0.128, 45.0: 0.098, 32.0: 0.0837, 22.0: 0.0843, 14.0: 0.0606, 7.0: 0.0403}
_COLUMN_SLOPE = {65.0: 2.321, 45.0: 2.296, 32.0: 2.313, 22.0: 2.311}
# By node: microwatts of one comparator of a flash converter.
_FLASH_UW = {
    "high_performance": {65.0: 9.96, 45.0: 7.70, 32.0: 3.96, 22.0: 1.89, 14.0: 1.20, 7.0: 0.50},
    "low_standby": {65.0: 8.41, 45.0: 6.32, 32.0: 3.09, 22.0: 1.70, 14.0: 1.00, 7.0: 0.35},
}
_STEP_S = 1e-9
_TRANSISTOR_F2 = 212.8  # area of one minimum transistor, in squares of the node


class NeurosimSarAdc(Adc):
    """Successive approximation as in NeuroSim, of typical silicon rather than the best.

    Source: NeuroSim 1.4 and 2.1, ``SarADC.cpp``: 65, 45, 32, 22, 14 and 7 nm, interpolated in
    ln(node); its slope of the column's term at 14 and 7 nm is taken from 22 nm, and that term for
    low standby power from high performance. Areas are known from 65 to 22 nm. No leakage.

    Attributes:
        flavour: Transistors, for ``high_performance`` or ``low_standby``.
        column_ohm: Resistance of a column as seen at a read voltage of 0.5 V, which the converter
            supplies; None: the cells' current is counted elsewhere.
    """

    kind: Literal["neurosim_sar"] = "neurosim_sar"
    flavour: Flavour = "high_performance"
    column_ohm: float | None = Field(None, gt=0)

    def conversion_s(self, bits: int) -> float:
        """A nanosecond per bit, and one to sample."""
        return (bits + 1) * _STEP_S

    def price(self, bits: int, rate_hz: float, node_nm: float) -> Price:
        """Its power times its time, at any rate."""
        check_conversion(bits, rate_hz, node_nm)
        rows = _SAR_UW[self.flavour]
        per_bit, beside = (
            interpolated(node_nm, {node: row[i] for node, row in rows.items()}) for i in range(2)
        )
        watts = 1e-6 * (per_bit * bits + beside) + self._column_w(node_nm)
        price = Price(
            energy_j=watts * self.conversion_s(bits),
            area_um2=_transistor_um2(node_nm) * (478 + 182 * (bits - 1)),
            node_nm=node_nm,
            source="NeuroSim 1.4, successive approximation",
            beyond=_beyond(node_nm),
        )
        return self.split(price, 1 / self.conversion_s(bits))

    def _column_w(self, node_nm: float) -> float:
        if self.column_ohm is None:
            return 0.0
        slope = interpolated(max(node_nm, 22), _COLUMN_SLOPE)
        return interpolated(node_nm, _COLUMN_W) * math.exp(-slope * math.log10(self.column_ohm))


class NeurosimFlashAdc(Adc):
    """Flash converter as in NeuroSim: a current-mode comparator per level, one step.

    Source: NeuroSim 1.4 and 2.1, ``MultilevelSenseAmp.cpp``, nodes as of ``NeurosimSarAdc``; the
    encoder and what the column draws are left out. No leakage.

    Attributes:
        flavour: Transistors, for ``high_performance`` or ``low_standby``.
    """

    kind: Literal["neurosim_flash"] = "neurosim_flash"
    flavour: Flavour = "high_performance"

    def conversion_s(self, bits: int) -> float:
        """A nanosecond, whatever the bits."""
        return _STEP_S

    def price(self, bits: int, rate_hz: float, node_nm: float) -> Price:
        """A comparator for each of the 2^bits - 1 levels, at any rate."""
        check_conversion(bits, rate_hz, node_nm)
        comparators = 2.0**bits - 1
        price = Price(
            energy_j=1e-6 * interpolated(node_nm, _FLASH_UW[self.flavour]) * comparators * _STEP_S,
            area_um2=72 * _transistor_um2(node_nm) * comparators,
            node_nm=node_nm,
            source="NeuroSim 1.4, flash",
            beyond=_beyond(node_nm),
        )
        return self.split(price, 1 / _STEP_S)


def _transistor_um2(node_nm: float) -> float:
    return _TRANSISTOR_F2 * (1e-3 * node_nm) ** 2


def _beyond(node_nm: float) -> str:
    return joined(
        f"{node_nm:g} nm, known from 7 to 65 nm" if node_nm > 65 else "",
        f"area at {node_nm:g} nm, known from 22 to 65 nm" if node_nm < 22 else "",
    )

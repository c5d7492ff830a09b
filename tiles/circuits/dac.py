"""Digital-to-analog converters: how a line is driven with a number, and what that takes."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from crossmesh.common.frozen import Frozen
from crossmesh.common.price import Price
from crossmesh.common.technology import area_factor, check_node, energy_factor, voltage
from crossmesh.tiles.circuits.logic import operation_price

_CELLS = 128  # on the line of ISAAC's driver


class Dac(Frozen):
    """What drives the lines of an array with numbers.

    A kind defines ``drive_s``, ``charges`` and ``own_price``, and may define the others.

    Attributes:
        is_within_integration: Whether ``drive_s`` passes while currents are integrated, which then
            take at least as long; otherwise it comes before.
    """

    if TYPE_CHECKING:
        kind: Any  # of every class, which narrows it

    is_within_integration: ClassVar[bool] = False

    def drive_s(self, bits: int) -> float:
        """Seconds that an input of so many bits takes beside the integration, or of it."""
        raise NotImplementedError

    def charges(self, bits: int) -> float:
        """Times that the line is charged for an input, in the mean."""
        raise NotImplementedError

    def integrations(self, bits: int) -> int:
        """Integrations of an input, after each of which the ADCs convert."""
        return 1

    def driven_share(self, usual: float) -> float:
        """Share of its integrations for which an input drives its line.

        Args:
            usual: That of inputs as ``chip.phases`` has it.
        """
        return usual

    def own_price(self, bits: int, node_nm: float) -> Price:
        """Price of an input with all its bits and of the driver of one line, without the line."""
        raise NotImplementedError

    def charge_price(self, line: Price, n_cells: float, node_nm: float) -> Price:
        """Price of a charge of a line, which may cost more by this driver.

        Args:
            line: Charge of the line, by its capacitance.
            n_cells: Cells on it.
            node_nm: Process node.
        """
        return line

    def price(self, bits: int, line_j: float, node_nm: float) -> Price:
        """Energy of an input with the line's charges; area and leakage of one line's driver.

        Args:
            bits: Bits of the input.
            line_j: Energy of one charge of the line, of 128 cells.
            node_nm: Process node.

        Raises:
            ValueError: If an argument is out of range.
        """
        check_drive(bits, line_j, node_nm)
        own, line_price = self.own_price(bits, node_nm), Price(energy_j=line_j, source="C V²")
        charge, line = self.charge_price(line_price, _CELLS, node_nm), self.charges(bits) * line_j
        total = own.energy_j + line
        if total == 0:
            return own
        return replace(
            own,
            energy_j=total,
            low=(own.low * own.energy_j + charge.low * line) / total,
            high=(own.high * own.energy_j + charge.high * line) / total,
        )


def check_drive(bits: int, line_j: float, node_nm: float) -> None:
    """Refuse what no driver does.

    Raises:
        ValueError: One line with the argument, the rule and the value.
    """
    if not 1 <= bits <= 24:
        raise ValueError(f"bits must be in [1, 24], got {bits!r}")
    if not line_j >= 0:
        raise ValueError(f"line_j must be at least 0, got {line_j!r}")
    check_node(node_nm)


_ISAAC_DRIVE_J, _ISAAC_UM2 = 0.417e-12, 0.166  # of one bit, a line of _CELLS, 100 ns at 32 nm


class SerialDac(Dac):
    """One bit per integration: a switch charges the line or leaves it, as in ISAAC.

    The line is charged for every bit that is one, and every bit is converted, as in ISAAC. Source:
    area and the pessimistic end, 0.417 pJ per bit and 128 cells, from ISAAC's 1-bit driver of
    3.9 uW (Shafiee et al. 2016, Accelergy library).

    Attributes:
        activity: Share of bits that are one; 1: the most that lines and cells take. It counts
            instead of ``driven_share`` of ``chip.phases``.
    """

    kind: Literal["serial"] = "serial"
    activity: float = Field(1.0, gt=0, le=1)

    def drive_s(self, bits: int) -> float:
        """None beside the integrations, of which there is one per bit."""
        return 0.0

    def charges(self, bits: int) -> float:
        """One per bit that is one."""
        return self.activity * bits

    def integrations(self, bits: int) -> int:
        """One per bit."""
        return bits

    def driven_share(self, usual: float) -> float:
        """That of the bits that are one."""
        return self.activity

    def own_price(self, bits: int, node_nm: float) -> Price:
        """A switch."""
        area = _ISAAC_UM2 * area_factor(32, node_nm)
        source = "charges of the line; area: ISAAC's 1-bit driver"
        return Price(energy_j=0, area_um2=area, node_nm=node_nm, source=source)

    def charge_price(self, line: Price, n_cells: float, node_nm: float) -> Price:
        """Up to what ISAAC books for every bit, whether it is one or not."""
        if not line.energy_j:
            return line
        most_j = _ISAAC_DRIVE_J * n_cells / _CELLS * energy_factor(32, node_nm) / self.activity
        return replace(
            line,
            high=max(line.high, most_j / line.energy_j),
            source=f"{line.source}; high: ISAAC's 1-bit driver",
        )


_TIMELY = Price(energy_j=0.0375e-12, area_um2=240, node_nm=65, source="TIMELY, 8 bit, 65 nm")


class DurationDac(Dac):
    """The number as the length of one pulse: the line is charged once.

    Energy of the converter itself doubles with every bit, its area grows with the bits; both scale
    as logic. High: a comparator of the Accelergy library that works in every tick.

    Source: TIMELY (Li et al. 2020, Accelergy library): 0.0375 pJ, 240 um² and 150 ns at 8 bits.

    Attributes:
        tick_s: Length of the pulse per level. Source: TIMELY.
    """

    kind: Literal["duration"] = "duration"
    is_within_integration: ClassVar[bool] = True
    tick_s: float = Field(150e-9 / 256, gt=0)

    def drive_s(self, bits: int) -> float:
        """The longest pulse."""
        return self.tick_s * 2.0**bits

    def charges(self, bits: int) -> float:
        """One."""
        return 1

    def own_price(self, bits: int, node_nm: float) -> Price:
        """A converter from a number to a time."""
        base = _TIMELY.at(node_nm)
        energy = base.energy_j * 2.0 ** (bits - 8)
        compared = operation_price("compare", bits, node_nm).energy_j * 2.0**bits
        return replace(
            base,
            energy_j=energy,
            area_um2=base.area_um2 * bits / 8,
            high=max(1, compared / energy),
            beyond="" if bits == 8 else f"{bits} bits, known at 8",
        )


_CONTROL_J = 0.04e-15  # per bit at 22 nm and 1 V, with the node and the voltage squared
_CAPACITANCE_F_PER_UM2 = 2.3e-15  # MOS or MIM capacitors, 22 nm
_UM2_PER_OHM = 2.35e-3  # 22 nm


class VoltageDac(Dac):
    """A voltage from a ladder of capacitors (C-2C) or resistors (R-2R); the line is charged once.

    Source: charge of a C-2C ladder over all codes, power of R-2R, areas and control from the
    Accelergy library, 2 to 10 bits at 22 nm; areas of capacitors and resistors do not scale with
    the node (assumed). Settling, one nanosecond per bit and two: MNSIM 2.0.

    Attributes:
        ladder: Network that makes the voltages: capacitors (``c2c``) or resistors (``r2r``).
        unit_f: Unit capacitor of a C-2C ladder. Source: assumed.
        unit_ohm: Unit resistor of an R-2R ladder. Source: assumed.
        volts: Full scale; None: the supply of logic.
        hold_s: Time that an R-2R ladder holds the voltage. Source: 80 ns, Gokmen & Vlasov 2016.
    """

    kind: Literal["voltage"] = "voltage"
    ladder: Literal["c2c", "r2r"] = "c2c"
    unit_f: float = Field(2e-15, gt=0)
    unit_ohm: float = Field(10e3, gt=0)
    volts: float | None = Field(None, gt=0)
    hold_s: float = Field(80e-9, gt=0)

    def drive_s(self, bits: int) -> float:
        """A nanosecond per bit, and two."""
        return 1e-9 * (bits + 2)

    def charges(self, bits: int) -> float:
        """One."""
        return 1

    def own_price(self, bits: int, node_nm: float) -> Price:
        """The ladder, its flip-flops and its control."""
        volts = voltage(node_nm) if self.volts is None else self.volts
        latches = operation_price("register", bits, node_nm)
        control = _CONTROL_J * bits * (node_nm / 22) ** 2 * volts**2
        ladder, area = self._ladder(bits, volts)
        return Price(
            energy_j=ladder + latches.energy_j + control,
            area_um2=area + latches.area_um2,
            leakage_w=latches.leakage_w,
            node_nm=node_nm,
            source=f"{self.ladder} ladder, Accelergy library",
            beyond="" if 2 <= bits <= 10 else f"{bits} bits, known from 2 to 10",
        )

    def _ladder(self, bits: int, volts: float) -> tuple[float, float]:
        """Energy and area of the ladder."""
        units = ladder_units(bits)
        if self.ladder == "c2c":
            energy = units * self.unit_f * volts**2
            return energy, 3 * self.unit_f * bits / _CAPACITANCE_F_PER_UM2
        power = units * volts**2 / (2 * self.unit_ohm)
        return power * self.hold_s, _UM2_PER_OHM * 3 * bits * self.unit_ohm


def ladder_units(bits: int) -> float:
    """Charge that a C-2C ladder takes from full scale, in unit capacitors, mean over all codes."""
    return bits / 6 + 1 / 9

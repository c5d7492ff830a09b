"""Word lines and bit lines: what they hold, what charging them takes, and what drives them."""

from dataclasses import dataclass
from typing import Literal

from crossmesh.common.price import Price
from crossmesh.common.technology import WIRE_F_PER_UM, area_factor, check_node, wiring

DRIVER_SHARE = 1.0  # of a driver's own capacitance in the line's. Source: assumed
_DRIVER_UM2, _DRIVER_CELLS = 0.166, 128  # ISAAC's 1-bit driver, 32 nm; larger ones: assumed
SHIFTED_V, SHIFTER_AREA = 1.5, 1.44  # above this, a level shifter and its wires. Source: NeuroSim


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of an array with its cells.

    Source: NeuroSim 1.4: 0.2 fF per um of wire, and the gate or the drain of the transistor that
    selects a cell.

    Attributes:
        n_cells: Cells on it.
        pitch_um: From one cell to the next, along the line.
        load: What a cell puts on it: a ``gate`` (word lines), a ``drain`` (bit lines), or nothing,
            where cells have no transistor.
        load_widths: Width of that transistor, in nodes.
        node_nm: Process node.
    """

    n_cells: int
    pitch_um: float
    load: Literal["gate", "drain", "none"] = "none"
    load_widths: float = 1.0
    node_nm: float

    def __post_init__(self) -> None:
        check_node(self.node_nm)
        for name in ("n_cells", "pitch_um", "load_widths"):
            if not getattr(self, name) > 0:
                raise ValueError(f"Line.{name} must be above 0, got {getattr(self, name)!r}")

    @property
    def capacitance_f(self) -> float:
        """Farads of wire and cells, without the driver."""
        wires = wiring(self.node_nm)
        each = {"gate": wires.gate_f, "drain": wires.drain_f, "none": 0.0}[self.load]
        return self.n_cells * (WIRE_F_PER_UM * self.pitch_um + self.load_widths * each)

    @property
    def ohm(self) -> float:
        """Resistance from end to end."""
        return self.n_cells * self.pitch_um * wiring(self.node_nm).ohm_per_um

    @property
    def tau_s(self) -> float:
        """Time constant of the distributed line."""
        return self.ohm * self.capacitance_f / 2

    def price(self, volts: float | None = None) -> Price:
        """Energy of one charge from zero, C V² of line and driver; area of the driver.

        Args:
            volts: Voltage; None: the supply of NeuroSim's logic.

        Raises:
            ValueError: If the voltage is not above 0.
        """
        wires = wiring(self.node_nm)
        charged_v = wires.supply_v if volts is None else volts
        if not charged_v > 0:
            raise ValueError(f"volts must be above 0, got {volts!r}")
        area = _DRIVER_UM2 * self.n_cells / _DRIVER_CELLS * area_factor(32, self.node_nm)
        return Price(
            energy_j=(1 + DRIVER_SHARE) * self.capacitance_f * charged_v**2,
            area_um2=area * (SHIFTER_AREA if charged_v > SHIFTED_V else 1),
            low=1 / (1 + DRIVER_SHARE),
            node_nm=self.node_nm,
            source="C V², NeuroSim 1.4; a driver as large as the line assumed; area: ISAAC",
            beyond="" if self.load == "none" else wires.beyond,
        )

"""What one part of a chip costs, with its source and how sure that is."""

from dataclasses import dataclass, replace

from crossmesh.common.technology import (
    LOW_STANDBY_LEAKAGE,
    Transistors,
    area_factor,
    energy_factor,
    leakage_factor,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Cost of a part.

    Attributes:
        energy_j: Energy of one event.
        area_um2: Area of one part.
        leakage_w: Power of one part that does nothing.
        low: The optimistic end of the energy, as a factor.
        high: The pessimistic end of the energy, as a factor.
        node_nm: Process node that the figures are of; None: they belong to no node.
        source: Publication, or ``assumed``.
        beyond: What lies beyond the source's range, in words; empty if nothing does.
    """

    energy_j: float
    area_um2: float = 0.0
    leakage_w: float = 0.0
    low: float = 1.0
    high: float = 1.0
    node_nm: float | None = None
    source: str
    beyond: str = ""

    def __post_init__(self) -> None:
        for name in ("energy_j", "area_um2", "leakage_w"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"Price.{name} must be at least 0, got {getattr(self, name)!r}")
        if not 0 < self.low <= 1 <= self.high:
            rule = "must be in (0, 1], Price.high at least 1"
            raise ValueError(f"Price.low {rule}, got {self.low!r} and {self.high!r}")

    def at(self, node_nm: float) -> "Price":
        """The same logic at another node; not for converters, cells, or links off the chip.

        Source: energy and area by Stillmaker & Baas 2017, leakage by that of a minimum inverter
        of low standby power (``technology.leakage_factor``).

        Raises:
            ValueError: If this price belongs to no node, or a node lies outside the tables.
        """
        if self.node_nm is None:
            raise ValueError(f"Price.node_nm must be given to scale it, got None: {self.source}")
        if node_nm == self.node_nm:
            return self
        return replace(
            self,
            energy_j=self.energy_j * energy_factor(self.node_nm, node_nm),
            area_um2=self.area_um2 * area_factor(self.node_nm, node_nm),
            leakage_w=self.leakage_w * leakage_factor(self.node_nm, node_nm),
            node_nm=node_nm,
            source=f"{self.source}; from {self.node_nm:g} to {node_nm:g} nm, Stillmaker & Baas",
        )

    def of(self, transistors: Transistors) -> "Price":
        """The same of such transistors, where this price is of low thresholds."""
        share = LOW_STANDBY_LEAKAGE if transistors == "low_standby" else 1.0
        return replace(self, leakage_w=share * self.leakage_w)

"""Energy of an example on a chip: events, and what each costs."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.summaries import summary_of
from crossmesh.emulator.chip.area import ChipArea, component_bits
from crossmesh.emulator.chip.components import ComponentTable
from crossmesh.emulator.chip.timing import ChipTime
from crossmesh.tiles.analog.tile import TileConfig


@dataclass(frozen=True, kw_only=True)
class Band:
    """A figure with the table's optimistic and pessimistic ends."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChipEnergy:
    """Energy per example.

    Attributes:
        time: The program on the chip.
        area: Area of the chip, whose components leak.
        table: Components.
        pulses: Pulses on the lines of each tile per example, as counted in training, or None: a
            pulse in every slot.
    """

    time: ChipTime
    area: ChipArea
    table: ComponentTable
    pulses: tuple[float, ...] | None = None

    def __repr__(self) -> str:
        """Joules of an example, and of each component's part."""
        parts = {f"{name}_j": band.value for name, band in self.by_component_j.items()}
        total = {"per_example_j": self.per_example_j.value}
        return summary_of("ChipEnergy", {**total, **parts}.items())

    @cached_property
    def tile_events(self) -> tuple[Counter[str], ...]:
        """Events of each tile per example, by component."""
        events = tuple(map(Counter, self.time.pipeline.events))
        for tile, pulses in enumerate(self.pulses or ()):
            more = round(pulses) - self.time.pipeline.pulses[tile]
            for name, n in self.time.tiles[tile].cell.costs.pulse.items():
                events[tile][name] += n * more
        return events

    @cached_property
    def tile_j(self) -> list[float]:
        """Joules of each tile per example, leakage left out."""
        return [
            sum(self._joules(name, count, tile) for name, count in events.items())
            for events, tile in zip(self.tile_events, self.time.tiles, strict=True)
        ]

    @cached_property
    def link_j(self) -> NDArray[np.float64]:
        """``(links,)`` joules of each link and the router before it per example."""
        per_mm, per_router = (self._joules(name, 1) for name in ("link", "router"))
        bits = self.time.steady.timing.link_flits * self.time.chip.flit_bits / self.time.micro_batch
        return np.asarray(bits * (self.area.link_lengths_mm * per_mm + per_router))

    def _joules(self, name: str, count: float, tile: TileConfig | None = None) -> float:
        bits = component_bits(name, tile or self.time.tile, self.time.chip)
        share = self.time.topology.router_energy if name == "router" else 1
        return count * share * self.table.components[name].energy_j(bits)

    @cached_property
    def events(self) -> Counter[str]:
        """Events per example, by component."""
        events: Counter[str] = Counter()
        for of_tile in self.tile_events:
            events.update(of_tile)
        timing, bits = self.time.steady.timing, self.time.chip.flit_bits
        over_links = int(timing.link_flits.sum())
        into, _ = self.time.own_ports
        events["router"] = (over_links + int(into.sum())) * bits // self.time.micro_batch
        bit_millimetres = float(self.area.link_lengths_mm @ timing.link_flits) * bits
        events["link"] = round(bit_millimetres / self.time.micro_batch)
        return events

    @cached_property
    def by_component_j(self) -> dict[str, Band]:
        """Joules per example, by component; leakage is that of the whole chip."""
        found = {}
        for name, count in self.events.items():
            component = self.table.components[name]
            joules = self._total_joules(name, count)
            found[name] = Band(
                low=joules * component.low, value=joules, high=joules * component.high
            )
        idle = self.area.leakage_w * self.time.interval_s
        found["leakage"] = Band(low=idle, value=idle, high=idle)
        return found

    def _total_joules(self, name: str, count: float) -> float:
        """Joules of all events of a component, each with the bits of its tile."""
        if len(set(self.time.tiles)) == 1 or name in {"router", "link"}:
            return self._joules(name, count)
        every = zip(self.tile_events, self.time.tiles, strict=True)
        return sum(self._joules(name, events[name], tile) for events, tile in every)

    @property
    def per_example_j(self) -> Band:
        """The sum of all."""
        parts = self.by_component_j.values()
        return Band(
            low=sum(p.low for p in parts),
            value=sum(p.value for p in parts),
            high=sum(p.high for p in parts),
        )

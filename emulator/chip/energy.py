"""Energy of an example on a chip: events, and what each costs."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.price import Price
from crossmesh.common.summaries import summary_of
from crossmesh.emulator.chip.area import ChipArea
from crossmesh.emulator.chip.holding import HeldBits
from crossmesh.emulator.chip.prices import Prices
from crossmesh.emulator.chip.pulsing import Event, EventCounts
from crossmesh.emulator.chip.timing import ChipTime
from crossmesh.emulator.chip.use import TileUse

_CLOCKED = ("digital", "shift_add", "memory", "router_add")  # of routers it is in DSENT's figures


@dataclass(frozen=True, kw_only=True)
class Band:
    """A figure with the optimistic and pessimistic ends of what it is made of."""

    low: float
    value: float
    high: float

    def __add__(self, other: "Band") -> "Band":
        """The sum of both, which are wrong in the same direction at worst."""
        return Band(
            low=self.low + other.low, value=self.value + other.value, high=self.high + other.high
        )

    def __mul__(self, factor: float) -> "Band":
        """So many times that."""
        return Band(low=factor * self.low, value=factor * self.value, high=factor * self.high)


NOTHING = Band(low=0.0, value=0.0, high=0.0)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChipEnergy:
    """Energy per example.

    Attributes:
        time: The program on the chip.
        area: Area of the chip, whose components leak.
        prices: What events cost.
        uses: How a run has used each tile, or None: estimated.
        leakage_w: What counts of the chip's leakage; None: all of it.
        held: What the memories of its own tiles hold, where the chip has others; None: all of it.
    """

    time: ChipTime
    area: ChipArea
    prices: Prices
    uses: tuple[TileUse, ...] | None = None
    leakage_w: float | None = None
    held: HeldBits | None = None

    def __repr__(self) -> str:
        """Joules of an example, and of each component's part."""
        parts = {f"{name}_j": band.value for name, band in self.by_component_j.items()}
        total = {"per_example_j": self.per_example_j.value}
        return summary_of("ChipEnergy", {**total, **parts}.items())

    @cached_property
    def tile_events(self) -> tuple[EventCounts, ...]:
        """Events of each tile per example."""
        return tuple(
            events.of(self.uses[unit] if self.uses else None)
            for unit, events in enumerate(self.time.pipeline.events)
        )

    @cached_property
    def tile_bands(self) -> tuple[dict[str, Band], ...]:
        """Joules of each tile per example, by component."""
        found = []
        for unit, events in enumerate(self.tile_events):
            bands: dict[str, Band] = {}
            for event, count in events.items():
                band = _band(self._price(event, unit), count)
                bands[event.name] = bands.get(event.name, NOTHING) + band
            found.append(bands)
        return tuple(found)

    @cached_property
    def tile_j(self) -> list[float]:
        """Joules of each tile per example; leakage, clock and supply left out."""
        return [sum(band.value for band in bands.values()) for bands in self.tile_bands]

    @cached_property
    def link_j(self) -> NDArray[np.float64]:
        """``(links,)`` joules of each link and the router before it per example."""
        bits = self.time.steady.timing.link_flits * self.time.chip.flit_bits / self.time.micro_batch
        per_mm, per_router = self.prices.link.energy_j, self.prices.router.energy_j
        return np.asarray(bits * (self.area.link_lengths_mm * per_mm + per_router))

    def _price(self, event: Event, unit: int) -> Price:
        conductance = self.uses[unit].conductance if self.uses else None
        held = (self.held or self.area.held).total[unit]
        return self.prices.event(event, self.time.tiles[unit], held, conductance)

    @cached_property
    def events(self) -> Mapping[str, float]:
        """Events per example, by component; none of what is not there."""
        found = defaultdict[str, float](float, self._sent)
        for of_tile in self.tile_events:
            for event, count in of_tile.items():
                found[event.name] += count
        return found

    @cached_property
    def _sent(self) -> dict[str, int]:
        """Bits through routers, and bits times millimetres over links, per example."""
        timing, bits = self.time.steady.timing, self.time.chip.flit_bits
        into, _ = self.time.own_ports
        routed = (int(timing.link_flits.sum()) + int(into.sum())) * bits
        bit_millimetres = float(self.area.link_lengths_mm @ timing.link_flits) * bits
        n = self.time.micro_batch
        return {"router": routed // n, "link": round(bit_millimetres / n)}

    @cached_property
    def by_component_j(self) -> dict[str, Band]:
        """Joules per example, by component; the sum of all is that of the chip.

        Leakage is that of the whole chip; the clock's share is of what it drives, and the supply
        loses a part of all.
        """
        found: dict[str, Band] = {}
        for bands in self.tile_bands:
            for name, band in bands.items():
                found[name] = found.get(name, NOTHING) + band
        found["router"] = found.get("router", NOTHING) + _band(
            self.prices.router, self._sent["router"]
        )
        found["link"] = _band(self.prices.link, self._sent["link"])
        watts = self.area.leakage_w if self.leakage_w is None else self.leakage_w
        idle = watts * self.time.interval_s
        found["leakage"] = Band(low=idle, value=idle, high=idle)
        overheads, clocked = self.time.chip.overheads, NOTHING
        for name in _CLOCKED:
            clocked += found.get(name, NOTHING)
        found["clock"] = clocked * overheads.clock_share
        drawn = sum(found.values(), NOTHING)
        found["supply"] = drawn * (1 / overheads.supply_efficiency - 1)
        return {name: band for name, band in found.items() if band.value}

    @property
    def per_example_j(self) -> Band:
        """The sum of all."""
        return sum(self.by_component_j.values(), NOTHING)

    @cached_property
    def sources(self) -> dict[str, tuple[Price, ...]]:
        """The different prices that each component has on this chip's tiles."""
        found: dict[str, dict[Price, None]] = {}
        for unit, events in enumerate(self.tile_events):
            for event in events:
                found.setdefault(event.name, {})[self._price(event, unit)] = None
        found["router"] = {self.prices.router: None}
        found["link"] = {self.prices.link: None}
        return {name: tuple(prices) for name, prices in found.items()}


def _band(price: Price, count: float) -> Band:
    joules = count * price.energy_j
    return Band(low=joules * price.low, value=joules, high=joules * price.high)

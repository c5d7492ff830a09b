"""The chip report: time, energy and area of a run, and what bounds them."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emulator.chip.components import Component, Table, load_table
from emulator.chip.config import Chip
from emulator.chip.pipeline import CYCLES, Builder, Part, Pipeline
from emulator.chip.placement import place_tiles
from emulator.errors import ConfigError
from emulator.job import Job
from interconnect import Topology, Torus, Tree
from interconnect.flits.state import fabric_of
from interconnect.flow import Steady, steady
from interconnect.schedule import Evaluation, Schedule
from tiles.plan import in_order
from tiles.program import Program
from tiles.tile import TileConfig

_NEAR = 1.001  # an interval so close to a bound is set by it


@dataclass(frozen=True, kw_only=True)
class Band:
    """A figure with the table's optimistic and pessimistic ends."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ChipReport:
    """What the chip would do.

    Attributes:
        chip: The chip.
        program: The program.
        schedule: Order of the slots.
        micro_batch: Examples that move together.
        topology: The interconnect.
        pipeline: Tasks, messages and events.
        steady: Its timing.
        table: Components.
        pulses: Pulses on the lines of each tile per example, as counted in training, or None: a
            pulse in every slot.
    """

    chip: Chip
    program: Program
    schedule: Schedule
    micro_batch: int
    topology: Topology
    pipeline: Pipeline
    steady: Steady
    table: Table
    pulses: tuple[float, ...] | None = None

    # Time

    @property
    def staleness(self) -> int:
        """Updates of the first stage between a forward read and the update that it leads to."""
        return 2 * (self.program.n_stages - 1) if self.schedule.name == "asynchronous" else 0

    @property
    def interval_s(self) -> float:
        """Seconds from one example to the next."""
        return float(self.steady.interval_cycles) / self.chip.clock_hz / self.micro_batch

    @cached_property
    def latency_s(self) -> float:
        """Seconds from a micro-batch's first task to the end of its last."""
        timing = self.steady.timing
        m = self.steady.settled
        cycles = timing.ended[m].max() - timing.started[m].min()
        return float(cycles) / self.chip.clock_hz

    @cached_property
    def resource_busy(self) -> NDArray[np.float64]:
        """``(tiles, parts)`` share of the interval that each resource works."""
        busy = self.pipeline.flow.busy_cycles.reshape(-1, len(Part))
        return np.asarray(busy / float(self.steady.interval_cycles))

    @cached_property
    def tile_busy(self) -> NDArray[np.float64]:
        """``(tiles,)`` share of the interval that a tile's busiest resource works."""
        return np.asarray(self.resource_busy.max(axis=1))

    @cached_property
    def link_load(self) -> NDArray[np.float64]:
        """``(links,)`` flits per cycle."""
        return np.asarray(self.steady.timing.link_flits / float(self.steady.interval_cycles))

    @cached_property
    def bounds(self) -> dict[str, float]:
        """Cycles per micro-batch below which each resource could not go; the largest first."""
        busy = self.pipeline.flow.busy_cycles.reshape(-1, len(Part))
        tiles = self.program.crossbars
        found = {
            f"{part} of tile {tiles[int(np.argmax(busy[:, i]))].tile}": float(busy[:, i].max())
            for i, part in enumerate(Part)
        }
        flits = self.steady.timing.link_flits
        if len(flits) and flits.max():
            start, end = self.topology.links[int(np.argmax(flits))]
            found[f"link router {start} -> router {end}"] = float(flits.max())
        into, out = self._own_ports
        for name, through in (("router {} -> tile", into), ("tile -> router {}", out)):
            if through.max(initial=0):
                found["link " + name.format(int(np.argmax(through)))] = float(through.max())
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @cached_property
    def _own_ports(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Flits per micro-batch into each node's tile and out of it."""
        into, out = np.zeros(self.topology.n_nodes), np.zeros(self.topology.n_nodes)
        for send in self.pipeline.flow.sends:
            out[send.source] += sum(send.flits)
            for node in send.takers:
                into[node] += sum(send.flits)
        return into, out

    @cached_property
    def bound_by(self) -> str:
        """What sets the interval."""
        name, cycles = next(iter(self.bounds.items()))
        if float(self.steady.interval_cycles) <= _NEAR * cycles:
            return name
        if self.schedule.name in {"asynchronous", "evaluation"}:
            return f"round trips of the pipeline; {name} comes nearest"
        return f"the schedule {self.schedule.name}, which waits for updates"

    # Energy and area

    @cached_property
    def tile_events(self) -> tuple[Counter[str], ...]:
        """Events of each tile per example, by component."""
        events = tuple(map(Counter, self.pipeline.events))
        for tile, pulses in enumerate(self.pulses or ()):
            events[tile]["crossbar_pulse"] = round(pulses)
        return events

    @cached_property
    def tile_energy_j(self) -> list[float]:
        """Joules of each tile per example, leakage left out."""
        return [
            sum(self._joules(name, count, tile) for name, count in events.items())
            for events, tile in zip(self.tile_events, self.tiles, strict=True)
        ]

    @cached_property
    def tiles(self) -> tuple[TileConfig, ...]:
        """What each tile is."""
        every = (self.program.tiles[block.tile] for block in self.program.crossbars)
        return tuple(tile for tile in every if tile is not None)

    @cached_property
    def tile(self) -> TileConfig:
        """The largest tile, which sets the size of a place on the floor plan."""
        return max(self.tiles, key=lambda tile: tile.rows * tile.cols)

    @cached_property
    def link_energy_j(self) -> NDArray[np.float64]:
        """``(links,)`` joules of each link and the router before it per example."""
        per_mm, per_router = (self._joules(name, 1) for name in ("link", "router"))
        bits = self.steady.timing.link_flits * self.chip.flit_bits / self.micro_batch
        return np.asarray(bits * (self._link_lengths * per_mm + per_router))

    def _joules(self, name: str, count: float, tile: TileConfig | None = None) -> float:
        bits = self._component_bits(name, tile or self.tile)
        return count * self.table.components[name].energy_j(bits)

    @cached_property
    def events(self) -> Counter[str]:
        """Events per example, by component."""
        events: Counter[str] = Counter()
        for of_tile in self.tile_events:
            events.update(of_tile)
        timing, bits = self.steady.timing, self.chip.flit_bits
        over_links = int(timing.link_flits.sum())
        into, _ = self._own_ports
        events["router"] = (over_links + int(into.sum())) * bits // self.micro_batch
        bit_millimetres = float(self._link_lengths @ timing.link_flits) * bits
        events["link"] = round(bit_millimetres / self.micro_batch)
        return events

    @cached_property
    def _link_lengths(self) -> NDArray[np.float64]:
        """``(links,)`` millimetres."""
        pitch, topology = math.sqrt(self.tile_area_mm2), self.topology
        ends = topology.links
        if isinstance(topology, Tree):
            level = np.zeros(topology.n_routers)
            start, size, number = 0, topology.leaves, 0
            while size > 1:
                level[start : start + size] = number
                start, size, number = start + size, -(-size // topology.arity), number + 1
            return np.asarray(pitch * np.sqrt(topology.arity) ** level[ends.min(axis=1)])
        width, _ = self.chip.grid(topology.n_nodes)
        steps = np.abs(ends[:, 0] % width - ends[:, 1] % width)
        steps += np.abs(ends[:, 0] // width - ends[:, 1] // width)
        return np.asarray(pitch * (np.minimum(steps, 2) if isinstance(topology, Torus) else steps))

    def _component_bits(self, name: str, tile: TileConfig) -> int:
        read = tile.read
        known = {"dac": read.dac, "adc": read.adc}.get(name)
        return known.bits if known else self.chip.activation_bits

    @cached_property
    def energy_j(self) -> dict[str, Band]:
        """Joules per example, by component; leakage is that of the whole chip."""
        found = {}
        for name, count in self.events.items():
            component = self.table.components[name]
            joules = self._total_joules(name, count)
            found[name] = Band(
                low=joules * component.low, value=joules, high=joules * component.high
            )
        idle = self._leakage_w * self.interval_s
        found["leakage"] = Band(low=idle, value=idle, high=idle)
        return found

    def _total_joules(self, name: str, count: float) -> float:
        """Joules of all events of a component, each with the bits of its tile."""
        if len(set(self.tiles)) == 1 or name in {"router", "link"}:
            return self._joules(name, count)
        every = zip(self.tile_events, self.tiles, strict=True)
        return sum(self._joules(name, events[name], tile) for events, tile in every)

    @property
    def energy_j_per_example(self) -> Band:
        """The sum of all."""
        parts = self.energy_j.values()
        return Band(
            low=sum(p.low for p in parts),
            value=sum(p.value for p in parts),
            high=sum(p.high for p in parts),
        )

    @cached_property
    def part_counts(self) -> dict[str, int]:
        """How many of each component a tile with its router has."""
        rows, cols = self.tile.rows, self.tile.cols
        adcs = -(-max(rows, cols) // self.chip.phases.lines_per_adc)
        return {
            "crossbar_read": rows * cols,
            "dac": rows + cols,
            "adc": adcs,
            "sample_hold": rows + cols,
            "shift_add": adcs,
            "digital": self.chip.phases.digital_lanes,
            "buffer": (rows + cols) * self.chip.partial_sum_bits,
            "router": 1,
        }

    @property
    def tile_area_mm2(self) -> float:
        """Area of a tile with its router."""
        return sum(
            count * self.table.components[name].area_mm2(self._component_bits(name, self.tile))
            for name, count in self.part_counts.items()
        )

    @property
    def area_mm2(self) -> float:
        """Area of all places of the floor plan."""
        return self.topology.n_nodes * self.tile_area_mm2

    @property
    def _leakage_w(self) -> float:
        def of(component: Component) -> float:
            return 1e-6 * component.leakage_uw

        parts = self.table.components
        tile = sum(count * of(parts[name]) for name, count in self.part_counts.items())
        wires = len(self.topology.links) * self.chip.flit_bits * of(parts["link"])
        return self.topology.n_nodes * tile + wires

    # Operations

    @cached_property
    def ops_per_example(self) -> int:
        """Two for every weight that is read forward, read backward, and updated."""
        cells = {block.tile: math.prod(block.shape) for block in self.program.blocks}
        cycles = [op for op in in_order(self.program, self.schedule) if op.kind in CYCLES]
        return sum(2 * cells[op.tile] * (op.span[1] - op.span[0]) for op in cycles)

    @property
    def summary(self) -> dict[str, object]:
        """As ``chip`` in ``summary.json``."""
        energy = self.energy_j_per_example
        rate = 1 / self.interval_s
        return {
            "schedule": self.schedule.name,
            "staleness": self.staleness,
            "interval_s": self.interval_s,
            "latency_s": self.latency_s,
            "examples_per_s": rate,
            "bound_by": self.bound_by,
            "energy_j_per_example": energy.value,
            "energy_j_per_example_low": energy.low,
            "energy_j_per_example_high": energy.high,
            "area_mm2": self.area_mm2,
            "ops_per_example": self.ops_per_example,
            "ops_per_s_per_w": self.ops_per_example / energy.value,
            "ops_per_s_per_mm2": self.ops_per_example * rate / self.area_mm2,
            "mean_tile_busy": float(self.tile_busy.mean()),
            "max_link_load": float(self.link_load.max(initial=0.0)),
            "time_model": self.chip.model,
            "recurs_exactly": self.steady.recurs,
        }


def report_chip(
    program: Program,
    chip: Chip,
    schedule: Schedule,
    micro_batch: int,
    *,
    pulses: tuple[float, ...] | None = None,
) -> ChipReport:
    """Time a program on a chip until its pattern recurs, and count what happens.

    Raises:
        ConfigError: If the chip cannot hold the program or sustain the interval asked for.
    """
    table = load_table(chip.table)
    try:
        topology = chip.interconnect(len(program.crossbars))
        place = place_tiles(chip, in_order(program, schedule), program.units)
        pipeline = Builder(program, chip, schedule, micro_batch, place).pipeline()
        settled = steady(topology, chip.router.router, pipeline.flow, schedule, chip.model)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except (MemoryError, OverflowError):
        raise ConfigError(
            "training.micro_batch and batch must be smaller for the chip to be timed: "
            f"got {micro_batch} examples together, which take more memory than there is"
        ) from None
    report = ChipReport(
        chip=chip,
        program=program,
        schedule=schedule,
        micro_batch=micro_batch,
        topology=topology,
        pipeline=pipeline,
        steady=settled,
        table=table,
        pulses=pulses,
    )
    if chip.interval_s is not None and chip.interval_s < report.interval_s:
        raise ConfigError(
            f"chip.interval_s must be at least {report.interval_s:.6g}, the smallest that can be "
            f"sustained (bound by {report.bound_by}), got {chip.interval_s:.6g}"
        )
    return report


def check_chip(job: Job) -> None:
    """Refuse a chip that cannot be, before anything is trained.

    Raises:
        ConfigError: If the chip cannot hold the program or sustain the interval asked for.
    """
    chip = job.config.chip
    load_table(chip.table)
    try:
        topology = chip.interconnect(len(job.program.crossbars))
        if chip.model == "flit":
            fabric_of(topology, chip.router.router)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if chip.interval_s is not None:
        chip_of(job)


def chip_of(
    job: Job, pulses: tuple[float, ...] | None = None, *, inference: bool = False
) -> ChipReport:
    """What the chip of a job would do while it trains, or while it only infers.

    Args:
        job: The job.
        pulses: Pulses on the lines of each tile per example, if they were counted.
        inference: Whether examples pass forward only, one after the other.
    """
    config = job.config
    if inference:
        return report_chip(job.program, config.chip, Evaluation(), 1)
    span = job.epoch(0)
    return report_chip(job.program, config.chip, span.schedule, span.micro_batch, pulses=pulses)

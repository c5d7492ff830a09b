"""Time on a chip: interval, latency, how busy its parts are, and what bounds it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.summaries import summary_of
from crossmesh.emulator.chip.digital_work import CYCLES
from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.pipeline import Builder, Pipeline
from crossmesh.emulator.chip.use import TileUse
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc import Topology
from crossmesh.interconnect.noc.models import Watch, unwatched
from crossmesh.interconnect.noc.pipeline_timing import Steady, steady
from crossmesh.interconnect.schedule import Schedule
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.runtime.plan import in_order
from crossmesh.tiles.runtime.program import Program

_NEAR = 1.001  # an interval so close to a bound is set by it


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChipTime:
    """A program on a chip, timed until its pattern recurs.

    Attributes:
        chip: The chip.
        program: The program.
        schedule: Order of the slots.
        micro_batch: Examples that move together.
        topology: The interconnect.
        pipeline: Tasks, messages and events.
        steady: Its timing.
    """

    chip: Chip
    program: Program
    schedule: Schedule
    micro_batch: int
    topology: Topology
    pipeline: Pipeline
    steady: Steady

    def __repr__(self) -> str:
        """Interval, latency and what bounds them."""
        shown = ("staleness", "interval_s", "latency_s", "bound_by", "ops_per_example")
        fields = [(name, getattr(self, name)) for name in shown]
        return summary_of("ChipTime", [("schedule", self.schedule.name), *fields])

    @property
    def tiles(self) -> tuple[TileConfig, ...]:
        """One row for each tile."""
        return self.program.tiles

    @property
    def staleness(self) -> int:
        """Updates of the first stage between a forward read and the update that it leads to."""
        return self.schedule.staleness(self.program.n_stages)

    @property
    def shortest_interval_s(self) -> float:
        """Seconds from one example to the next, as fast as the chip can go."""
        return float(self.steady.interval_cycles) / self.chip.clock_hz / self.micro_batch

    @property
    def interval_s(self) -> float:
        """Seconds from one example to the next: ``chip.interval_s``, or the shortest."""
        return max(self.chip.interval_s or 0.0, self.shortest_interval_s)

    @property
    def waits(self) -> bool:
        """Whether examples come more slowly than the chip could take them."""
        return self.interval_s > self.shortest_interval_s

    @cached_property
    def interval_cycles(self) -> float:
        """Cycles from one micro-batch to the next."""
        if self.waits:
            return self.interval_s * self.chip.clock_hz * self.micro_batch
        return float(self.steady.interval_cycles)

    @cached_property
    def latency_s(self) -> float:
        """Seconds from a micro-batch's first task to the end of its last.

        Ports bring it earlier, as soon as a buffer is free, where it waits for that first task. At
        an interval longer than the shortest, it is that of the shortest.
        """
        timing = self.steady.timing
        m = self.steady.settled
        worked = [step.part is not TileResource.PORT for step in self.pipeline.steps]
        cycles = timing.ended[m].max() - timing.started[m, worked].min()
        return float(cycles) / self.chip.clock_hz

    @cached_property
    def busy_cycles(self) -> NDArray[np.int64]:
        """``(tiles, parts)`` cycles per micro-batch that each resource works."""
        n_tiles, parts = len(self.program.crossbars), len(TileResource)
        return self.pipeline.flow.busy_cycles[: n_tiles * parts].reshape(n_tiles, parts)

    @cached_property
    def resource_busy(self) -> NDArray[np.float64]:
        """``(tiles, parts)`` share of the interval that each resource works."""
        busy = self.busy_cycles
        return np.asarray(busy / self.interval_cycles)

    @cached_property
    def tile_busy(self) -> NDArray[np.float64]:
        """``(tiles,)`` share of the interval that a tile's busiest resource works."""
        return np.asarray(self.resource_busy.max(axis=1))

    @cached_property
    def link_load(self) -> NDArray[np.float64]:
        """``(links,)`` flits per cycle."""
        return np.asarray(self.steady.timing.link_flits / self.interval_cycles)

    @cached_property
    def bounds(self) -> dict[str, float]:
        """Cycles per micro-batch below which each resource could not go; the largest first."""
        busy, tiles = self.busy_cycles, self.program.crossbars
        found = {
            f"{part} of tile {tiles[int(np.argmax(busy[:, i]))].tile}": float(busy[:, i].max())
            for i, part in enumerate(TileResource)
        }
        flits = self.steady.timing.link_flits
        if len(flits) and flits.max():
            start, end = self.topology.links[int(np.argmax(flits))]
            found[f"link router {start} -> router {end}"] = float(flits.max())
        into, out = self.own_ports
        for name, through in (("router {} -> tile", into), ("tile -> router {}", out)):
            if through.max(initial=0):
                found["link " + name.format(int(np.argmax(through)))] = float(through.max())
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @cached_property
    def own_ports(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Flits per micro-batch into each node's tile and out of it."""
        into, out = np.zeros(self.topology.n_nodes), np.zeros(self.topology.n_nodes)
        for send in self.pipeline.flow.sends:
            out[send.source] += sum(send.flits)
            for node in send.takers:
                into[node] += sum(send.flits)
        return into, out

    @cached_property
    def bound_by(self) -> str:
        """The resource that limits the interval."""
        name, cycles = next(iter(self.bounds.items()))
        if self.waits:
            return f"chip.interval_s; {name} comes nearest"
        if float(self.steady.interval_cycles) <= _NEAR * cycles:
            return name
        if self.schedule.stays_full:
            return f"round trips of the pipeline; {name} comes nearest"
        return f"the schedule {self.schedule.name}, which waits for updates"

    @cached_property
    def ops_per_example(self) -> int:
        """Two for every weight that is read forward, read backward, and updated."""
        cells = {block.tile: math.prod(block.shape) for block in self.program.blocks}
        cycles = [op for op in in_order(self.program, self.schedule) if op.kind in CYCLES]
        return sum(2 * cells[op.tile] * op.vectors for op in cycles)


def time_program(  # noqa: PLR0913  because all of them are timed
    program: Program,
    chip: Chip,
    schedule: Schedule,
    micro_batch: int,
    place: tuple[int, ...],
    topology: Topology,
    *,
    uses: Sequence[TileUse] | None = None,
    watch: Watch = unwatched,
) -> ChipTime:
    """Time a program at its places until its pattern recurs.

    Args:
        program: The program.
        chip: The chip.
        schedule: Order of the slots.
        micro_batch: Examples that move together.
        place: Node of the interconnect that each tile lies at.
        topology: The interconnect.
        uses: How a run has used each tile; None: no read is repeated.
        watch: Called now and then.

    Raises:
        ValueError, MemoryError, OverflowError: If it does not fit the chip, or this machine.
    """
    pipeline = Builder(program, chip, schedule, micro_batch, place, topology, uses=uses).pipeline()
    return ChipTime(
        chip=chip,
        program=program,
        schedule=schedule,
        micro_batch=micro_batch,
        topology=topology,
        pipeline=pipeline,
        steady=steady(topology, chip.router.router, pipeline.flow, schedule, chip.model, watch),
    )

"""The chip report: time, energy and area of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property

from crossmesh.common.errors import ConfigError
from crossmesh.common.summaries import summary_of
from crossmesh.emulator.chip.area import ChipArea
from crossmesh.emulator.chip.breakdown import lever, ratio
from crossmesh.emulator.chip.components import check_cells, load_table
from crossmesh.emulator.chip.energy import ChipEnergy
from crossmesh.emulator.chip.holding import check_memory, held_bits
from crossmesh.emulator.chip.pipeline import Builder
from crossmesh.emulator.chip.placement import Placed, place_program
from crossmesh.emulator.chip.prices import Prices
from crossmesh.emulator.chip.timing import ChipTime, time_program
from crossmesh.emulator.chip.use import TileUse
from crossmesh.emulator.compiler.job import Job, prepare_chip
from crossmesh.emulator.config.chip import Chip
from crossmesh.emulator.config.run import RunConfig
from crossmesh.interconnect.noc.flits.state import fabric_of
from crossmesh.interconnect.noc.models import Watch, unwatched
from crossmesh.interconnect.noc.topology import Topology
from crossmesh.interconnect.schedule import ForwardOnly, Schedule
from crossmesh.tiles.runtime.program import Program

_ROUNDED = 1e-5  # relative; what is asked for may be the shortest interval as it was printed


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChipReport:
    """Time, energy and area of the emulated chip.

    Attributes:
        time: Interval, latency and load of tiles and links.
        energy: Energy per example by component, with a band.
        area: Area by component.
    """

    time: ChipTime
    energy: ChipEnergy
    area: ChipArea

    def __repr__(self) -> str:
        """The figures of ``summary``, on one screen."""
        return summary_of("ChipReport", self.summary.items())

    @property
    def lever(self) -> str:
        """What takes most of the energy, in words."""
        return lever(self.energy, self.area)

    @property
    def ops_per_j(self) -> float | None:
        """Operations per second and watt; None: nothing costs energy."""
        return ratio(self.time.ops_per_example, self.energy.per_example_j.value)

    @property
    def ops_per_s_per_mm2(self) -> float | None:
        """Operations per second and square millimetre; None: nothing takes area."""
        return ratio(self.time.ops_per_example / self.time.interval_s, self.area.chip_mm2)

    @cached_property
    def beyond(self) -> dict[str, str]:
        """Where prices are used beyond the range of their source, by component."""
        found = {}
        for name, prices in self.energy.sources.items():
            if remarks := [price.beyond for price in prices if price.beyond]:
                others = f" (and {len(remarks) - 1} more)" if len(remarks) > 1 else ""
                found[name] = remarks[0] + others
        return found

    @property
    def repeats(self) -> float | None:
        """Reads per example that bound management has repeated; None: no run has counted them."""
        uses = self.energy.uses
        return sum(use.repeats for use in uses) if uses else None

    @property
    def summary(self) -> dict[str, object]:
        """The section ``chip`` of ``summary.json``.

        Units are in the names: seconds, joules per example, mm²; ``staleness`` is in updates, ops
        count a multiplication and an addition as two, ``mean_tile_busy`` is a share of the
        interval, ``max_link_load`` is in flits per cycle.
        """
        time, area = self.time, self.area.chip_mm2
        energy = self.energy.per_example_j
        return {
            "schedule": time.schedule.name,
            "staleness": time.staleness,
            "interval_s": time.interval_s,
            "shortest_interval_s": time.shortest_interval_s,
            "latency_s": time.latency_s,
            "examples_per_s": 1 / time.interval_s,
            "bound_by": time.bound_by,
            "energy_j_per_example": energy.value,
            "energy_j_per_example_low": energy.low,
            "energy_j_per_example_high": energy.high,
            "area_mm2": area,
            "ops_per_example": time.ops_per_example,
            "repeats_per_example": self.repeats,
            "digital_ops_per_example": dict(time.pipeline.digital.most_common()),
            "ops_per_s_per_w": self.ops_per_j,
            "ops_per_s_per_mm2": self.ops_per_s_per_mm2,
            "largest_lever": self.lever,
            "energy_by_component_j": {
                name: asdict(band) for name, band in self.energy.by_component_j.items()
            },
            "area_by_component_mm2": self.area.by_component_mm2,
            "leakage_w": self.area.leakage_w,
            "memory_bits": self.area.held.by_purpose,
            "node_nm": time.chip.node_nm,
            "beyond_sources": self.beyond,
            "mean_tile_busy": float(time.tile_busy.mean()),
            "max_link_load": float(time.link_load.max(initial=0.0)),
            "time_model": time.steady.choice.model,
            "time_model_reason": time.steady.choice.reason,
            "recurs_exactly": time.steady.recurs,
        }


@contextmanager
def fitting(micro_batch: int) -> Iterator[None]:
    """Say in one line if a program with so large a micro-batch does not fit.

    Raises:
        ConfigError: If the chip cannot hold it, or if timing it takes more memory than there is.
    """
    try:
        yield
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except (MemoryError, OverflowError):
        raise ConfigError(
            "training.micro_batch and batch must be smaller for the chip to be timed: "
            f"got {micro_batch} examples together, which take more memory than there is"
        ) from None


def report_chip(  # noqa: PLR0913  because callers are told of placement and timing
    program: Program,
    chip: Chip,
    schedule: Schedule,
    micro_batch: int,
    *,
    uses: tuple[TileUse, ...] | None = None,
    placed: Placed | None = None,
    seed: int = 0,
    watch: Watch = unwatched,
    placing: Watch = unwatched,
) -> ChipReport:
    """Time a program on a chip until its pattern recurs, and count its events.

    Args:
        program: The compiled program.
        chip: Interconnect, timing and component table.
        schedule: Order of the phases; ``ForwardOnly`` for inference.
        micro_batch: Examples of a micro-batch.
        uses: How a run has used each tile; by default an estimate.
        placed: The program on the places of the chip; by default as ``chip.placement`` says.
        seed: Seed of the placement.
        watch: Called now and then while the interconnect is timed.
        placing: Called now and then while tiles are placed.

    Returns:
        Time, energy and area.

    Raises:
        ConfigError: If the chip cannot hold the program or sustain the interval asked for.
    """
    table = load_table(chip.table)
    check_cells(table, program.tiles)
    with fitting(micro_batch):
        topology = chip.interconnect(len(program.crossbars))
        program, place = placed or place_program(
            program, chip, schedule, micro_batch, seed=seed, watch=placing
        )
        time = time_program(
            program, chip, schedule, micro_batch, place, topology, uses=uses, watch=watch
        )
    if chip.interval_s is not None and chip.interval_s < time.shortest_interval_s * (1 - _ROUNDED):
        raise ConfigError(
            f"chip.interval_s must be at least {time.shortest_interval_s:.6g}, the smallest that "
            f"can be sustained (bound by {time.bound_by}), got {chip.interval_s:.6g}"
        )
    prices = Prices(chip, table, topology)
    held = held_bits(program, time.pipeline)
    check_memory(chip, held)
    area = ChipArea(chip=chip, topology=topology, tiles=time.tiles, prices=prices, held=held)
    energy = ChipEnergy(time=time, area=area, prices=prices, uses=uses)
    return ChipReport(time=time, energy=energy, area=area)


def check_chip(job: Job) -> None:
    """Refuse a chip that cannot be, before anything is trained.

    Raises:
        ConfigError: If the chip cannot hold the program or sustain the interval asked for.
    """
    chip = job.config.chip
    check_cells(load_table(chip.table), job.program.tiles)
    try:
        topology = chip.interconnect(len(job.program.crossbars))
        if chip.model == "flit":
            fabric_of(topology, chip.router.router)
        if chip.memory_bits or chip.io_ports or chip.in_network_sums:
            _check_built(job, topology)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if chip.interval_s is not None:
        chip_of(job)


def _check_built(job: Job, topology: Topology) -> None:
    """Refuse what can be seen of a pipeline without placing or timing it."""
    program, chip, span = job.program, job.config.chip, job.epoch(0)
    place = tuple(range(len(program.crossbars)))
    built = Builder(program, chip, span.schedule, span.micro_batch, place, topology).pipeline()
    check_memory(chip, held_bits(program, built))


def chip_report(config: RunConfig, *, inference: bool = False) -> ChipReport:
    """Time, energy and area of the chip that a config describes, without training.

    Args:
        config: The config.
        inference: Whether examples pass forward only, one after the other.

    Raises:
        ConfigError: If the chip cannot hold the network or sustain the interval asked for.
        DataError: If data of one's own cannot be had: their shape decides that of the network.
    """
    return chip_of(prepare_chip(config), inference=inference)


def chip_of(
    job: Job,
    uses: tuple[TileUse, ...] | None = None,
    *,
    inference: bool = False,
    watch: Watch = unwatched,
    placing: Watch = unwatched,
) -> ChipReport:
    """Report of the chip of a job in training, or in inference.

    Args:
        job: The job.
        uses: How a run has used each tile, if there was one; in inference its repeated reads and
            conductances count.
        inference: Whether examples pass forward only, one after the other.
        watch: Called now and then while the interconnect is timed.
        placing: Called now and then while tiles are placed.
    """
    program, chip = job.program, job.config.chip
    schedule: Schedule = ForwardOnly()
    micro_batch = 1
    if inference:
        uses = uses and tuple(use.forward for use in uses)
    else:
        span = job.epoch(0)
        schedule, micro_batch = span.schedule, span.micro_batch
    return report_chip(
        program,
        chip,
        schedule,
        micro_batch,
        uses=uses,
        seed=job.config.seed,
        watch=watch,
        placing=placing,
    )

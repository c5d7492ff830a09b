"""The chip report: time, energy and area of a run."""

from dataclasses import dataclass

from crossmesh.common.errors import ConfigError
from crossmesh.common.summaries import summary_of
from crossmesh.emulator.chip.area import ChipArea
from crossmesh.emulator.chip.components import check_cells, load_table
from crossmesh.emulator.chip.energy import ChipEnergy
from crossmesh.emulator.chip.optimizer_work import optimizer_bits
from crossmesh.emulator.chip.pipeline import Builder
from crossmesh.emulator.chip.placement import place_tiles
from crossmesh.emulator.chip.timing import ChipTime
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.chip import Chip
from crossmesh.emulator.config.run import RunConfig
from crossmesh.interconnect.noc.flits.state import fabric_of
from crossmesh.interconnect.noc.models import Watch, unwatched
from crossmesh.interconnect.noc.pipeline_timing import steady
from crossmesh.interconnect.schedule import ForwardOnly, Schedule
from crossmesh.tiles.runtime.plan import in_order
from crossmesh.tiles.runtime.program import Program


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
    def summary(self) -> dict[str, object]:
        """The section ``chip`` of ``summary.json``.

        Units are in the names: seconds, joules per example, mm²; ``staleness`` is in updates, ops
        count a multiplication and an addition as two, ``mean_tile_busy`` is a share of the
        interval, ``max_link_load`` is in flits per cycle.
        """
        time, area = self.time, self.area.chip_mm2
        energy = self.energy.per_example_j
        rate, ops = 1 / time.interval_s, time.ops_per_example
        return {
            "schedule": time.schedule.name,
            "staleness": time.staleness,
            "interval_s": time.interval_s,
            "latency_s": time.latency_s,
            "examples_per_s": rate,
            "bound_by": time.bound_by,
            "energy_j_per_example": energy.value,
            "energy_j_per_example_low": energy.low,
            "energy_j_per_example_high": energy.high,
            "area_mm2": area,
            "ops_per_example": ops,
            "digital_ops_per_example": dict(time.pipeline.digital.most_common()),
            "ops_per_s_per_w": ops / energy.value,
            "ops_per_s_per_mm2": ops * rate / area,
            "mean_tile_busy": float(time.tile_busy.mean()),
            "max_link_load": float(time.link_load.max(initial=0.0)),
            "time_model": time.chip.model,
            "recurs_exactly": time.steady.recurs,
        }


def report_chip(
    program: Program,
    chip: Chip,
    schedule: Schedule,
    micro_batch: int,
    *,
    pulses: tuple[float, ...] | None = None,
    watch: Watch = unwatched,
) -> ChipReport:
    """Time a program on a chip until its pattern recurs, and count its events.

    Args:
        program: The compiled program.
        chip: Interconnect, timing and component table.
        schedule: Order of the phases; ``ForwardOnly`` for inference.
        micro_batch: Examples of a micro-batch.
        pulses: Pulses per example on each tile, measured in a run; by default an estimate.
        watch: Called now and then while the interconnect is timed.

    Returns:
        Time, energy and area.

    Raises:
        ConfigError: If the chip cannot hold the program or sustain the interval asked for.
    """
    table = load_table(chip.table)
    check_cells(table, program.tiles)
    try:
        topology = chip.interconnect(len(program.crossbars))
        place = place_tiles(chip, in_order(program, schedule), program.units)
        pipeline = Builder(program, chip, schedule, micro_batch, place).pipeline()
        settled = steady(topology, chip.router.router, pipeline.flow, schedule, chip.model, watch)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except (MemoryError, OverflowError):
        raise ConfigError(
            "training.micro_batch and batch must be smaller for the chip to be timed: "
            f"got {micro_batch} examples together, which take more memory than there is"
        ) from None
    time = ChipTime(
        chip=chip,
        program=program,
        schedule=schedule,
        micro_batch=micro_batch,
        topology=topology,
        pipeline=pipeline,
        steady=settled,
    )
    if chip.interval_s is not None and chip.interval_s < time.interval_s:
        raise ConfigError(
            f"chip.interval_s must be at least {time.interval_s:.6g}, the smallest that can be "
            f"sustained (bound by {time.bound_by}), got {chip.interval_s:.6g}"
        )
    area = ChipArea(
        chip=chip,
        topology=topology,
        tile=time.tile,
        table=table,
        optimizer_bits=optimizer_bits(program),
    )
    energy = ChipEnergy(time=time, area=area, table=table, pulses=pulses)
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
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if chip.interval_s is not None:
        chip_of(job)


def chip_report(config: RunConfig, *, inference: bool = False) -> ChipReport:
    """Time, energy and area of the chip that a config describes, without training.

    Args:
        config: The config.
        inference: Whether examples pass forward only, one after the other.

    Raises:
        ConfigError: If the chip cannot hold the network or sustain the interval asked for.
        DataError: If the data cannot be had: their shape decides that of the network.
    """
    return chip_of(prepare(config), inference=inference)


def chip_of(
    job: Job,
    pulses: tuple[float, ...] | None = None,
    *,
    inference: bool = False,
    watch: Watch = unwatched,
) -> ChipReport:
    """Report of the chip of a job in training, or in inference.

    Args:
        job: The job.
        pulses: Pulses on the lines of each tile per example, if they were counted.
        inference: Whether examples pass forward only, one after the other.
        watch: Called now and then while the interconnect is timed.
    """
    program, chip = job.program, job.config.chip
    if inference:
        return report_chip(program, chip, ForwardOnly(), 1, watch=watch)
    span = job.epoch(0)
    return report_chip(program, chip, span.schedule, span.micro_batch, pulses=pulses, watch=watch)

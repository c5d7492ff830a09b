"""Several networks on one chip, which share its interconnect."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.chip.area import ChipArea
from crossmesh.emulator.chip.components import check_cells, load_table
from crossmesh.emulator.chip.energy import ChipEnergy
from crossmesh.emulator.chip.holding import check_memory, held_bits, joined_bits
from crossmesh.emulator.chip.placement import filled, place_program
from crossmesh.emulator.chip.prices import Prices
from crossmesh.emulator.chip.report import ChipReport, fitting
from crossmesh.emulator.chip.timing import ChipTime, time_program
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc import Topology
from crossmesh.interconnect.noc.models import Watch, unwatched
from crossmesh.interconnect.noc.sharing import steady_together
from crossmesh.interconnect.schedule import ForwardOnly, Schedule


@dataclass(frozen=True, kw_only=True)
class SharedChip:
    """Networks on one chip.

    Attributes:
        names: Name of each network's config.
        alone: Report of each with the others idle, at the same places.
        together: Report of each while all run.
    """

    names: tuple[str, ...]
    alone: tuple[ChipReport, ...]
    together: tuple[ChipReport, ...]

    @property
    def summary(self) -> list[dict[str, object]]:
        """For each network the section ``chip`` of ``summary.json``, and what it is alone."""
        return [
            {
                "name": name,
                **both.summary,
                "alone_interval_s": one.time.interval_s,
                "alone_latency_s": one.time.latency_s,
                "alone_energy_j_per_example": one.energy.per_example_j.value,
            }
            for name, one, both in zip(self.names, self.alone, self.together, strict=True)
        ]


def share_chip(
    jobs: Sequence[Job],
    *,
    inference: bool = False,
    watch: Watch = unwatched,
    placing: Watch = unwatched,
) -> SharedChip:
    """Report networks side by side on the chip that the first one's config describes.

    Each network fills places of its own, one network after the other. Its energy has a part of the
    leakage by its number of tiles.

    Args:
        jobs: The networks; one may be there several times.
        inference: Whether examples pass forward only.
        watch: Called now and then while the interconnect is timed.
        placing: Called now and then while the tiles of each are placed.

    Raises:
        ConfigError: If the chip cannot hold the networks, or if timing them takes more memory than
            there is.
    """
    chip = jobs[0].config.chip
    if chip.interval_s is not None:
        raise ConfigError(
            "chip.interval_s must be left out for several networks, whose intervals differ, "
            f"got {chip.interval_s:.6g}"
        )
    table = load_table(chip.table)
    for job in jobs:
        check_cells(table, job.program.tiles)
    with fitting(max(_phases(job, inference=inference)[1] for job in jobs)):
        topology = chip.interconnect(sum(len(job.program.crossbars) for job in jobs))
        placed = _placed(jobs, chip, topology, placing, inference=inference)
        flows = [time.pipeline.flow for time in placed]
        schedules = [time.schedule for time in placed]
        settled = steady_together(
            topology, chip.router.router, flows, schedules, [time.steady for time in placed],
            chip.model, watch,
        )  # fmt: skip
    prices = Prices(chip, table, topology)
    together = [replace(time, steady=each) for time, each in zip(placed, settled, strict=True)]
    return SharedChip(
        names=tuple(job.config.name for job in jobs),
        alone=_reports(placed, prices),
        together=_reports(together, prices),
    )


def _phases(job: Job, *, inference: bool) -> tuple[Schedule, int]:
    """Schedule and micro-batch of a network."""
    span = job.epoch(0)
    return (ForwardOnly(), 1) if inference else (span.schedule, span.micro_batch)


def _placed(
    jobs: Sequence[Job], chip: Chip, topology: Topology, placing: Watch, *, inference: bool
) -> list[ChipTime]:
    """Every network at its places, timed alone."""
    sizes = [len(job.program.crossbars) for job in jobs]
    order = filled(chip, sum(sizes)).tolist()
    times = []
    for job, first in zip(jobs, accumulate(sizes, initial=0), strict=False):
        schedule, micro_batch = _phases(job, inference=inference)
        sites = tuple(order[first : first + len(job.program.crossbars)])
        program, place = place_program(
            job.program, chip, schedule, micro_batch,
            topology=topology, sites=sites, seed=job.config.seed, watch=placing,
        )  # fmt: skip
        times.append(time_program(program, chip, schedule, micro_batch, place, topology))
    return times


def _reports(times: Sequence[ChipTime], prices: Prices) -> tuple[ChipReport, ...]:
    """Reports of networks, whose tiles are all as large as the largest of any."""
    tiles = [tile for time in times for tile in time.tiles]
    n_tiles = np.array([len(time.program.crossbars) for time in times])
    held = [held_bits(time.program, time.pipeline) for time in times]
    every, reports = joined_bits(held), []
    for time, share, own in zip(times, n_tiles / n_tiles.sum(), held, strict=True):
        check_memory(time.chip, own)
        area = ChipArea(
            chip=time.chip,
            topology=time.topology,
            tiles=tiles,
            prices=prices,
            held=every,
            networks=len(times),
        )
        energy = ChipEnergy(
            time=time, area=area, prices=prices, leakage_w=float(share) * area.leakage_w, held=own
        )
        reports.append(ChipReport(time=time, energy=energy, area=area))
    return tuple(reports)

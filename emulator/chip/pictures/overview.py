"""The overview of a chip: five panels, and in words what they come to."""

import textwrap
from pathlib import Path

from matplotlib.figure import Figure

from crossmesh.common.figures import save, styled
from crossmesh.common.prefixes import engineering
from crossmesh.emulator.chip.pictures.bars import draw_area, draw_bounds, draw_energy
from crossmesh.emulator.chip.pictures.floor import draw_floor
from crossmesh.emulator.chip.pictures.flow import draw_flow
from crossmesh.emulator.chip.report import ChipReport

_SIZE = (10.0, 7.4)
_CHARACTERS = 150  # of a line of words


def draw_chip(report: ChipReport, output: Path) -> None:
    """Draw the overview into a file.

    Raises:
        ConfigError: If it cannot be written.
    """
    with styled():
        save(overview(report), output)


def overview(report: ChipReport) -> Figure:
    """Floor plan, pipeline, bounds, energy, area, and words above them."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)  # type: ignore[union-attr,call-arg]  # the one just chosen
    above, below = figure.subfigures(2, 1, height_ratios=(1.25, 1), squeeze=False)[:, 0]
    floor, flow = above.subplots(1, 2, width_ratios=(1, 1.3))
    bounds, energy, area = below.subplots(1, 3)
    draw_floor(floor, report)
    draw_flow(flow, report.time)
    draw_bounds(bounds, report.time)
    draw_energy(energy, report.energy)
    draw_area(area, report.area.by_component_mm2)
    figure.suptitle("\n".join(words(report)), x=0.01, ha="left", fontsize=8)
    return figure


def words(report: ChipReport) -> list[str]:
    """Interval and what bounds it; energy, area and operations; the largest lever."""
    time, energy = report.time, report.energy.per_example_j
    interval, latency = engineering(time.interval_s, "s"), engineering(time.latency_s, "s")
    area = report.area.chip_mm2
    per_w = engineering(report.ops_per_j, "ops/s/W", 3)
    per_mm2 = engineering(report.ops_per_s_per_mm2, "ops/s/mm²", 3)
    low, high = engineering(energy.low, "J", 3), engineering(energy.high, "J", 3)
    lines = (
        f"{time.schedule.name}: an example every {interval}, a micro-batch takes {latency}; "
        f"bound by {time.bound_by}",
        f"{engineering(energy.value, 'J')} per example ({low} to {high}), {per_w}; "
        f"{area:.4g} mm², {per_mm2}",
        f"largest part of the energy: {report.lever}",
    )
    return [part for line in lines for part in textwrap.wrap(line, _CHARACTERS)]

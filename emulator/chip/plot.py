"""Pictures of a chip report: floor plan, pipeline, energy, and interval against link width."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

from crossmesh.common.figures import note, panels, save, styled
from crossmesh.emulator.chip.energy import ChipEnergy
from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.report import ChipReport, report_chip
from crossmesh.emulator.chip.tasks import purpose
from crossmesh.emulator.chip.timing import ChipTime

_WIDTHS = (16, 32, 64, 128, 256, 512)  # bits of a link
_HUES = {
    "forward": "#4477aa",
    "loss": "0.5",
    "backward": "#cc6677",
    "update": "#ddaa33",
    "transfer": "#228833",
}
_LOADS = ListedColormap(colormaps["YlOrRd"](np.linspace(0.3, 1, 256)))  # an idle link can be seen
_SHOWN = 6  # intervals of the pipeline chart
_MOST_NUMBERED = 144  # tiles whose numbers fit


def draw_chip(report: ChipReport, output: Path) -> None:
    """Draw the four pictures into one file."""
    with styled():
        figure, rows = panels(2, 2)
        figure.set_size_inches(7.6, 6.4)
        (floor, pipeline), (energy, width) = rows
        _floor_plan(floor, report.time)
        _pipeline(pipeline, report.time)
        _energy(energy, report.energy)
        _link_width(width, report.time)
        save(figure, output)


def _floor_plan(axes: Axes, time: ChipTime) -> None:
    """Tiles with their busy share, links with their load."""
    columns, rows = time.chip.grid(len(time.program.crossbars))
    plan = np.full((rows, columns), np.nan)
    for tile, node in enumerate(time.pipeline.place):
        plan[node // columns, node % columns] = time.tile_busy[tile]
        if len(time.pipeline.place) <= _MOST_NUMBERED:
            at = (node % columns, node // columns)
            number = str(time.program.crossbars[tile].tile)
            axes.annotate(number, at, ha="center", va="center", fontsize=6)
    image = axes.imshow(
        plan, cmap="Blues", vmin=0, vmax=1, extent=(-0.5, columns - 0.5, rows - 0.5, -0.5)
    )
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label="busy share of a tile")
    if len(time.link_load) and time.topology.n_routers == columns * rows:
        _links(axes, time, columns)
    axes.set_title("floor plan")
    axes.set_xlabel("bound by " + time.bound_by.replace("; ", ";\n"))
    axes.set_xticks([])
    axes.set_yticks([])


def _links(axes: Axes, time: ChipTime, columns: int) -> None:
    """Each direction of a link on its own side, the broader and redder the more it carries."""
    ends = time.topology.links
    start = np.stack([ends[:, 0] % columns, ends[:, 0] // columns], axis=1).astype(float)
    stop = np.stack([ends[:, 1] % columns, ends[:, 1] // columns], axis=1).astype(float)
    near = np.abs(stop - start).sum(axis=1) == 1  # those round a torus would cross the plan
    start, stop, load = start[near], stop[near], time.link_load[near]
    way = stop - start
    aside = 0.09 * np.stack([-way[:, 1], way[:, 0]], axis=1)
    lines = np.stack([start + 0.28 * way + aside, stop - 0.28 * way + aside], axis=1)
    collection = LineCollection(
        list(lines), array=load, cmap=_LOADS, clim=(0, 1), linewidths=0.8 + 3 * load
    )
    axes.add_collection(collection)
    axes.figure.colorbar(collection, ax=axes, shrink=0.8, label="load of a link, flits per cycle")


def _pipeline(axes: Axes, time: ChipTime) -> None:
    """Stage against time: what the arrays and digital units of each stage do."""
    steady, flow = time.steady, time.pipeline.flow
    timing, to_ns = steady.timing, 1e9 / time.chip.clock_hz
    first = int(timing.started[steady.settled].min())
    interval = float(steady.interval_cycles)
    span = _SHOWN * interval
    for k, task in enumerate(flow.tasks):
        part = list(TileResource)[task.resource % len(TileResource)]
        if part is TileResource.ADC or not task.cycles:
            continue
        stage = flow.stages[task.resource]
        hue = _HUES[purpose(task, time.pipeline.steps[k])]
        for m in range(len(timing.started)):
            start = timing.started[m, k] - first
            if -task.cycles < start < span:
                y, height = (
                    (stage - 0.4, 0.5) if part is TileResource.ARRAY else (stage + 0.12, 0.26)
                )
                box = Rectangle(
                    (start * to_ns, y), task.cycles * to_ns, height,
                    facecolor=hue, edgecolor="white", linewidth=0.3,
                )  # fmt: skip
                axes.add_patch(box)
    tasks = zip(flow.tasks, time.pipeline.steps, strict=True)
    shown = {purpose(task, step) for task, step in tasks if task.cycles}
    for name in (name for name in _HUES if name in shown):
        axes.plot([], [], color=_HUES[name], linewidth=5, label=name)
    axes.set_xlim(0, span * to_ns)
    axes.set_ylim(max(flow.stages) + 0.6, -0.6)
    axes.set_yticks(range(max(flow.stages) + 1))
    axes.set_xlabel("emulated time (ns)")
    axes.set_ylabel("stage: arrays above, digital units below")
    axes.set_title(f"{time.schedule.name}: an example every {time.interval_s * 1e9:,.4g} ns")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def _energy(axes: Axes, energy: ChipEnergy) -> None:
    parts = sorted(energy.by_component_j.items(), key=lambda item: item[1].value)
    names = [name.replace("_", " ") for name, _ in parts]
    values = np.array([band.value for _, band in parts])
    low = values - [band.low for _, band in parts]
    high = np.array([band.high for _, band in parts]) - values
    axes.barh(names, 1e9 * values, color="0.7", xerr=1e9 * np.stack([low, high]), ecolor="0.3")
    axes.set_xlabel("energy per example (nJ), with the table's band")
    total = energy.per_example_j
    note(axes, f"{1e9 * total.value:,.4g} nJ ({1e9 * total.low:,.3g} to {1e9 * total.high:,.3g})")


def _link_width(axes: Axes, time: ChipTime) -> None:
    """The interval by the quick model, so that the curve takes seconds for any chip."""
    found = []
    for bits in _WIDTHS:
        chip = time.chip.model_copy(
            update={"flit_bits": bits, "model": "packet", "interval_s": None}
        )
        other = report_chip(time.program, chip, time.schedule, time.micro_batch)
        found.append(1e9 * other.time.interval_s)
    axes.plot(_WIDTHS, found, color="black", marker="o", markersize=3, label="packet model")
    axes.plot(
        time.chip.flit_bits, 1e9 * time.interval_s, "o", color="#cc6677",
        label=f"this chip, {time.chip.model} model",
    )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(_WIDTHS, [str(bits) for bits in _WIDTHS])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("width of a link (bits)")
    axes.set_ylabel("interval per example (ns)")
    axes.legend()

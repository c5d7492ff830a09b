"""The command ``crossmesh chip``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crossmesh.emulator.chip.energy import Band
from crossmesh.emulator.chip.report import ChipReport, chip_of
from crossmesh.emulator.chip.trace import trace as make_trace
from crossmesh.emulator.cli.chip_timing import ChipTiming
from crossmesh.emulator.cli.options import Config, DataDirectory, Json, Set, given
from crossmesh.emulator.cli.printing import checked_picture, print_json, print_table, write_text
from crossmesh.emulator.compiler.ir_drop import wire_models, wires_notice
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config

MOST_KINDS = 8  # of digital work that a table shows
_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))


def chip_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    config: Config,
    data_dir: DataDirectory = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="NAME", help="Schedule to use instead of the config's.")
    ] = None,
    inference: Annotated[
        bool,
        typer.Option(
            "--inference", help="Time, energy and area of inference: forward passes only."
        ),
    ] = False,
    set_: Set = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write a timeline for Perfetto to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw floor plan, pipeline, energy and link width.")
    ] = None,
    json_: Json = False,
) -> None:
    """Time, energy and area of the chip that CONFIG describes, without training.

    Examples: [bold]crossmesh chip digits[/bold], or
    [bold]crossmesh chip mnist-2018 --set chip.flit_bits=32 --plot chip.png[/bold].
    """
    picture = checked_picture(plot) if plot else None
    options = {"data.directory": data_dir, "training.schedule": schedule}
    job = prepare(load_config(config, [*given(options), *(set_ or ())]))
    with ChipTiming(job.config.chip, Console(stderr=True)) as timing:
        report = chip_of(job, inference=inference, watch=timing.watch)
    if json_:
        print_json(report.summary)
    else:
        print_report(report)
    if trace:
        write_text(
            trace, json.dumps(make_trace(report.time), separators=(",", ":")) + "\n", "--trace"
        )
    if picture:
        from crossmesh.emulator.chip.plot import draw_chip  # Matplotlib takes a second to import

        draw_chip(report, picture)


def engineering(value: float, unit: str) -> str:
    """A quantity with a prefix of its size.

    >>> engineering(2.5e-7, "s"), engineering(0.0, "J")
    ('250 ns', '0 J')
    """
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}"


def print_report(report: ChipReport) -> None:
    """Time, energy and area in tables, and what wires take to compute."""
    print_table(("figure", "value"), _figures(report), wraps=False)
    if notice := wires_notice(report.time.program):
        typer.echo(notice)
    print_table(("bound on the interval", "cycles per micro-batch"), _bounds(report), wraps=False)
    print_table(("digital operations per example", "", "share"), _digital(report))
    total = report.energy.per_example_j
    rows = [(name, *_band(band, total)) for name, band in report.energy.by_component_j.items()]
    rows.sort(key=lambda row: -report.energy.by_component_j[row[0]].value)
    print_table(
        ("energy per example", "", "share", "band"), [*rows, ("total", *_band(total, total))]
    )


def _figures(report: ChipReport) -> Iterator[tuple[str, str]]:
    time = report.time
    n_tiles = len(time.program.crossbars)
    interval = engineering(time.interval_s, "s")
    exact = "" if time.steady.recurs else " (a mean: not exactly periodic)"
    ops = time.ops_per_example
    energy = report.energy.per_example_j.value
    yield "schedule", time.schedule.name
    yield (
        "tiles",
        f"{n_tiles} on a {time.topology.name} of {time.topology.n_nodes} places",
    )
    yield "interval per example", interval + exact
    yield "latency of a micro-batch", engineering(time.latency_s, "s")
    yield "examples per second", f"{1 / time.interval_s:,.0f}"
    yield "bound by", time.bound_by
    yield "mean busy share of a tile", f"{100 * time.tile_busy.mean():.1f} %"
    yield "largest load of a link", f"{time.link_load.max(initial=0.0):.3f} flits per cycle"
    yield "area", f"{report.area.chip_mm2:.4g} mm2"
    yield "operations per example", f"{ops:,}"
    yield "operations per s and W", f"{ops / energy / 1e9:,.0f} G"
    per_area = ops / time.interval_s / report.area.chip_mm2
    yield "operations per s and mm2", f"{per_area / 1e9:,.1f} G"
    yield "time model", time.chip.model
    if models := wire_models(time.program):
        yield "wires", models


def _bounds(report: ChipReport) -> Iterator[tuple[str, str]]:
    for name, cycles in report.time.bounds.items():
        yield name, f"{cycles:,.0f}"
    yield "interval as timed", f"{float(report.time.steady.interval_cycles):,.6g}"


def _digital(report: ChipReport) -> Iterator[tuple[str, str, str]]:
    """The most of what digital units compute, and the rest."""
    work = report.time.pipeline.digital
    total = sum(work.values())
    most = work.most_common(MOST_KINDS)
    rest = total - sum(count for _, count in most)
    for name, count in [*most, *([("others", rest)] if rest else [])]:
        yield name, f"{count:,.0f}", f"{100 * count / total:.1f} %"


def _band(band: Band, total: Band) -> tuple[str, str, str]:
    share = f"{100 * band.value / total.value:.1f} %"
    ends = f"{engineering(band.low, 'J')} to {engineering(band.high, 'J')}"
    return engineering(band.value, "J"), share, ends

"""The command ``crossmesh chip``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crossmesh.common.errors import ConfigError
from crossmesh.common.picture_files import check_picture
from crossmesh.common.prefixes import engineering
from crossmesh.emulator.chip.breakdown import ratio, rungs
from crossmesh.emulator.chip.energy import Band
from crossmesh.emulator.chip.report import ChipReport, chip_of
from crossmesh.emulator.chip.shared import SharedChip, share_chip
from crossmesh.emulator.chip.trace import trace as make_trace
from crossmesh.emulator.cli.chip_timing import ChipTiming
from crossmesh.emulator.cli.options import (
    DataDirectory,
    Json,
    Set,
    given,
    names_and_changes,
    no_study,
)
from crossmesh.emulator.cli.printing import print_json, print_table, write_text
from crossmesh.emulator.compiler.ir_drop import wire_models, wires_notice
from crossmesh.emulator.compiler.job import prepare_chip
from crossmesh.emulator.config.loading import load_config

MOST_KINDS = 8  # of digital work that a table shows


def chip_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    configs: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG... [A.B=C]...",
            help="A YAML file, or the name of a shipped config; several share the first's chip; "
            "fields to set, as --set does.",
        ),
    ],
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
        Path | None, typer.Option(help="Draw floor plan, pipeline, bounds, energy and area.")
    ] = None,
    json_: Json = False,
) -> None:
    """Time, energy and area of the chip that CONFIG describes, without training.

    Examples: [bold]crossmesh chip digits[/bold], or
    [bold]crossmesh chip mnist-2018 --set chip.flit_bits=32 --plot chip.png[/bold], or two networks
    on one chip: [bold]crossmesh chip mnist-four-stages digits[/bold].
    """
    if plot:
        check_picture(plot, "--plot")
    options = {"data.directory": data_dir, "training.schedule": schedule}
    names, fields = names_and_changes(configs)
    if not names:
        raise ConfigError(f"CONFIG must be given, got {' '.join(fields)} only")
    asked = [*given(options), *(set_ or ()), *fields]
    jobs = [prepare_chip(load_config(no_study(name), asked)) for name in names]
    if len(jobs) > 1:
        _alone("--trace", trace)
        _alone("--plot", plot)
        with ChipTiming(jobs[0].config.chip, Console(stderr=True)) as timing:
            shared = share_chip(
                jobs, inference=inference, watch=timing.watch, placing=timing.placing
            )
        if json_:
            print_json(shared.summary)
        else:
            print_shared(shared)
        return
    job = jobs[0]
    with ChipTiming(job.config.chip, Console(stderr=True)) as timing:
        report = chip_of(job, inference=inference, watch=timing.watch, placing=timing.placing)
    if json_:
        print_json(report.summary)
    else:
        print_report(report)
    if trace:
        write_text(
            trace, json.dumps(make_trace(report.time), separators=(",", ":")) + "\n", "--trace"
        )
    if plot:
        from crossmesh.emulator.chip.pictures.overview import (
            draw_chip,
        )  # Matplotlib takes a second to import

        draw_chip(report, plot)


def _alone(option: str, path: Path | None) -> None:
    """Refuse an option that shows one network."""
    if path is not None:
        raise ConfigError(f"{option} must be left out for several networks, got {path}")


def print_report(report: ChipReport) -> None:
    """Time, energy and area in tables, what wires take to compute, and what sources leave open."""
    print_table(("figure", "value"), _figures(report), wraps=False)
    if notice := wires_notice(report.time.program):
        typer.echo(notice)
    print_table(("bound on the interval", "cycles per micro-batch"), _bounds(report), wraps=False)
    print_table(("digital operations per example", "", "share"), _digital(report))
    print_table(("operations per joule", "", "of these alone", "share"), _rungs(report))
    typer.echo(f"largest part of the energy: {report.lever}")
    typer.echo(f"memories hold {_memory(report)}")
    total = report.energy.per_example_j
    rows = [(name, *_band(band, total)) for name, band in report.energy.by_component_j.items()]
    rows.sort(key=lambda row: -report.energy.by_component_j[row[0]].value)
    print_table(
        ("energy per example", "", "share", "band"), [*rows, ("total", *_band(total, total))]
    )
    print_table(("area", "", "share"), _areas(report))
    for name, remark in report.beyond.items():
        typer.echo(f"note: {name.replace('_', ' ')} beyond its source: {remark}")


def _percent(part: float, whole: float) -> str:
    return f"{100 * (ratio(part, whole) or 0):.1f} %"


def _areas(report: ChipReport) -> Iterator[tuple[str, str, str]]:
    parts = sorted(report.area.by_component_mm2.items(), key=lambda item: -item[1])
    whole = report.area.chip_mm2
    for name, area in [*parts, ("total", whole)]:
        yield name, f"{area:.4g} mm2", _percent(area, whole)


def print_shared(shared: SharedChip) -> None:
    """Each network on the shared chip, and what it would be with the others idle."""
    first = shared.together[0]
    tiles = [len(report.time.program.crossbars) for report in shared.together]
    place = f"{first.time.topology.name} of {first.time.topology.n_nodes} places"
    typer.echo(
        f"{len(tiles)} networks, {sum(tiles)} tiles on a {place}; {first.time.steady.choice.model}"
    )
    for name, n, alone, both in zip(
        shared.names, tiles, shared.alone, shared.together, strict=True
    ):
        exact = "" if both.time.steady.recurs else " (a mean: not exactly periodic)"
        figures = zip(_shared_figures(both), _shared_figures(alone), strict=True)
        labels = ("interval per example", "latency of a micro-batch", "energy per example")
        rows = [(label, *pair) for label, pair in zip(labels, figures, strict=True)]
        rows[0] = (rows[0][0], rows[0][1] + exact, rows[0][2])
        print_table((f"{name}: {n} tiles", "all run", "others idle"), rows)


def _shared_figures(report: ChipReport) -> tuple[str, ...]:
    time, energy = report.time, report.energy.per_example_j.value
    seconds = (engineering(each, "s") for each in (time.interval_s, time.latency_s))
    return (*seconds, engineering(energy, "J"))


def _figures(report: ChipReport) -> Iterator[tuple[str, str]]:
    time = report.time
    n_tiles = len(time.program.crossbars)
    interval = engineering(time.interval_s, "s")
    exact = "" if time.steady.recurs else " (a mean: not exactly periodic)"
    yield "schedule", time.schedule.name
    yield (
        "tiles",
        f"{n_tiles} on a {time.topology.name} of {time.topology.n_nodes} places",
    )
    yield "interval per example", interval + exact
    if time.waits:
        shortest = engineering(time.shortest_interval_s, "s")
        yield "shortest interval", f"{shortest}; chip.interval_s asks for a longer one"
    yield "latency of a micro-batch", engineering(time.latency_s, "s")
    yield "examples per second", f"{1 / time.interval_s:,.0f}"
    yield "bound by", time.bound_by
    yield "mean busy share of a tile", f"{100 * time.tile_busy.mean():.1f} %"
    yield "largest load of a link", f"{time.link_load.max(initial=0.0):.3f} flits per cycle"
    hops = int(time.steady.timing.link_flits.sum()) / time.micro_batch
    yield "flits times links per example", f"{hops:,.0f} (placement {time.chip.placement})"
    yield "area", f"{report.area.chip_mm2:.4g} mm2"
    yield "operations per example", f"{time.ops_per_example:,}"
    yield "operations per s and W", _giga(report.ops_per_j)
    yield "operations per s and mm2", _giga(report.ops_per_s_per_mm2, 1)
    yield "technology node", _nodes(report)
    choice = time.steady.choice
    yield "time model", f"{choice.model}: {choice.reason}"
    if models := wire_models(time.program):
        yield "wires", models


def _giga(value: float | None, decimals: int = 0) -> str:
    return "-" if value is None else f"{1e-9 * value:,.{decimals}f} G"


def _memory(report: ChipReport) -> str:
    """Bits of all memories, by what they hold."""
    purposes = {name: bits for name, bits in report.area.held.by_purpose.items() if bits}
    return ", ".join(f"{bits / 1e6:.3g} Mbit of {name}" for name, bits in purposes.items())


def _nodes(report: ChipReport) -> str:
    """The nodes that figures are of, and which components have another than the chip."""
    own = report.time.chip.node_nm
    others = {
        name: nodes
        for name, prices in report.energy.sources.items()
        if (nodes := {price.node_nm for price in prices if price.node_nm not in {own, None}})
    }
    mixed = ", ".join(
        f"{name} at {min(filter(None, nodes)):g} nm" for name, nodes in others.items()
    )
    return f"{own:g} nm" + (f"; {mixed}" if mixed else "")


def _rungs(report: ChipReport) -> Iterator[tuple[str, str, str, str]]:
    """From the arrays alone to the whole chip: operations per joule, and energy of each group."""
    for rung in rungs(report.energy):
        yield (
            f"with {rung.group}",
            _giga(rung.ops_per_j),
            engineering(rung.joules, "J"),
            f"{100 * rung.share:.1f} %",
        )


def _bounds(report: ChipReport) -> Iterator[tuple[str, str]]:
    for name, cycles in report.time.bounds.items():
        yield name, f"{cycles:,.0f}"
    yield "interval", f"{report.time.interval_cycles:,.6g}"


def _digital(report: ChipReport) -> Iterator[tuple[str, str, str]]:
    """The most of what digital units compute, and the rest."""
    work = report.time.pipeline.digital
    total = sum(work.values())
    most = work.most_common(MOST_KINDS)
    rest = total - sum(count for _, count in most)
    for name, count in [*most, *([("others", rest)] if rest else [])]:
        yield name, f"{count:,.0f}", _percent(count, total)


def _band(band: Band, total: Band) -> tuple[str, str, str]:
    share = _percent(band.value, total.value)
    ends = f"{engineering(band.low, 'J')} to {engineering(band.high, 'J')}"
    return engineering(band.value, "J"), share, ends

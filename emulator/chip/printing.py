"""What ``crossmesh chip`` prints."""

from collections.abc import Iterator

import typer

from emulator.chip.report import Band, ChipReport
from emulator.printing import print_table
from emulator.wires import wire_models, wires_notice

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))


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
    if notice := wires_notice(report.program):
        typer.echo(notice)
    print_table(("bound on the interval", "cycles per micro-batch"), _bounds(report), wraps=False)
    total = report.energy_j_per_example
    rows = [(name, *_band(band, total)) for name, band in report.energy_j.items()]
    rows.sort(key=lambda row: -report.energy_j[row[0]].value)
    print_table(
        ("energy per example", "", "share", "band"), [*rows, ("total", *_band(total, total))]
    )


def _figures(report: ChipReport) -> Iterator[tuple[str, str]]:
    n_tiles = len(report.program.crossbars)
    interval = engineering(report.interval_s, "s")
    exact = "" if report.steady.recurs else " (a mean: the pattern does not recur exactly)"
    ops = report.ops_per_example
    energy = report.energy_j_per_example.value
    yield "schedule", report.schedule.name
    yield "tiles", f"{n_tiles} on a {report.topology.name} of {report.topology.n_nodes} places"
    yield "interval per example", interval + exact
    yield "latency of a micro-batch", engineering(report.latency_s, "s")
    yield "examples per second", f"{1 / report.interval_s:,.0f}"
    yield "bound by", report.bound_by
    yield "mean busy share of a tile", f"{100 * report.tile_busy.mean():.1f} %"
    yield "largest load of a link", f"{report.link_load.max(initial=0.0):.3f} flits per cycle"
    yield "area", f"{report.area_mm2:.4g} mm2"
    yield "operations per example", f"{ops:,}"
    yield "operations per s and W", f"{ops / energy / 1e9:,.0f} G"
    per_area = ops / report.interval_s / report.area_mm2
    yield "operations per s and mm2", f"{per_area / 1e9:,.1f} G"
    yield "time model", report.chip.model
    if models := wire_models(report.program):
        yield "wires", models


def _bounds(report: ChipReport) -> Iterator[tuple[str, str]]:
    for name, cycles in report.bounds.items():
        yield name, f"{cycles:,.0f}"
    yield "interval as timed", f"{float(report.steady.interval_cycles):,.6g}"


def _band(band: Band, total: Band) -> tuple[str, str, str]:
    share = f"{100 * band.value / total.value:.1f} %"
    ends = f"{engineering(band.low, 'J')} to {engineering(band.high, 'J')}"
    return engineering(band.value, "J"), share, ends

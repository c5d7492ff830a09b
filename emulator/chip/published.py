"""Published machines from their own component tables: what we compute beside what they printed.

Run as a module it writes ``docs/validation/chips.md``. Nothing here is fitted: where a table does
not determine a figure, the row says what is missing.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.emulator.chip.report import ChipReport, chip_of
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.interconnect.schedule import Sequential, Synchronous

MACHINES = Path(__file__).parent / "machines"
NATURE = {"GOP/s/W": 28_065.0, "TOP/s/mm²": 3.6}
_PIPELAYER = ((3, 64, 640, 4490, 710), (8, 32, 320, 5450, 490), (16, 64, 640, 21130, 970))
_MOVED = {  # assumed parameters of nature-2018, each halved and doubled
    "integration time": ("chip.phases.integration_s", 40e-9, 160e-9),
    "slots of a pulse train": ("tile.update.length", 5, 20),
    "lines per ADC": ("chip.phases.lines_per_adc", 8, 32),
    "digital lanes": ("chip.phases.digital_lanes", 8, 32),
    "width of a link": ("chip.flit_bits", 64, 256),
    "word lines and bit lines": ("tile", {"rows": 256, "cols": 256}, {"rows": 1024, "cols": 1024}),
}


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """A published figure and ours.

    Attributes:
        machine: Which machine.
        figure: Which figure, with its unit.
        published: The published value.
        ours: From its components.
        derivation: How ours is computed.
        missing: Components that the published table lacks, if any.
    """

    machine: str
    figure: str
    published: float
    ours: float
    derivation: str
    missing: str = ""

    @property
    def difference(self) -> float:
        """Relative difference."""
        return self.ours / self.published - 1


def rows() -> Iterator[PublishedFigure]:
    """Every row of the table."""
    yield from _isaac(read_mapping(MACHINES / "isaac.yaml"))
    yield from _puma(read_mapping(MACHINES / "puma.yaml"))
    yield from _pipelayer()
    yield from _marinella()
    yield from _hermes()


def _total(parts: Mapping[str, Mapping[str, float]], what: str) -> float:
    return float(sum(part["count"] * part[what] for part in parts.values()))


def _isaac(machine: Mapping[str, Any]) -> Iterator[PublishedFigure]:
    tiles, imas = machine["tiles_per_chip"], machine["imas_per_tile"]

    def chip(what: str) -> float:
        tile = imas * _total(machine["per_ima"], what) + _total(machine["per_tile"], what)
        return float(tiles * tile + _total(machine["per_chip"], what))

    power_w, area_mm2 = 1e-3 * chip("power_mw"), 1e-6 * chip("area_um2")
    vector_s = machine["input_cycles"] * machine["cycle_s"]
    ops = 2 * machine["rows"] * machine["weights_per_row"] * imas * tiles / vector_s
    around = machine["stages_before_and_after"]
    name = "ISAAC"
    yield PublishedFigure(
        machine=name, figure="chip power, W", published=65.8, ours=power_w,
        derivation="168 x (12 IMAs + tile) + links",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="chip area, mm²", published=85.4, ours=area_mm2,
        derivation="the same sum of areas",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="peak density, GOP/s/mm²", published=479.0,
        ours=1e-9 * ops / area_mm2,
        derivation="2 x 128 x 128 per IMA in 16 cycles of 100 ns, 2,016 IMAs, over the area",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="efficiency, GOP/s/W", published=380.7, ours=1e-9 * ops / power_w,
        derivation="peak operations over the power of all components",
        missing="what 380.7 divides by: 41.3 TOP/s over it are 108 W, and the components have 65.8",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="pipeline, cycles", published=22.0,
        ours=float(machine["input_cycles"] + sum(around.values())),
        derivation="fetch 1, inputs 16, ADC and adder 1 behind each, activation 2, write 1",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="time per vector, us", published=1.6, ours=1e6 * vector_s,
        derivation="16 input bits x 100 ns",
    )  # fmt: skip


def _puma(machine: Mapping[str, Any]) -> Iterator[PublishedFigure]:
    time_s = (machine["input_bits"] + machine["stages_behind"]) * machine["array_s"]
    energy_nj = 1e6 * time_s * _total(machine["parts"], "power_mw")
    yield PublishedFigure(
        machine="PUMA matrix unit", figure="time, ns", published=2304.0, ours=1e9 * time_s,
        derivation="(16 input bits + 2 stages behind) x 128 ns per array",
    )  # fmt: skip
    yield PublishedFigure(
        machine="PUMA matrix unit", figure="energy, nJ", published=43.97, ours=energy_nj,
        derivation="all parts at their power, dynamic and leakage, for that time",
    )  # fmt: skip


def _pipelayer() -> Iterator[PublishedFigure]:
    for n_layers, batch, n, one_by_one, pipelined in _PIPELAYER:
        case = f"{n_layers} layers, batch {batch}, {n} examples"
        # One update for each batch, where our schedule counts one for each example.
        ours = Sequential().ticks(n_layers, n) - n + n // batch
        yield PublishedFigure(
            machine="PipeLayer", figure=f"cycles one by one, {case}", published=one_by_one,
            ours=ours, derivation="ticks of `sequential`, an update per batch",
        )  # fmt: skip
        yield PublishedFigure(
            machine="PipeLayer", figure=f"cycles pipelined, {case}", published=pipelined,
            ours=Synchronous(micro_batches_per_update=batch).ticks(n_layers, n),
            derivation="ticks of `synchronous`",
        )  # fmt: skip


def _marinella() -> Iterator[PublishedFigure]:
    name, tick_ns = "Marinella 2018, 1,024 x 1,024", 1.0
    drive, ramp = 2**7 * tick_ns, 2**8 * tick_ns
    for figure, published, ours, how in (
        ("forward, us", 0.384, drive + ramp, "7-bit magnitudes as time, 8-bit ramp, 1 ns ticks"),
        ("transposed, us", 0.384, drive + ramp, "the same on the other side"),
        ("update, us", 0.512, 4 * drive, "four combinations of signs x 7-bit times, 1 ns ticks"),
    ):
        yield PublishedFigure(
            machine=name, figure=figure, published=published, ours=1e-3 * ours, derivation=how,
            missing="the tick of 1 ns and the four steps are our reading",
        )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="forward, fJ per MAC", published=11.0, ours=1e6 * 12.8 / 1024**2,
        derivation="12.8 nJ over 1,024²; 11 is the mean of all three kernels",
        missing="the energies of the other two kernels and of the components",
    )  # fmt: skip


def _hermes() -> Iterator[PublishedFigure]:
    cores, ops, core_nj = 64, 2 * 256**2, 2 * 256**2 / 10.5e3
    read_ns = 128 * 1.0 + 5.0
    yield PublishedFigure(
        machine="HERMES", figure="TOPS, one phase", published=63.1,
        ours=1e-3 * cores * ops / read_ns,
        derivation="64 cores x 2 x 256² in 133 ns: 7-bit magnitudes at 1 ns and 5 ns of settling",
        missing="the 5 ns are what remains of the published throughput",
    )  # fmt: skip
    yield PublishedFigure(
        machine="HERMES", figure="TOPS/W, one phase", published=9.76, ours=1e-3 * ops / core_nj,
        derivation="12.5 nJ per product of a core (10.5 TOPS/W)",
        missing="what lies outside the cores: links and digital units, 7 % of the power",
    )  # fmt: skip


def nature(overrides: list[str] | None = None) -> ChipReport:
    """Our reading of the chip of Ambrogio et al. 2018."""
    return chip_of(prepare(load_config("nature-2018", overrides or [])))


def ratios(report: ChipReport) -> tuple[float, float]:
    """Operations per second and watt, and per second and mm², over those of the paper."""
    summary = report.summary
    per_w, per_mm2 = summary["ops_per_s_per_w"], summary["ops_per_s_per_mm2"]
    assert isinstance(per_w, float)
    assert isinstance(per_mm2, float)
    return 1e-9 * per_w / NATURE["GOP/s/W"], 1e-12 * per_mm2 / NATURE["TOP/s/mm²"]


def moved() -> Iterator[tuple[str, str, float, float]]:
    """What an assumed parameter does to both ratios: its name, its value, the ratios."""
    for name, (field, *values) in _MOVED.items():
        for value in values:
            text = str(value).replace("'", "")
            yield name, text, *ratios(nature([f"{field}={text}"]))


def markdown() -> str:
    """The page of the documentation."""
    lines = [
        "# Chips: published machines from their own components",
        "",
        "Regenerated by `python -m crossmesh.emulator.chip.published docs/validation/chips.md`.",
        "",
        "| machine | figure | published | ours | difference | derivation | what is missing |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    lines += [
        f"| {row.machine} | {row.figure} | {row.published:,.6g} | {row.ours:,.4g} "
        f"| {100 * row.difference:+.1f} % | {row.derivation} | {row.missing or '-'} |"
        for row in rows()
    ]
    report = nature()
    per_w, per_mm2 = ratios(report)
    band = report.energy.per_example_j
    lines += [
        "",
        "## nature-2018: the chip of the seed paper",
        "",
        "Our reading of Ambrogio et al. (Nature 558, 60, 2018) from the sources that can be had: "
        "its abstract and captions. Array size, node, voltages and converters are assumed, and "
        "nothing is tuned to hit; the paper's own figures were calculated too.",
        "",
        "| figure | paper | ours | ours / paper |",
        "|---|---:|---:|---:|",
        f"| GOP/s/W | 28,065 | {28_065 * per_w:,.0f} | {per_w:.3f} |",
        f"| TOP/s/mm² | 3.6 | {3.6 * per_mm2:.3g} | {per_mm2:.3f} |",
        "",
        f"Energy per example {1e9 * band.value:.3g} nJ, {1e9 * band.low:.3g} to "
        f"{1e9 * band.high:.3g} between the optimistic and the pessimistic table; an example "
        f"every {1e9 * report.time.interval_s:.4g} ns, bound by {report.time.bound_by}.",
        "",
        "What each assumed parameter does to both ratios:",
        "",
        "| parameter | value | GOP/s/W, ours / paper | TOP/s/mm², ours / paper |",
        "|---|---|---:|---:|",
        f"| as shipped | - | {per_w:.3f} | {per_mm2:.3f} |",
        *(f"| {name} | {value} | {w:.3f} | {mm2:.3f} |" for name, value, w, mm2 in moved()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown(), "utf-8")

"""Our reading of the chip of Ambrogio et al. 2018, and what each of its assumptions does."""

from collections.abc import Iterator
from typing import NamedTuple

from crossmesh.emulator.chip.report import ChipReport, chip_of
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.tiles.analog.costs import CAPACITOR, PHASE_CHANGE

GOPS_PER_W, TOPS_PER_MM2 = 28_065.0, 3.6


class Moved(NamedTuple):
    """An assumption at another value.

    Attributes:
        name: The assumption, in words.
        value: The other value, in words.
        overrides: What it sets in the config.
    """

    name: str
    value: str
    overrides: tuple[str, ...]


def _each(name: str, field: str, *values: str) -> Iterator[Moved]:
    for value in values:
        yield Moved(name, value, (f"{field}={value}",))


def moves() -> Iterator[Moved]:
    """Every assumption at its other values: numbers halved and doubled, kinds and nodes by name."""
    yield from _each("integration time, s", "chip.phases.integration_s", "40e-9", "160e-9")
    yield from _each("slots of a pulse train", "tile.update.length", "5", "20")
    yield from _each("lines per ADC", "chip.phases.lines_per_adc", "8", "32")
    yield from _each("digital lanes", "chip.phases.digital_lanes", "8", "32")
    yield from _each("width of a link, bits", "chip.flit_bits", "64", "256")
    for n in (256, 1024):
        yield Moved("word lines and bit lines", f"{n}", (f"tile.rows={n}", f"tile.cols={n}"))
    for kind in ("isaac", "neurosim_sar", "neurosim_flash"):
        yield Moved("model of the ADC", kind, (f"chip.adc={{kind: {kind}}}",))
    ramps = ("chip.adc={kind: ramp}", "chip.phases.lines_per_adc=1")
    yield Moved("model of the ADC", "ramp, a comparator per line", ramps)
    yield from _each("node, nm", "chip.node_nm", "90", "65", "14")
    for share in (0.5, 2.0):
        yield _cells("read voltage", share, "read_v")
    for share in (0.5, 2.0):
        yield _cells("area of the cells", share, "area_f2")
    for share in (0.5, 2.0):
        yield _cells("conductances", share, "off_siemens", "on_siemens")


def _cells(name: str, share: float, *fields: str) -> Moved:
    """Fields of both kinds of device, multiplied."""
    overrides = [
        f"tile.cell.{part}.electrical.{field}={share * getattr(device, field)}"
        for part, device in (("pcm", PHASE_CHANGE), ("capacitor", CAPACITOR))
        for field in fields
    ]
    return Moved(name, f"x {share:g}", tuple(overrides))


def nature(overrides: tuple[str, ...] = ()) -> ChipReport:
    """The chip of ``nature-2018``, with fields of its config set otherwise."""
    return chip_of(prepare(load_config("nature-2018", list(overrides))))


def ratios(report: ChipReport) -> tuple[float, float]:
    """Operations per second and watt, and per second and mm², over those of the paper."""
    summary = report.summary
    per_w, per_mm2 = summary["ops_per_s_per_w"], summary["ops_per_s_per_mm2"]
    assert isinstance(per_w, float)
    assert isinstance(per_mm2, float)
    return 1e-9 * per_w / GOPS_PER_W, 1e-12 * per_mm2 / TOPS_PER_MM2

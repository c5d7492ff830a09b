"""Published machines from their own tables: what we add up beside the totals that they print.

Nothing here is fitted: where a table does not determine a figure, the row says what is missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from crossmesh.emulator.chip.machines.machine import machines
from crossmesh.interconnect.schedule import Sequential, Synchronous

_PIPELAYER = ((3, 64, 640, 4490, 710), (8, 32, 320, 5450, 490), (16, 64, 640, 21130, 970))


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
    yield from _isaac()
    yield from _puma()
    yield from _pipelayer()
    yield from _marinella()
    yield from _hermes()


def _isaac() -> Iterator[PublishedFigure]:
    machine, name = machines()["isaac"], "ISAAC"
    power_w = 1e-3 * machine.published_total("power_mw")
    area_mm2 = machine.published_total("area_mm2")
    vector_s = 16 * machine.seconds
    ops = 2 * 128 * 128 * 12 * 168 / vector_s
    around = {"fetch": 1, "convert and add": 2, "activate": 2, "write": 1}
    yield PublishedFigure(
        machine=name, figure="chip power, W", published=65.8, ours=power_w,
        derivation="168 x (12 units + tile) + links",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="chip area, mm²", published=85.4, ours=area_mm2,
        derivation="the same sum of areas",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="peak density, GOP/s/mm²", published=479.0,
        ours=1e-9 * ops / area_mm2,
        derivation="2 x 128 x 128 per unit in 16 cycles of 100 ns, 2,016 units, over the area",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="efficiency, GOP/s/W", published=380.7, ours=1e-9 * ops / power_w,
        derivation="peak operations over the power of all components",
        missing="what 380.7 divides by: 41.3 TOP/s over it are 108 W, and the components have 65.8",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="pipeline, cycles", published=22.0, ours=16.0 + sum(around.values()),
        derivation="fetch 1, inputs 16, ADC and adder 1 behind each, activation 2, write 1",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="time per vector, us", published=1.6, ours=1e6 * vector_s,
        derivation="16 input bits x 100 ns",
    )  # fmt: skip


def _puma() -> Iterator[PublishedFigure]:
    machine, name = machines()["puma"], "PUMA"
    unit = ("crossbar", "ADC", "DAC", "sample and hold", "shift and add")
    units = 138 * 8 * 2
    power_mw = sum(
        machine.parts[part].count * machine.parts[part].published["power_mw"] for part in unit
    )
    time_s = (16 + 2) * 128e-9
    yield PublishedFigure(
        machine=name, figure="time of a matrix unit, ns", published=2304.0, ours=1e9 * time_s,
        derivation="(16 input bits + 2 stages behind) x 128 ns per array",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="energy of a matrix unit, nJ", published=43.97,
        ours=1e6 * time_s * power_mw / units,
        derivation="all parts at their power, dynamic and leakage, for that time",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="node power, W", published=62.5,
        ours=1e-3 * machine.published_total("power_mw"),
        derivation="138 x (8 cores of 2 matrix units + tile) + routers + links",
    )  # fmt: skip
    yield PublishedFigure(
        machine=name, figure="node area, mm²", published=90.6,
        ours=machine.published_total("area_mm2"), derivation="the same sum of areas",
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

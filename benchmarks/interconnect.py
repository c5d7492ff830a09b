"""The flit level: meshes under uniform traffic, and a chip of thousands of tiles."""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.figures import Figure, figure
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.interconnect.noc import Mesh, Packets, Router, simulate

BOOKSIM_CYCLES = 18_900.0  # per second, 64 nodes, load 0.1, 4 channels, 4 flits: measured
CYCLES = 20_000


def interconnect(rounds: int, *, quick: bool) -> Iterator[Figure]:
    """Cycles and flit-hops per second, and seconds until a large chip has settled."""
    for load, aims in ((0.1, (100_000.0, 2e6)), (0.3, (None, None)), (0.01, (None, None))):
        timed = _Uniform(8, load, CYCLES // (4 if quick else 1))
        cycles, hops = zip(*(timed.rates() for _ in range(rounds)), strict=True)
        case = f"64 nodes, load {load}"
        yield _rate(f"cycles, {case}", cycles, "cycles/s", aims[0])
        yield _rate(f"flits over links, {case}", hops, "flits/s", aims[1])
        if load == 0.1:
            times = [rate / BOOKSIM_CYCLES for rate in cycles]
            yield _rate(f"BookSim 2 / ours, time, load {load}", times, "ratio", None)
    yield from _many_routers(rounds, quick=quick)
    yield _large_chip(quick=quick)


def _many_routers(rounds: int, *, quick: bool) -> Iterator[Figure]:
    """Flits over links where a network is far larger than the caches, beside one that is not."""
    few, many = _Uniform(8, 0.1, CYCLES // 4), _Uniform(64, 0.05, 60 if quick else 500)
    rates = [(few.rates()[1], many.rates()[1]) for _ in range(rounds)]
    case = "4,096 nodes, load 0.05"
    yield _rate(f"flits over links, {case}", [much for _, much in rates], "flits/s", 3e6)
    shares = [much / little for little, much in rates]
    yield _rate(f"{case} / 64 nodes, load 0.1, flits over links", shares, "ratio", None)


class _Uniform:
    """Uniform traffic of packets of four flits on a square mesh, carried once beforehand."""

    def __init__(self, side: int, load: float, cycles: int) -> None:
        self._mesh, self._router = Mesh(width=side, height=side), Router(virtual_channels=4)
        self._packets = _packets(side * side, load, 4, cycles)
        self.rates()

    def rates(self) -> tuple[float, float]:
        """Cycles and flits over links, per second."""
        started = time.process_time()
        run = simulate(self._mesh, self._router, self._packets)
        seconds = time.process_time() - started
        return run.cycles / seconds, float(run.link_flits.sum()) / seconds


def _rate(name: str, values: Sequence[float], unit: str, aim: float | None) -> Figure:
    return figure("interconnect", name, list(values), unit, aim=aim, better="high")


def _packets(nodes: int, load: float, length: int, cycles: int) -> Packets:
    draw = np.random.default_rng(0)
    created, source = np.nonzero(draw.random((cycles, nodes)) < load / length)
    n = len(source)
    return Packets(created, source, draw.integers(0, nodes, n), np.full(n, length))


def _large_chip(*, quick: bool) -> Figure:
    """One run: it takes long enough."""
    few = ["training.batch=1", "training.examples=16", "tile={rows: 256, cols: 256}"]
    config = load_config("synthetic-wide", few) if quick else load_config("synthetic-4096-tiles")
    job = prepare(config)
    started = time.process_time()
    chip_of(job)
    seconds = time.process_time() - started
    name = f"{len(job.program.blocks):,} tiles until settled"
    return figure("interconnect", name, [seconds], "s", aim=None if quick else 30.0)

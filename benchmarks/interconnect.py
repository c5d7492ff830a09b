"""The flit level: a mesh under uniform traffic, and a chip of thousands of tiles."""

import time
from collections.abc import Iterator

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
    mesh, router = Mesh(width=8, height=8), Router(virtual_channels=4)
    for load, aims in ((0.1, (100_000.0, 2e6)), (0.3, (None, None)), (0.01, (None, None))):
        packets = _uniform(64, load, 4, CYCLES // (4 if quick else 1))
        simulate(mesh, router, packets)
        cycles, hops = [], []
        for _ in range(rounds):
            started = time.perf_counter()
            run = simulate(mesh, router, packets)
            seconds = time.perf_counter() - started
            cycles.append(run.cycles / seconds)
            hops.append(float(run.link_flits.sum()) / seconds)
        case = f"64 nodes, load {load}"
        yield _rate(f"cycles, {case}", cycles, "cycles/s", aims[0])
        yield _rate(f"flits over links, {case}", hops, "flits/s", aims[1])
        if load == 0.1:
            times = [rate / BOOKSIM_CYCLES for rate in cycles]
            yield _rate(f"BookSim 2 / ours, time, load {load}", times, "ratio", None)
    yield _large_chip(quick=quick)


def _rate(name: str, values: list[float], unit: str, aim: float | None) -> Figure:
    return figure("interconnect", name, values, unit, aim=aim, better="high")


def _uniform(nodes: int, load: float, length: int, cycles: int) -> Packets:
    draw = np.random.default_rng(0)
    created, source = np.nonzero(draw.random((cycles, nodes)) < load / length)
    n = len(source)
    return Packets(created, source, draw.integers(0, nodes, n), np.full(n, length))


def _large_chip(*, quick: bool) -> Figure:
    """One run: it takes long enough."""
    few = ["training.batch=1", "training.examples=16", "tile={rows: 256, cols: 256}"]
    config = load_config("synthetic-wide", few) if quick else load_config("synthetic-4096-tiles")
    job = prepare(config)
    started = time.perf_counter()
    chip_of(job)
    seconds = time.perf_counter() - started
    name = f"{len(job.program.blocks):,} tiles until settled"
    return figure("interconnect", name, [seconds], "s", aim=None if quick else 30.0)

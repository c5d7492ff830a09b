"""Large networks: memory per weight in all processes, start-up, and thousands of tiles."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, figure
from benchmarks.processes import watched
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.compiler.activations import activations_of
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.links import capacity, pairs
from crossmesh.emulator.executors.placement import Machine, place, tile_sizes
from crossmesh.tiles.analog.footprint import tile_bytes

SMALLER = (
    "data={source: synthetic, inputs: 512, classes: 10, examples: 16, test_examples: 16}",
    "network=[{kind: linear, outputs: 16, activation: tanh},"
    " {kind: linear, outputs: 10, activation: softmax}]",
)  # two actors, a tile each; fmt: skip
CELLS = {"constant_step": (), "pcm_3t1c": ("tile.cell={kind: pcm_3t1c}",)}
LAYERS = {1_024: (16, 4), 10_000: (50, 4)}  # tiles: of a layer in both directions, and layers

CHIPS: dict[str, tuple[float | None, tuple[str, ...]]] = {  # aim in seconds, and options
    "packet": (30.0, ("chip.model=packet",)),
    "flit": (None, ("chip.model=flit",)),
    "asynchronous": (60.0, ("training.schedule=asynchronous",)),
    "asynchronous, batch 64": (60.0, ("training.schedule=asynchronous", "training.batch=64")),
}


def large(*, quick: bool) -> Iterator[Figure]:
    """One run of each: they take long enough."""
    yield from _training(quick=quick)
    for n_tiles in list(LAYERS)[: 1 if quick else None]:
        yield from _many_tiles(n_tiles)


def _training(*, quick: bool) -> Iterator[Figure]:
    """A batch on 100 million weights, two actors; a few thousand weights if it should be quick."""
    for cell, overrides in CELLS.items():
        options = (*overrides, *(SMALLER if quick else ()))
        _trained("synthetic-100m", (*overrides, *SMALLER))  # fills the cache of kernels
        weights = sum(shape[0] * shape[1] for shape in _shapes(_job("synthetic-100m", options)))
        peak, start_s = _trained("synthetic-100m", options)
        aimed = cell == "constant_step" and not quick
        per_weight = figure(
            "large", f"{weights:,} weights of {cell}, all processes", [peak / weights],
            "bytes per weight", aim=18.0 if aimed else None,
        )  # fmt: skip
        yield per_weight
        name = f"{weights:,} weights of {cell}, start-up"
        yield figure("large", name, [start_s], "s", aim=90.0 if aimed else None)


def _many_tiles(n_tiles: int) -> Iterator[Figure]:
    """From a config to a program, to hosts on nodes, and to the chip's report."""
    side, depth = LAYERS[n_tiles]
    width = 128 * side
    functions = ["tanh"] * (depth - 1) + ["softmax"]
    layers = [
        f"{{kind: linear, outputs: {width}, bias: false, activation: {f}}}" for f in functions
    ]
    options = (
        f"data={{source: synthetic, inputs: {width}, classes: 10, examples: 1, test_examples: 1}}",
        f"network=[{', '.join(layers)}]", "chip.placement=traffic",
    )  # fmt: skip
    started = time.perf_counter()
    job = _job("synthetic-4096-tiles", options)
    machine = Machine(node="a", ip="127.0.0.1", cpus=64, memory_bytes=1 << 50)
    shapes = _shapes(job)
    sizes = {shape: tile_bytes(job.config.tile, shape) for shape in set(shapes)}
    place([sizes[shape] for shape in shapes], Engine(), [machine])
    yield figure(
        "large", f"{n_tiles:,} tiles mapped, compiled and placed",
        [time.perf_counter() - started], "s", aim=5.0,
    )  # fmt: skip
    yield figure(
        "large", f"{n_tiles:,} tiles placed on 1,000 nodes", [_placed_s(job)], "s", aim=5.0
    )
    for model in ("packet", "flit"):
        chip_of(_job("synthetic-100m", (*SMALLER, f"chip.model={model}")))  # compiles the kernels
    for case, (aim, chip) in CHIPS.items():
        timed = _job("synthetic-4096-tiles", (*options, "data.examples=64", *chip))
        started = time.perf_counter()
        used = chip_of(timed).time.steady.choice.model
        seconds = time.perf_counter() - started
        name = f"{n_tiles:,} tiles, chip, {case}"
        yield figure("large", name, [seconds], "s", aim=aim, remark=f"by {used}")


def _placed_s(job: Job) -> float:
    """Seconds to place tiles, an actor for each, with all that is asked before actors start."""
    nodes = [
        Machine(node=str(n), ip=f"10.0.{n >> 8}.{n & 255}", cpus=8, memory_bytes=64 << 30)
        for n in range(1000)
    ]
    started = time.perf_counter()
    placement = place(
        tile_sizes(job), Engine(tiles_per_actor=1), nodes,
        activations=partial(activations_of, job), units=job.program.units,
    )  # fmt: skip
    capacity(job, placement.host_of)
    pairs(job, placement.host_of)
    return time.perf_counter() - started


def _job(name: str, overrides: tuple[str, ...]) -> Job:
    return prepare(load_config(name, overrides))


def _shapes(job: Job) -> list[tuple[int, int]]:
    return [block.shape for block in job.program.blocks]


def _trained(name: str, overrides: tuple[str, ...]) -> tuple[int, float]:
    """Most bytes that all processes of a training held at once, and seconds until it started."""
    with tempfile.TemporaryDirectory(prefix="crossmesh-") as folder:
        run = Path(folder) / "run"
        options = [word for override in overrides for word in ("--set", override)]
        command = (sys.executable, "-m", "crossmesh", "train", name, "--run-dir", str(run),
                   "--quiet", *options)  # fmt: skip
        seen = watched(command)
        summary = json.loads((run / "summary.json").read_text("utf-8"))
    return seen.peak(), summary["emulation"]["start_s"]

"""The 2PCM+3T1C cell and phase-change pairs, against constant steps taken in turns."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count

import numpy as np

from benchmarks.figures import Figure, figure, ratios, take_turns
from benchmarks.kernels import EXAMPLES, RATE, SIZE, layer, tile_of
from benchmarks.training import rate_figure, turn_of
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.engines import create
from crossmesh.tiles.analog.cells import Cell, Pcm3T1C, Transfer
from crossmesh.tiles.analog.devices import ConstantStep

UPDATES = 4  # in a turn
NETWORKS = {  # config: examples per second that we aim for
    "mnist-constant-step": None,
    "mnist-2018": 3_000.0,
    "mnist-2018-pcm-only": 20 * 77.0,  # 77 is what aihwkit does on one core of such a machine
}


def cells(rounds: int, data: list[str], *, quick: bool) -> Iterator[Figure]:
    """Update, transfer, and training at batch 1."""
    yield from _updates(rounds)
    yield from _trainings(rounds, data, quick=quick)


def _updates(rounds: int) -> Iterator[Figure]:
    """64 examples on a tile of 512 x 512, and its transfer: an idle update with and without one."""
    x, d, w = layer()
    idle = np.zeros((1, SIZE), np.float32)
    first = count(0, EXAMPLES)

    def updates(cell: Cell) -> Callable[[], None]:
        tile = tile_of(cell, w)

        def turn() -> None:
            for _ in range(UPDATES):
                tile.update(x, d, RATE, next(first))

        return turn

    def idles(every: int) -> Callable[[], None]:
        tile, examples = tile_of(Pcm3T1C(transfer=Transfer(every=every)), w), count()
        return lambda: tile.update(idle, idle, RATE, next(examples))

    turns = {
        "constant_step": updates(ConstantStep()),
        "pcm_3t1c": updates(Pcm3T1C()),
        "with": idles(1),
        "without": idles(10**9),
    }
    seconds = take_turns(turns, rounds)
    costs = ratios(seconds, "pcm_3t1c", "constant_step")
    yield figure("cells", "update, pcm_3t1c / constant_step", costs, "ratio", aim=2.0)
    transfers = zip(seconds["with"], seconds["without"], strict=True)
    spent = [1e3 * (with_it - without) for with_it, without in transfers]
    yield figure("cells", "transfer of 512 x 512 cells", spent, "ms", aim=50.0)


def _trainings(rounds: int, data: list[str], *, quick: bool) -> Iterator[Figure]:
    """528-250-125-10 at batch 1, one tile per layer, in one process."""
    examples = 160 if quick else 2_560
    common = (*data, "tile.rows=600", "engine.kind=local", "training.batch=1",
              f"training.examples={examples}", "training.test_examples=1")  # fmt: skip
    jobs = {name: prepare(load_config(name, common)) for name in NETWORKS}
    executors = {name: create(job) for name, job in jobs.items()}
    turns = {name: turn_of(executors[name], job) for name, job in jobs.items()}
    with closing(executors["mnist-constant-step"]):
        seconds = take_turns(turns, rounds)
    for name, aim in NETWORKS.items():
        yield rate_figure(f"{name}, batch 1", seconds[name], jobs[name], "cells", aim)
        if aim:
            slower = ratios(seconds, name, "mnist-constant-step")
            yield figure("cells", f"{name} / constant step, time", slower, "ratio")

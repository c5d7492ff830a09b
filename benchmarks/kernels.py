"""The three cycles of one tile against a float32 matrix product of the same size."""

from collections.abc import Callable, Iterator
from itertools import count, cycle

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, figure, ratios, take_turns
from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells import Cell, Pair, Pcm3T1C
from crossmesh.tiles.analog.devices import ConstantStep, ExpStep, LinearStep, Pcm, SoftBounds
from crossmesh.tiles.analog.read import Converter, ReadConfig
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.analog.update import UpdateConfig

SIZE = 512  # word lines and bit lines
EXAMPLES = 64
RATE = 0.01
CALLS = {"product": 50, "forward": 20, "backward": 20}  # per turn, so that it takes some 20 ms
UPDATES = 4  # the same for the rest
AIMS = {"forward": 2.5, "constant_step": 13.0, "soft_bounds": 30.0, "exp_step": 60.0}
CELLS: dict[str, Cell] = {
    "constant_step": ConstantStep(),
    "linear_step": LinearStep(),
    "soft_bounds": SoftBounds(),
    "exp_step": ExpStep(),
    "pair of soft_bounds": Pair(device=SoftBounds()),
    "pair of pcm": Pair(device=Pcm()),
    "pcm_3t1c": Pcm3T1C(),
}
READ = ReadConfig(
    noise_management="abs_max",
    bound_management="iterative",
    dac=Converter(bits=7, range=1.0),
    adc=Converter(bits=9, range=12.0),
    output_noise=0.06,
)


def kernels(rounds: int) -> Iterator[Figure]:
    """Each cycle of a tile of 512 x 512 with 64 examples, over the product of the same arrays.

    Weights are spread as a layer of 512 inputs begins, so that few outputs saturate. Errors change
    their sign from call to call, so that weights stay there.
    """
    x, d, w = layer()
    tile = tile_of(ConstantStep(), w)
    first = count(0, EXAMPLES)  # every call draws noise of its own

    def update(cell: Cell) -> Callable[[], None]:
        pulsed, errors = tile_of(cell, w), cycle((d, -d))
        return lambda: pulsed.update(x, next(errors), RATE, next(first))

    cycles: dict[str, Callable[[], object]] = {
        "product": lambda: x @ w,
        "forward": lambda: tile.forward(x, next(first)),
        "backward": lambda: tile.backward(d, next(first)),
        **{name: update(cell) for name, cell in CELLS.items()},
        "normals": _normals,
    }
    turns = {name: _repeated(call, _calls(name)) for name, call in cycles.items()}
    seconds = {
        name: [s / _calls(name) for s in turn] for name, turn in take_turns(turns, rounds).items()
    }
    gigaflops = [2e-9 * EXAMPLES * SIZE * SIZE / s for s in seconds["product"]]
    yield figure("kernels", "float32 product, one BLAS thread", gigaflops, "GFLOP/s")
    for name in list(cycles)[1:]:
        values = ratios(seconds, name, "product")
        yield figure("kernels", _title(name), values, "ratio", aim=AIMS.get(name))


def layer() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Inputs and errors, ``(EXAMPLES, SIZE)`` each, and weights ``(SIZE, SIZE)``."""
    rng = np.random.default_rng(0)
    x = rng.random((EXAMPLES, SIZE), np.float32)
    d = rng.normal(0, 0.1, (EXAMPLES, SIZE)).astype(np.float32)
    return x, d, (rng.uniform(-1, 1, (SIZE, SIZE)) / np.sqrt(SIZE)).astype(np.float32)


def _title(name: str) -> str:
    titles = {
        "forward": "forward: noise, 7-bit DAC, 9-bit ADC",
        "backward": "backward: the same",
        "normals": "update: its normal numbers alone",
    }
    return titles.get(name, f"update, {name}") + " / product"


def _calls(name: str) -> int:
    return CALLS.get(name, UPDATES)


def _repeated(call: Callable[[], object], n: int) -> Callable[[], None]:
    def turn() -> None:
        for _ in range(n):
            call()

    return turn


def tile_of(cell: Cell, weights: NDArray[np.float32]) -> Tile:
    """A tile that holds ``weights`` as far as its cells do."""
    config = TileConfig(
        rows=SIZE,
        cols=SIZE,
        cell=cell,
        read=READ,
        update=UpdateConfig(length_management=False),  # all 31 slots
    )
    block = Block(tile=0, layer="", row=0, col=0, shape=(SIZE, SIZE))
    tile = Tile(config, block, 1.0, seed=0)
    tile.write(weights)
    return tile


def _normals() -> None:
    """As many normal numbers as an update needs where one device in four coincides."""
    Stream(seed=0, owner=0).normal(Purpose.CYCLE_NOISE, (SIZE * EXAMPLES // 4, SIZE))

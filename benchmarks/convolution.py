"""Convolutions of 3 x 3 pixels on one tile, against PyTorch on one thread, or NumPy without it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import count, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, Seconds, figure, ratios, take_turns
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.convolution import Patches, Sliding, Window, at_once
from crossmesh.tiles.analog.devices import ConstantStep
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig

Array = NDArray[np.float32]
EXAMPLES = 32
RATE = 1e-3
IDEAL = ReadConfig(dac=None, adc=None, output_noise=0.0)
NOISY = ReadConfig(input_noise=0.02, weight_noise=0.01)  # and the converters of all tiles
AIMS = {"ideal": 2.0, "noisy": 6.0}
TITLES = {
    "ideal": "forward, backward, exact update",
    "noisy": "forward, backward: converters, all noise",
    "pulsed": "update, constant_step",
}


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A convolution of images by 3 x 3 pixels, padded to keep their size, and its arrays.

    Attributes:
        channels: Of the input.
        outputs: Channels of the output.
        side: Pixels of the image in both directions.
    """

    channels: int
    outputs: int
    side: int

    def __str__(self) -> str:
        return f"{self.channels} to {self.outputs} channels at {self.side} x {self.side}"

    @property
    def window(self) -> Window:
        """How it moves."""
        return Window(
            height=self.side, width=self.side, channels=self.channels, kernel=(3, 3), padding=(1, 1)
        )

    @property
    def patches(self) -> Patches:
        """All of it, with the bias."""
        window = self.window
        return Patches(window=window, rows=(0, window.rows + 1), positions=(0, window.positions))

    @property
    def vectors(self) -> int:
        """Vectors of a micro-batch."""
        return EXAMPLES * self.window.positions

    def arrays(self) -> tuple[Array, Array, Array]:
        """Inputs behind a rectifier, errors, and weights as a layer begins."""
        rng, lines = np.random.default_rng(0), self.patches.lines
        x = np.maximum(rng.normal(0, 1, (self.vectors, self.channels)), 0).astype(np.float32)
        d = rng.normal(0, 0.1, (self.vectors, self.outputs)).astype(np.float32)
        w = rng.uniform(-1, 1, (lines, self.outputs)) / np.sqrt(lines)
        return x, d, w.astype(np.float32)


CASES = (
    Convolution(channels=64, outputs=64, side=16),
    Convolution(channels=16, outputs=16, side=32),
    Convolution(channels=128, outputs=128, side=8),
    Convolution(channels=3, outputs=64, side=32),
)


def convolution(rounds: int) -> Iterator[Figure]:
    """Every case with and without what is not ideal, all over the same reference."""
    torch = _torch()
    reference = "NumPy's im2col and products" if torch is None else "PyTorch"
    for case in CASES:
        to = _numpy(case) if torch is None else _pytorch(case, torch)
        seconds = _measured(case, to, rounds)
        flops = 3 * 2 * case.vectors * case.patches.lines * case.outputs
        gigaflops = [1e-9 * flops / s for s in seconds["products"]]
        yield figure("convolution", f"products of patches, {case}", gigaflops, "GFLOP/s")
        for name, title in TITLES.items():
            values = ratios(seconds, name, "reference")
            aim = None if torch is None else AIMS.get(name)
            yield figure("convolution", f"{title} / {reference}, {case}", values, "ratio", aim=aim)
        values = ratios(seconds, "ideal", "products")
        yield figure("convolution", f"{TITLES['ideal']} / products, {case}", values, "ratio")


def _measured(case: Convolution, reference: Callable[[], object], rounds: int) -> Seconds:
    x, d, w = case.arrays()
    ideal, noisy, pulsed = (
        _sliding(case, cell, read, w)
        for cell, read in ((Ideal(), IDEAL), (Ideal(), NOISY), (ConstantStep(), NOISY))
    )
    first = count(0, case.vectors)  # every call draws noise of its own

    def exact() -> None:
        ideal.forward(x, 0)
        ideal.backward(d, 0)
        ideal.update(x, d, 1e-9, 0)

    def reads() -> None:
        noisy.forward(x, number := next(first))
        noisy.backward(d, number)

    turns = {
        "reference": reference,
        "products": _products(case, d, w),
        "ideal": exact,
        "noisy": reads,
        "pulsed": lambda: pulsed.update(x, d, RATE, next(first)),
    }
    return take_turns(turns, rounds)


def _sliding(case: Convolution, cell: Cell, read: ReadConfig, weights: Array) -> Sliding:
    rows, cols = weights.shape
    config = TileConfig(rows=rows, cols=cols, cell=cell, read=read)
    tile = Tile(config, Block(tile=0, layer="", row=0, col=0, shape=weights.shape), 1.0, seed=0)
    tile.write(weights)
    return Sliding(tile, case.patches)


def _products(case: Convolution, d: Array, w: Array) -> Callable[[], None]:
    """The three products of every vector, on patches that lie ready in the cache."""
    n = at_once(len(w))
    patches = np.random.default_rng(1).random((n, len(w)), np.float32)

    def products() -> None:
        for start in range(0, len(d), n):
            part = d[start : start + n]
            _ = patches[: len(part)] @ w
            _ = part @ w.T
            _ = patches[: len(part)].T @ part

    return products


def _torch() -> Any:
    """PyTorch on one thread, or None: it is never needed."""
    with suppress(ImportError):
        torch = import_module("torch")
        torch.set_num_threads(1)
        return torch
    return None


def _pytorch(case: Convolution, torch: Any) -> Callable[[], object]:
    """Forward, and backward to inputs, weights and bias, in PyTorch's own layout of arrays."""
    x, d, w = case.arrays()
    images = (EXAMPLES, case.side, case.side)
    inputs = torch.tensor(x.reshape(*images, -1).transpose(0, 3, 1, 2).copy(), requires_grad=True)
    errors = torch.tensor(d.reshape(*images, -1).transpose(0, 3, 1, 2).copy())
    kernels = w[:-1].reshape(3, 3, case.channels, case.outputs).transpose(3, 2, 0, 1).copy()
    weights = torch.tensor(kernels, requires_grad=True)
    bias = torch.tensor(w[-1].copy(), requires_grad=True)

    def both_ways() -> object:
        y = torch.nn.functional.conv2d(inputs, weights, bias, padding=1)
        return torch.autograd.grad(y, (inputs, weights, bias), errors)

    return both_ways


def _numpy(case: Convolution) -> Callable[[], object]:
    """The same as whole arrays: patches, three products, and patches added up."""
    x, d, w = case.arrays()
    side, channels = case.side, case.channels
    images = x.reshape(EXAMPLES, side, side, channels)

    def both_ways() -> object:
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        patches = seen.transpose(0, 1, 2, 4, 5, 3).reshape(case.vectors, -1)
        y = patches @ w[:-1] + w[-1]
        sent = (d @ w[:-1].T).reshape(EXAMPLES, side, side, 3, 3, channels)
        total = np.zeros_like(padded)
        for i, j in product(range(3), range(3)):
            total[:, i : i + side, j : j + side] += sent[:, :, :, i, j]
        return y, total[:, 1:-1, 1:-1], patches.T @ d, d.sum(axis=0)

    return both_ways

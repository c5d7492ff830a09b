"""The tile: a crossbar with its periphery, and its three cycles in units of the network."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.array import State, state_digest
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells import Crossbar
from crossmesh.tiles.analog.read import Cells, Reader
from crossmesh.tiles.analog.retention import Aged, Aging, aged
from crossmesh.tiles.analog.tile_config import TileConfig, board_of, lines_of, site_of, wires_of
from crossmesh.tiles.analog.wear import Wear, wear_of

_PULSES, _REPEATS = "pulses", "repeats"  # in a checkpoint, beside the arrays of the crossbar


class Tile:
    """The state of one tile, and its forward, backward and update cycles.

    Args:
        config: Configuration of the tile.
        block: The part of a layer's matrix that it holds.
        scale: Weight of the network per unit of normalised conductance.
        seed: The run's seed.
        vectors: Vectors of an example that the layer's matrix is driven with; their time is a part
            of ``example_s`` each.

    Attributes:
        repeats: Forward reads of training that bound management has repeated, so often.
    """

    def __init__(
        self, config: TileConfig, block: Block, scale: float, seed: int, vectors: int = 1
    ) -> None:
        self.block = block
        self.scale = scale
        self._stream = Stream(seed=seed, owner=block.tile)
        site = site_of(config, block, scale=scale, seed=seed, vectors=vectors)
        self.crossbar: Crossbar = config.cell.crossbar(site._replace(board=board_of(config, block)))
        on_board = config.array is not None and config.array.reads == "products"
        self._multiplies: Any = getattr(self.crossbar, "product", None) if on_board else None
        self._forward = Reader(config.read, forward=True)
        self._backward = Reader(config.read, forward=False)
        self._training_keys = self._keys(Purpose.FORWARD_INPUT, Purpose.FORWARD_OUTPUT)
        self._backward_keys = self._keys(Purpose.BACKWARD_INPUT, Purpose.BACKWARD_OUTPUT)
        self._forward_keys = self._training_keys
        self._lines = lines_of(config, block)
        self._scale = np.float32(scale) if self._lines is None else scale * self._lines
        self._vectors = vectors
        self._wires = wires_of(config, block.shape)
        self._aged: Aged | None = None
        self.repeats = 0
        self._counted_before = 0 * self._counts()  # less what the crossbar had counted then

    def _keys(self, *purposes: Purpose, part: int = 0) -> NDArray[np.uint32]:
        return np.stack([self._stream.key(purpose, part) for purpose in purposes])

    def begin(self, evaluation: int | None, examples_per_update: float = 1) -> None:
        """Choose the noise of forward reads: that of training, or of a numbered evaluation.

        Args:
            evaluation: Number of the evaluation; None: training.
            examples_per_update: How many the tile reads between two updates; infinitely
                many, if it is never updated.
        """
        if self._wires is not None:
            vectors = 2 * examples_per_update * self._vectors / self.block.copies
            self._wires.expect(vectors if evaluation is None else math.inf)
        self._forward_keys = (
            self._training_keys
            if evaluation is None
            else self._keys(Purpose.EVALUATE_INPUT, Purpose.EVALUATE_OUTPUT, part=evaluation)
        )

    def forward(self, x: NDArray[np.float32], first_example: int) -> NDArray[np.float32]:
        """Forward cycle: a matrix product by the word lines.

        Args:
            x: ``(examples, rows)`` inputs in units of the network.
            first_example: Number of the first example, which keys the noise.

        Returns:
            ``(examples, cols)`` partial sums in units of the network.
        """
        before = self._forward.repeats
        y = self._forward.product(x, self._cells(), first_example, self._forward_keys)
        if self._forward_keys is self._training_keys:
            self.repeats += self._forward.repeats - before
        if self.scale != 1.0 or self._lines is not None:
            y *= self._scale
        return y

    def backward(self, d: NDArray[np.float32], first_example: int) -> NDArray[np.float32]:
        """Backward cycle: a product with the transposed matrix by the bit lines.

        Args:
            d: ``(examples, cols)`` errors, minus the gradient of the loss.
            first_example: Number of the first example, which keys the noise.

        Returns:
            ``(examples, rows)`` partial sums of the errors at the inputs.
        """
        seen = self._cells(backward=True)
        variance = None if seen.variance is None else seen.variance.T
        cells = seen._replace(weights=seen.weights.T, variance=variance)
        z = self._backward.product(self._apart(d), cells, first_example, self._backward_keys)
        return self._sent_back(z)

    def update(
        self, x: NDArray[np.float32], d: NDArray[np.float32], rate: float, first_example: int
    ) -> None:
        """Update cycle: add ``rate * x.T @ d`` to the weights by pulses, example by example.

        Args:
            x: ``(examples, rows)`` inputs of the forward cycle.
            d: ``(examples, cols)`` errors of the backward cycle.
            rate: Learning rate, in units of the network's weights.
            first_example: Number of the first example, which keys the noise.
        """
        self.crossbar.update(
            x, d if self._lines is None else d / self._lines, rate / self.scale, first_example
        )
        self._changed()

    def write(self, weights: NDArray[np.float32]) -> None:
        """Set the network's weights ``(rows, cols)``, clipped to what the devices can hold."""
        self.crossbar.write(weights / self._scale)
        self.repeats = 0
        self._reset_counts(0 * self._counts())

    def state(self) -> State:
        """Arrays of a checkpoint: the state of the devices, and what has been counted so far."""
        counts = self._counted_before + self._counts()
        return {**self.crossbar.state(), _PULSES: counts, _REPEATS: np.array([self.repeats])}

    def load(self, state: State) -> None:
        """Restore what ``state`` returned; arrays are copied."""
        counted = {_PULSES, _REPEATS}
        self.crossbar.load({name: array for name, array in state.items() if name not in counted})
        self.repeats = int(state[_REPEATS][0])
        self._reset_counts(state[_PULSES])

    def _counts(self) -> NDArray[np.int64]:
        """What the crossbar has counted: all pulses, then the wear of each of several arrays."""
        several: Mapping[str, Wear] = getattr(self.crossbar, "wear", {})
        each = (n for wear in several.values() for n in wear)
        return np.array([self.crossbar.pulses, *each], np.int64)

    def _reset_counts(self, counts: NDArray[Any]) -> None:
        self._changed()
        self._counted_before = counts - self._counts()

    @property
    def pulses(self) -> int:
        """Pulses sent to all lines since the weights were written."""
        return int(self._counted_before[0]) + self.crossbar.pulses

    @property
    def wear(self) -> Mapping[str, Wear]:
        """How often each array has been used since the weights were written, by name."""
        total, *counts = (self._counted_before + self._counts()).tolist()
        each = map(Wear, counts[::2] or (total,), counts[1::2] or (0,))
        return dict(zip(wear_of(self.crossbar), each, strict=True))

    def age(self, aging: Aging | None) -> None:
        """Read the weights from programmed memories that have aged; None: from the crossbar.

        The state of the devices is left as it is.
        """
        self._aged = aged(self.crossbar.weights, self._stream, aging) if aging else None
        self._changed()

    def _changed(self) -> None:
        if self._wires is not None:
            self._wires.forget()

    @property
    def _held(self) -> Crossbar | Aged:
        """What reads see: the devices, or programmed memories that have aged."""
        return self._aged or self.crossbar

    def _cells(self, *, backward: bool = False) -> Cells:
        """Normalised weights as the lines see them, and their variance from read to read."""
        read = self._held
        if self._multiplies and read is self.crossbar:
            product = partial(self._multiplies, backward=backward)
            return Cells(read.weights, read.variance, measured=product)
        if self._wires is None:
            return Cells(read.weights, read.variance)
        seen = self._wires.behind(read.weights, read.arrays, backward=backward)
        return seen._replace(variance=read.variance)

    @property
    def weights(self) -> NDArray[np.float32]:
        """The network's weights ``(rows, cols)`` as the devices hold them."""
        return self.crossbar.weights * self._scale

    def digest(self) -> bytes:
        """sha256 of the device state: names, shapes and bits."""
        return state_digest(self.crossbar.state())

    def _apart(self, d: NDArray[np.float32]) -> NDArray[np.float32]:
        """Errors ``(examples, cols)`` as they drive bit lines of their own scales."""
        return d if self._lines is None else d * self._lines

    def _sent_back(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sums ``(examples, rows)`` of such errors in units of the network, changed in place."""
        if self.scale != 1.0:
            z *= np.float32(self.scale)
        return z

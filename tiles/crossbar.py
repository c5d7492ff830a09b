"""Crossbars: the devices of one tile, how they are read as weights, pulsed, saved and loaded."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tiles.cells import Cell, Pair
from tiles.devices import Ideal, Pulsed
from tiles.devices.law import LOWER, UPPER
from tiles.parameters import Parameters
from tiles.random import CHUNK, Purpose, Stream
from tiles.update import UpdateConfig, apply_trains, make_trains

_SIGN = np.uint32(0x80000000)


class Crossbar(Protocol):
    """An array of unit cells. Weights are in units of normalised conductance.

    Attributes:
        weights: ``(rows, cols)`` float32, what a read sees; not to be written from outside.
        pulses: Pulses sent so far on all word lines and bit lines.
    """

    weights: NDArray[np.float32]
    pulses: int

    def write(self, weights: NDArray[np.float32]) -> None:
        """Set every cell to ``weights`` as far as its devices reach."""
        ...

    def update(
        self, x: NDArray[np.float32], d: NDArray[np.float32], rate: float, first_example: int
    ) -> None:
        """Add ``rate * x.T @ d``, example after example, by pulses.

        Args:
            x: ``(examples, rows)`` word-line values.
            d: ``(examples, cols)`` bit-line values.
            rate: Learning rate per unit of normalised conductance.
            first_example: Number of the first example, which keys the noise.
        """
        ...

    def state(self) -> dict[str, NDArray[np.float32]]:
        """What changes while training, by name; the rest follows from config and seed."""
        ...

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over a saved state."""
        ...


class IdealCrossbar:
    """Numbers instead of devices, for reference."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.weights = np.zeros(shape, np.float32)
        self.pulses = 0

    def write(self, weights: NDArray[np.float32]) -> None:
        """Set the weights."""
        self.weights[:] = weights

    def update(
        self, x: NDArray[np.float32], d: NDArray[np.float32], rate: float, first_example: int
    ) -> None:
        """Add the outer products exactly."""
        self.weights += np.float32(rate) * (x.T @ d)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """The weights."""
        return {"weights": self.weights}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over saved weights."""
        self.write(state["weights"])


class PulsedCrossbar:
    """Devices, one or two per cell, moved by coincident pulses.

    Args:
        device: What the devices are.
        n_devices: 1 for a cell of one device, 2 for a differential pair.
        shape: Rows and columns.
        stream: Random numbers of the tile.
        update: How outer products become pulses.
    """

    def __init__(
        self,
        device: Pulsed,
        n_devices: int,
        shape: tuple[int, int],
        stream: Stream,
        update: UpdateConfig,
    ) -> None:
        self._law = device.law()
        self._granularity = device.granularity * n_devices
        self._parameters = [
            Parameters.packed(device.sample(shape, stream, part)) for part in range(n_devices)
        ]
        self._conductances = [np.zeros(shape, np.float32) for _ in range(n_devices)]
        self._noise_keys = [stream.key(Purpose.CYCLE_NOISE, part) for part in range(n_devices)]
        self._train_keys = np.stack(
            [stream.key(Purpose.ROW_TRAIN), stream.key(Purpose.COLUMN_TRAIN)]
        )
        self._update = (
            update.trains == "stochastic",
            update.length,
            update.update_management,
            update.length_management,
        )
        self._row_trains = np.zeros((0, shape[0]), np.uint32)
        self._column_trains = np.zeros((0, -(-shape[1] // CHUNK) * CHUNK), np.uint32)
        self.weights = self._conductances[0] if n_devices == 1 else np.zeros(shape, np.float32)
        self.pulses = 0

    def write(self, weights: NDArray[np.float32]) -> None:
        """Set every device within its bounds; a pair shares the weight evenly."""
        share = weights / len(self._conductances)
        for sign, g, parameters in zip((1, -1), self._conductances, self._parameters, strict=False):
            np.clip(sign * share, parameters.values(LOWER), parameters.values(UPPER), out=g)
        self._read_pair()

    def update(
        self, x: NDArray[np.float32], d: NDArray[np.float32], rate: float, first_example: int
    ) -> None:
        """Draw pulse trains and apply their coincidences."""
        n = x.shape[0]
        if self._row_trains.shape[0] < n:
            self._row_trains = np.zeros((n, self._row_trains.shape[1]), np.uint32)
            self._column_trains = np.zeros((n, self._column_trains.shape[1]), np.uint32)
        rows, columns = self._row_trains[:n], self._column_trains[:n]
        self.pulses += make_trains(
            x, d, rate, self._granularity, self._update, first_example, self._train_keys,
            rows, columns,
        )  # fmt: skip
        for part, g in enumerate(self._conductances):
            if part == 1:
                rows = np.where(rows, rows ^ _SIGN, 0)
            apply_trains(
                g, self._parameters[part], self._law, rows, columns, first_example,
                self._noise_keys[part],
            )  # fmt: skip
        self._read_pair()

    def state(self) -> dict[str, NDArray[np.float32]]:
        """The conductances of each device of the cell."""
        return {f"conductance_{part}": g for part, g in enumerate(self._conductances)}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over saved conductances."""
        for part, g in enumerate(self._conductances):
            g[:] = state[f"conductance_{part}"]
        self._read_pair()

    def _read_pair(self) -> None:
        if len(self._conductances) == 2:
            plus, minus = self._conductances
            np.subtract(plus, minus, out=self.weights)


def build(cell: Cell, shape: tuple[int, int], stream: Stream, update: UpdateConfig) -> Crossbar:
    """A crossbar of ``shape`` whose unit cells are ``cell``."""
    if isinstance(cell, Ideal):
        return IdealCrossbar(shape)
    if isinstance(cell, Pair):
        return PulsedCrossbar(cell.device, 2, shape, stream, update)
    return PulsedCrossbar(cell, 1, shape, stream, update)


def reach(cell: Cell) -> float:
    """Largest weight that a typical cell holds in both directions, in normalised units."""
    if isinstance(cell, Ideal):
        return 1.0
    if isinstance(cell, Pair):
        return 2 * reach(cell.device)
    return min(cell.upper, -cell.lower) or (cell.upper - cell.lower)

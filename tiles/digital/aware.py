"""A tile whose weights are trained digitally, behind its periphery and the noise of its memory."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.algorithms.hardware_aware import HardwareAware, InputRange
from crossmesh.tiles.analog.array import State
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells import Crossbar
from crossmesh.tiles.analog.cells.ideal import IdealCrossbar
from crossmesh.tiles.analog.retention import Aged
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.learner import Learner
from crossmesh.tiles.digital.matrix import DigitalMatrix
from crossmesh.tiles.digital.rule import Rule

_RANGE, _UPDATES, _PREFIX = "input_range", "input_range_updates", "input_range_"
_LEAST = np.float32(1e-6)  # that a range can fall to


class AwareTile(DigitalMatrix):
    """A tile in hardware-aware training, see ``HardwareAware``.

    Args:
        config: Configuration of the tile.
        block: The part of a layer's matrix that it holds.
        scale: Weight of the network per unit of normalised conductance.
        seed: The run's seed.
        rule: What it learns by.
        vectors: Vectors of an example that the layer's matrix is driven with.
    """

    def __init__(
        self,
        config: TileConfig,
        block: Block,
        scale: float,
        seed: int,
        rule: Rule,
        vectors: int = 1,
    ) -> None:
        assert rule.aware is not None
        self._aware: HardwareAware = rule.aware
        if rule.aware.input_range is not None:
            read = config.read.model_copy(update={"noise_management": "none", "input_range": None})
            config = config.model_copy(update={"read": read})
        super().__init__(config, block, scale, seed, rule, vectors)
        self._is_training = True
        self._update, self._noisy_of = 0, -1
        self._noisy = IdealCrossbar(block.shape)
        self._clipped: dict[int, NDArray[np.bool_]] = {}  # inputs under way, by number of the first
        settings = rule.aware.input_range
        self._range = None if settings is None else LearnedRange(settings, rule, vectors)

    def begin(self, evaluation: int | None, examples_per_update: float = 1) -> None:
        """As of a tile; tests have no noise of weights."""
        super().begin(evaluation, examples_per_update)
        self._is_training = evaluation is None
        self._changed()

    def see(self, update: int) -> None:
        """Have the noise of an update from now on.

        Args:
            update: Number of its first example.
        """
        self._update = update

    @property
    def _held(self) -> Crossbar | Aged:
        if self._aged is not None or not self._is_training or not self._aware.weight_noise:
            return super()._held
        if self._noisy_of != self._update:
            self._changed()
            weights = self._aware.perturbed(self.crossbar.weights, self._stream, self._update)
            self._noisy.weights[:] = weights
            self._noisy_of = self._update
        return self._noisy

    def _changed(self) -> None:
        super()._changed()
        self._noisy_of = -1

    def forward(self, x: NDArray[np.float32], first_example: int) -> NDArray[np.float32]:
        """Forward cycle, of inputs within the range."""
        if self._range is None:
            return super().forward(x, first_example)
        limit = self._range.limit
        clipped = np.abs(x) > limit
        if self._is_training and clipped.any():
            self._clipped[first_example] = clipped
        return limit * super().forward(np.clip(x, -limit, limit) / limit, first_example)

    def backward(self, d: NDArray[np.float32], first_example: int) -> NDArray[np.float32]:
        """Product with the weights that the forward cycle saw, without a periphery.

        Inputs that the range had clipped have no error.
        """
        z = self._errors(d)
        clipped = self._clipped.get(first_example)
        if clipped is not None:
            z[clipped] = 0
        return z

    def _errors(self, d: Array) -> Array:
        return self._sent_back(self._apart(d) @ self._held.weights.T)

    def update(
        self, x: NDArray[np.float32], d: NDArray[np.float32], rate: float, first_example: int
    ) -> None:
        """Add the outer products to the error of the batch."""
        if self._range is not None:
            limit = self._range.limit
            self._range.add(x, self._errors(d) if self._range.learns else None)
            x = np.clip(x, -limit, limit)
            done = [number for number in self._clipped if number < first_example + len(x)]
            for number in done:  # all vectors up to these have been back
                del self._clipped[number]
        super().update(x, d, rate, first_example)

    def step(self, rate: float) -> None:
        """Make a step of the errors of a batch, and clip the weights."""
        weights = self.weights
        self.learner.step(weights, rate)
        if self._aware.clip is not None:
            self._aware.clip.limit(weights)
        self.crossbar.write(weights / self._scale)
        self._changed()
        if self._range is not None:
            self._range.step(rate)

    @property
    def _kept(self) -> State:
        return super()._kept | ({} if self._range is None else self._range.state())

    def load(self, state: State) -> None:
        """Restore what ``state`` returned."""
        super().load(state)
        if self._range is not None:
            self._range.load(state)


class LearnedRange:
    """The input range of a tile; see ``InputRange``.

    Args:
        settings: What it follows.
        rule: What the weights learn by, whose optimiser it has as well.
        vectors: Vectors of an example.
    """

    def __init__(self, settings: InputRange, rule: Rule, vectors: int) -> None:
        own = Rule(optimizer=rule.optimizer, factor=rule.factor, learned_rows=1, decayed_rows=0)
        self._settings = settings
        self._vectors = vectors
        self._learner = Learner(own, (1, 1))
        self._range = np.full((1, 1), settings.init_value, np.float32)
        self._updates = np.zeros(1, np.int64)
        self._forget()

    def _forget(self) -> None:
        self._error = 0.0
        self._n, self._clipped, self._examples = 0, 0, 0.0
        self._sum, self._squares = 0.0, 0.0

    @property
    def limit(self) -> np.float32:
        """The range."""
        return np.float32(self._range[0, 0])

    @property
    def learns(self) -> bool:
        """Whether errors of the inputs are wanted: not while it follows from the inputs."""
        return self._settings.learned and self._updates[0] >= self._settings.init_from_data

    def add(self, x: Array, z: Array | None) -> None:
        """Look at inputs of a batch and, if it learns, at their errors."""
        high, low = x >= self.limit, x <= -self.limit
        self._n += x.size
        self._examples += len(x) / self._vectors
        self._clipped += int(high.sum()) + int(low.sum())
        self._sum += float(x.sum(dtype=np.float64))
        self._squares += float(np.square(x, dtype=np.float64).sum())
        if z is not None:
            up = np.maximum(z[high], 0).sum(dtype=np.float64)
            self._error += float(up - np.minimum(z[low], 0).sum(dtype=np.float64))

    def step(self, rate: float) -> None:
        """End a batch."""
        settings, n = self._settings, max(self._n, 1)
        if self._updates[0] < settings.init_from_data:
            mean = self._sum / n
            deviation = max(self._squares / n - mean * mean, 0.0) ** 0.5
            weight = 1 / (int(self._updates[0]) + 1)
            wanted = settings.init_std_alpha * deviation
            self._range += np.float32(weight) * (np.float32(wanted) - self._range)
        elif settings.learned:
            is_wide = 1 - self._clipped / n > settings.input_min_percentage
            error = self._error - settings.decay * self._examples * is_wide
            self._learner.add(np.float32(error) * self._range)
            self._learner.step(self._range, rate)
        np.maximum(self._range, _LEAST, out=self._range)
        self._updates += 1
        self._forget()

    def state(self) -> State:
        """Arrays of a checkpoint."""
        moments = {f"{_PREFIX}{name}": array for name, array in self._learner.state().items()}
        return {_RANGE: self._range, _UPDATES: self._updates, **moments}

    def load(self, state: State) -> None:
        """Take over what ``state`` gave."""
        self._range[:] = state[_RANGE]
        self._updates[:] = state[_UPDATES]
        self._learner.load({name.removeprefix(_PREFIX): array for name, array in state.items()
                            if name.startswith(_PREFIX)})  # fmt: skip
        self._forget()

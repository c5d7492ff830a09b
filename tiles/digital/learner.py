"""The state of an optimiser beside the parameters of one digital memory."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import FLOAT_BYTES, State
from crossmesh.tiles.digital.base import Array
from crossmesh.tiles.digital.rule import Rule

_STEPS = "optimizer_steps"  # in a checkpoint


class Learner:
    """Adds up the errors of a batch, and makes a step of the optimiser of them.

    Args:
        rule: What the parameters learn by.
        shape: Of the parameters.
    """

    def __init__(self, rule: Rule, shape: tuple[int, int]) -> None:
        self._rule = rule
        self._learned = slice(min(rule.learned_rows, shape[0]))
        self._error = np.zeros(shape, np.float32)[self._learned]
        self._moments = {name: np.zeros(shape, np.float32) for name in rule.optimizer.moments}
        self._steps = np.zeros(1, np.int64)

    def add(self, error: NDArray[np.floating]) -> None:
        """Add the error of some examples, of the rows that learn: minus the gradient."""
        self._error += error

    def step(self, parameters: Array, rate: float) -> None:
        """Change parameters by what was added since the last step.

        Args:
            parameters: All, changed in place.
            rate: Learning rate of the tiles.
        """
        rule, optimizer = self._rule, self._rule.optimizer
        rate *= rule.factor
        gradient = np.negative(self._error)
        self._error[:] = 0
        if rule.clip is not None:
            rule.clip.limit(gradient)
        decayed, decay = slice(rule.decayed_rows), optimizer.weight_decay
        if optimizer.decouples:
            parameters[decayed] *= np.float32(1 - rate * decay)
        elif decay:
            gradient[decayed] += np.float32(decay) * parameters[decayed]
        self._steps += 1
        moments = {name: moment[self._learned] for name, moment in self._moments.items()}
        optimizer.move(parameters[self._learned], gradient, rate, moments, int(self._steps[0]))

    def state(self) -> State:
        """Arrays of a checkpoint; between batches, no error waits for a step."""
        return {**self._moments, _STEPS: self._steps}

    def load(self, state: State) -> None:
        """Take over what ``state`` gave."""
        for name, moment in self._moments.items():
            moment[:] = state[name]
        self._steps[:] = state[_STEPS]
        self._error[:] = 0


def learner_bytes(rule: Rule | None, shape: tuple[int, int]) -> int:
    """Bytes of the arrays that are kept beside parameters of a shape."""
    if rule is None:
        return 0
    noisy = rule.aware is not None and rule.aware.weight_noise > 0
    arrays = 1 + len(rule.optimizer.moments) + noisy
    return arrays * shape[0] * shape[1] * FLOAT_BYTES

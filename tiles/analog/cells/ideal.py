"""Ideal cell: holds any value and takes any change exactly."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import FLOAT_BYTES, Array, Factor, State
from crossmesh.tiles.analog.cells.base import UnitCell
from crossmesh.tiles.analog.devices.unsupported import FEATURES
from crossmesh.tiles.analog.pulser import Site

GRANULARITY = 1e-3  # change by a pulse, where pulses are counted; source: assumed


class Ideal(UnitCell):
    """A number instead of a device: no steps, no bounds, no noise, updated without pulses."""

    source: ClassVar[str] = "definition"
    why_without: ClassVar[dict[str, str]] = dict.fromkeys(
        FEATURES, "an ideal weight is a number, not a device; constant_step has it"
    )

    holds_anything: ClassVar[bool] = True

    kind: Literal["ideal"] = "ideal"

    @property
    def n_arrays(self) -> int:
        """Two, as for separate arrays of positive and negative weights."""
        return 2

    @property
    def largest_conductance(self) -> float:
        """One unit."""
        return 1.0

    @property
    def reach(self) -> float:
        """One unit, which scales are chosen for."""
        return 1.0

    @property
    def granularity(self) -> float:
        """Change by a pulse, where pulses are counted."""
        return GRANULARITY

    @property
    def cell_bytes(self) -> int:
        """The number."""
        return FLOAT_BYTES

    def crossbar(self, site: Site) -> "IdealCrossbar":
        """Numbers in the shape of a crossbar."""
        return IdealCrossbar(site.shape)


class IdealCrossbar:
    """Weights that take any change exactly.

    Args:
        shape: Rows and columns.
    """

    variance: Array | None = None

    def __init__(self, shape: tuple[int, int]) -> None:
        self.weights = np.zeros(shape, np.float32)
        self.pulses = 0

    @property
    def ages(self) -> bool:
        """Whether cells change with time alone."""
        return False

    def write(self, weights: Array) -> None:
        """Set the weights."""
        self.weights[:] = weights

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Add the outer products exactly."""
        self.weights += np.float32(rate) * (x.T @ d)

    def pulse_counts(self, counts: NDArray[np.int16], rows: slice, example: int) -> None:
        """Add a fixed step for every pulse, exactly."""
        self.weights[rows] += np.float32(GRANULARITY) * counts
        self.pulses += int(np.abs(counts).sum(dtype=np.int64))

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Weights above and below zero, as two arrays would hold them."""
        return [(1.0, np.maximum(self.weights, 0)), (-1.0, np.maximum(-self.weights, 0))]

    def state(self) -> State:
        """The weights."""
        return {"weights": self.weights}

    def load(self, state: State) -> None:
        """Take over saved weights."""
        self.weights[:] = state["weights"]

"""What an array of devices asks of the device that it is made of."""
# ruff: noqa: D102  because Retention and Device say what each member is

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Stream

Array = NDArray[np.float32]


class Decay(Protocol):
    """How conductance is lost with time; see ``Retention``."""

    @property
    def time_s(self) -> float: ...

    @property
    def device_noise(self) -> float: ...


class Element(Protocol):
    """One analog memory element; every member is as in ``Device``."""

    @property
    def granularity(self) -> float: ...

    @property
    def limits(self) -> tuple[float, float]: ...

    @property
    def moves_one_way(self) -> bool: ...

    @property
    def has_cycle_noise(self) -> bool: ...

    @property
    def has_history(self) -> bool: ...

    @property
    def fresh_history(self) -> float: ...

    @property
    def write_deviation(self) -> float: ...

    @property
    def read_noise(self) -> tuple[float, float]: ...

    @property
    def decay(self) -> Decay | None: ...

    @property
    def may_be_stuck(self) -> bool: ...

    @property
    def has_references(self) -> bool: ...

    @property
    def calibration(self) -> int: ...

    def symmetry_points(self, values: Array) -> Array: ...

    def constants(self) -> Any: ...

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> Array: ...

    def references(self, values: Array, stream: Stream, part: int) -> Array | None: ...

    def history_at(self, state: Array) -> Array: ...

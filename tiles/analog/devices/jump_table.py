"""Jump-table device: the change per pulse at each conductance as it was measured."""

from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from crossmesh.common.compiled import inlined
from crossmesh.common.frozen import Frozen, Many
from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.devices.base import Array
from crossmesh.tiles.analog.devices.common import CommonDevice
from crossmesh.tiles.analog.devices.kernels import (
    LOWER,
    STEP_DOWN,
    STEP_UP,
    UPPER,
    Functions,
    register_model,
)
from crossmesh.tiles.analog.devices.limits import Level, Noise, Spread

TABLE = UPPER + 1
_UP, _NOISE, _DOWN = np.int32(0), np.int32(1), np.int32(2)  # rows of a table

Means = Annotated[Many[Level], Field(min_length=2)]
Deviations = Annotated[Many[Noise], Field(min_length=2)]


class StepTable(Frozen):
    """One measured device. Points are equidistant in conductance, from ``lower`` to ``upper``.

    Attributes:
        lower: Lower bound of ``w``.
        upper: Upper bound of ``w``.
        up: Mean change by an up pulse at each point.
        up_noise: Standard deviation of that change.
        down: Mean change by a down pulse at each point, negative.
        down_noise: Standard deviation of that change.
    """

    lower: Level
    upper: Level
    up: Means
    up_noise: Deviations
    down: Means
    down_noise: Deviations

    @model_validator(mode="after")
    def _describes_a_device(self) -> Self:
        if self.upper <= self.lower:
            raise ValueError(f"upper must be above lower ({self.lower}), got {self.upper}")
        for name in ("up_noise", "down", "down_noise"):
            if len(getattr(self, name)) != len(self.up):
                raise ValueError(
                    f"{name} must have as many points as up ({len(self.up)}), "
                    f"got {len(getattr(self, name))}"
                )
        if np.mean(self.up) <= 0:
            raise ValueError(f"up must be above 0 on average, got {np.mean(self.up):.3g}")
        if np.mean(self.down) >= 0:
            raise ValueError(f"down must be below 0 on average, got {np.mean(self.down):.3g}")
        return self

    def change(self, w: float, *, up: bool) -> float:
        """Mean change by a pulse at ``w``, or at the bound that is nearest."""
        points = np.linspace(self.lower, self.upper, len(self.up))
        return float(np.interp(w, points, self.up if up else self.down))

    @property
    def symmetry_point(self) -> float:
        """Where up and down changes are equal first; the end that the stronger leads to, if none.

        Between two points of the table both lie on straight lines.
        """
        points = np.linspace(self.lower, self.upper, len(self.up))
        drift = np.add(self.up, self.down)
        after = np.flatnonzero(drift <= 0)
        if not len(after) or not after[0]:
            return float(points[-1 if not len(after) else 0])
        k = after[0]
        share = drift[k - 1] / (drift[k - 1] - drift[k])
        return float(points[k - 1] + share * (points[k] - points[k - 1]))


class JumpTableConstants(NamedTuple):
    """Shared numbers of a jump-table array.

    Attributes:
        cycle_noise: Factor of the measured noise.
        intervals: Between the points of a table.
        points: Every table's means up, noise up, means down, noise down, one after the other.
    """

    cycle_noise: np.float32
    intervals: np.int32
    points: NDArray[np.float32]


@inlined
def _interpolated(constants, device, j, w, row):
    """A row of a device's table at ``w``, between its points on a straight line."""
    table = np.int32(device[TABLE, j] + np.float32(0.5))
    # Stuck devices, and columns of the scratch area that hold no device, have a range of zero.
    width = max(device[UPPER, j] - device[LOWER, j], np.float32(1e-6))
    position = (w - device[LOWER, j]) / width * np.float32(constants.intervals)
    left = min(max(np.int32(position), np.int32(0)), np.int32(constants.intervals - np.int32(1)))
    first = np.int32(
        np.int32(np.int32(4) * table + row) * np.int32(constants.intervals + np.int32(1))
    )
    at = np.uint32(first + left)
    at_left, at_right = constants.points[at], constants.points[np.uint32(at + np.uint32(1))]
    return at_left + (position - np.float32(left)) * (at_right - at_left)


def _step(constants, device, j, w, up):
    factor = device[STEP_UP, j] if up else device[STEP_DOWN, j]
    return factor * _interpolated(constants, device, j, w, _UP if up else _DOWN)


def _noise(constants, device, j, w, step, up):
    factor = device[STEP_UP, j] if up else device[STEP_DOWN, j]
    return (
        constants.cycle_noise
        * factor
        * _interpolated(constants, device, j, w, (_UP if up else _DOWN) + _NOISE)
    )


register_model(JumpTableConstants, Functions(_step, _noise, depends_on_state=True))


class JumpTable(CommonDevice):
    """Changes per pulse from tables, one for each device that was measured.

    Every emulated device draws which measured one it is, each as likely as the others, so that
    the spread between devices is that of the measurement. A change has the mean and the standard
    deviation that the table gives at the present conductance, on straight lines between its
    points. The tables come from ``crossmesh devices fit``; the default is one made up for show.

    Attributes:
        tables: The measured devices.
        device_noise: Spread of all changes between devices, relative, beyond that of the tables.
        cycle_noise: Factor of the noise in the tables; 0 leaves it out.
        write_noise: As of other devices, in mean changes at ``w == 0``.
        offset: Measured conductance at ``w == 0``, in ``unit``.
        scale: Measured conductance per ``w``, in ``unit``.
        unit: Unit of the measured conductance.
    """

    n_parameters: ClassVar[int] = 5
    source: ClassVar[str] = "measurement; the default is assumed"

    kind: Literal["jump_table"] = "jump_table"
    tables: Annotated[Many[StepTable], Field(min_length=1, max_length=32768)] = (
        StepTable(
            lower=-1, upper=1, up=(0.02, 0.0), up_noise=(0.006, 0.0),
            down=(0.0, -0.02), down_noise=(0.0, 0.006),
        ),
    )  # fmt: skip
    device_noise: Spread = 0.0
    cycle_noise: Noise = 1.0
    offset: float = 0.0
    scale: float = Field(1.0, gt=0)
    unit: str = ""

    @model_validator(mode="after")
    def _tables_make_an_array(self) -> Self:
        n_points = len(self.tables[0].up)
        for k, table in enumerate(self.tables):
            if len(table.up) != n_points:
                raise ValueError(
                    f"tables.{k} must have as many points as the first ({n_points}), "
                    f"got {len(table.up)}"
                )
        if not self.lower < 0 < self.upper:
            raise ValueError(
                "tables must reach from below 0 to above 0 on average, "
                f"got {self.lower:.3g} to {self.upper:.3g}"
            )
        if self.granularity <= 0:
            raise ValueError(
                "tables must move up by up pulses and down by down pulses at w == 0 on average, "
                f"got {self.granularity:.3g}"
            )
        return self

    @property
    def lower(self) -> float:
        """Mean lower bound of ``w``."""
        return float(np.mean([table.lower for table in self.tables]))

    @property
    def upper(self) -> float:
        """Mean upper bound of ``w``."""
        return float(np.mean([table.upper for table in self.tables]))

    @property
    def limits(self) -> tuple[float, float]:
        """Mean bounds."""
        return self.lower, self.upper

    @property
    def granularity(self) -> float:
        """Mean change at ``w == 0``, over devices and directions."""
        rises = [table.change(0.0, up=True) for table in self.tables]
        falls = [table.change(0.0, up=False) for table in self.tables]
        return float(np.mean(rises) - np.mean(falls)) / 2

    def constants(self) -> Any:
        """The shared numbers; all arrays of such devices share the tables."""
        rows = tuple(
            tuple(row)
            for table in self.tables
            for row in (table.up, table.up_noise, table.down, table.down_noise)
        )
        intervals = np.int32(len(rows[0]) - 1)
        return JumpTableConstants(np.float32(self.cycle_noise), intervals, _points(rows))

    def sample(self, shape: tuple[int, int], stream: Stream, part: int) -> NDArray[np.float32]:
        """Factor of up changes, factor of down changes, bounds, and the number of the table."""
        uniform = stream.uniform(Purpose.DEVICE, shape, draw=TABLE, part=part)
        drawn = np.minimum(uniform * len(self.tables), len(self.tables) - 1).astype(np.intp)
        normal = stream.normal(Purpose.DEVICE, shape, draw=STEP_UP, part=part)
        parameters = np.empty((self.n_parameters, *shape), np.float32)
        parameters[STEP_UP] = parameters[STEP_DOWN] = np.abs(1 + self.device_noise * normal)
        parameters[LOWER] = np.array([table.lower for table in self.tables], np.float32)[drawn]
        parameters[UPPER] = np.array([table.upper for table in self.tables], np.float32)[drawn]
        parameters[TABLE] = drawn
        if self.stuck:
            self.stuck.hold(parameters, stream, part)
        return parameters

    def symmetry_points(self, values: Array) -> Array:
        """Those of the tables; of a stuck device, where it stands."""
        points = np.array([table.symmetry_point for table in self.tables], np.float32)
        own = points[values[TABLE].astype(np.intp)]
        return np.clip(own, values[LOWER], values[UPPER])


@lru_cache(maxsize=8)
def _points(rows: tuple[tuple[float, ...], ...]) -> NDArray[np.float32]:
    """The points of all tables, one after the other."""
    return np.array(rows, np.float32).ravel()

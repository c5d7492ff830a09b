"""A tile's weights on programmed memories, some time after they were programmed."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.array import Factor
from crossmesh.tiles.analog.programmed import InferenceModel

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Aging:
    """Programming and ageing of trained weights before a test.

    Attributes:
        model: The memories that the weights are programmed to.
        repetition: Number of the programming, which keys its scatter.
        after_s: Time since.
        compensated: Whether outputs are scaled back by what the tile has lost on the whole.
    """

    model: InferenceModel
    repetition: int
    after_s: float
    compensated: bool


@dataclass(frozen=True, kw_only=True)
class Aged:
    """Conductances relative to full scale; ``weights = unit * (plus - minus)``.

    Attributes:
        plus: ``(rows, cols)``.
        minus: ``(rows, cols)``.
        unit: Normalised weight of full scale, compensation included.
        variance: ``(rows, cols)`` of the weights from read to read.
    """

    plus: Array
    minus: Array
    unit: float
    variance: Array

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Conductances with wires of their own, and their factors."""
        return [(self.unit, self.plus), (-self.unit, self.minus)]

    @cached_property
    def weights(self) -> Array:
        """``(rows, cols)``, wires left out."""
        return np.float32(self.unit) * self.plus - np.float32(self.unit) * self.minus


def aged(weights: Array, stream: Stream, aging: Aging) -> Aged:
    """Program ``(rows, cols)`` normalised weights to pairs of memories and let them age.

    The largest magnitude of the tile is aimed at full scale. Both memories of a pair are
    programmed, the one that is not needed to 0, and each drifts by itself.
    """
    largest = float(np.abs(weights).max(initial=0)) or 1.0
    plus, minus = (
        _side(np.maximum(sign * weights / np.float32(largest), 0), part, stream, aging)
        for part, sign in enumerate((np.float32(1), np.float32(-1)))
    )
    unit = largest
    if aging.compensated:
        before = _read_out(plus.fresh, minus.fresh, stream, 2 * aging.repetition)
        unit *= before / _read_out(plus.now, minus.now, stream, 2 * aging.repetition + 1)
    scatter = np.square(plus.now.deviation) + np.square(minus.now.deviation)
    return Aged(
        plus=plus.now.conductance,
        minus=minus.now.conductance,
        unit=unit,
        variance=np.float32(unit * unit) * scatter,
    )


class _Read(NamedTuple):
    """Conductances and their deviations from read to read, relative to full scale."""

    conductance: Array
    deviation: Array


class _Side(NamedTuple):
    """The memories of one polarity, just programmed and now."""

    fresh: _Read
    now: _Read


def _side(target: Array, part: int, stream: Stream, aging: Aging) -> _Side:
    model, shape = aging.model, (target.shape[0], target.shape[1])
    full_scale = np.float32(model.full_scale_siemens)
    scatter, drift = (
        stream.normal(purpose, shape, draw=aging.repetition, part=part)
        for purpose in (Purpose.PROGRAMMING, Purpose.DRIFT)
    )
    fresh = model.programmed(target, scatter)
    then = model.programmed(target, scatter, aging.after_s)
    now = model.drifted(then, target, drift, aging.after_s)
    return _Side(
        _Read(fresh / full_scale, model.read_deviation(fresh, fresh, 0.0) / full_scale),
        _Read(now / full_scale, model.read_deviation(fresh, now, aging.after_s) / full_scale),
    )


def _read_out(plus: _Read, minus: _Read, stream: Stream, draw: int) -> float:
    """Mean magnitude of what unit vectors on the word lines give, read once."""
    deviation = np.hypot(plus.deviation, minus.deviation)
    shape = (deviation.shape[0], deviation.shape[1])
    noise = deviation * stream.normal(Purpose.INFERENCE_READ, shape, draw=draw)
    read = np.abs(plus.conductance - minus.conductance + noise)
    return float(read.mean(dtype=np.float64)) or 1.0

"""From the arrays of a source to a data set: checked, cropped, split, scaled and flattened."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emulator.data.config import Crop, DataConfig
from emulator.data.errors import DataError, Place
from emulator.data.examples import Dataset, Examples
from emulator.data.standard import standardise
from emulator.data.streams import split_indices

BYTE_SCALE = 255.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raw:
    """Examples as a source holds them.

    Attributes:
        x: Inputs, ``(n, *shape)``.
        y: Class labels ``(n,)``, or values ``(n, m)``.
        x_place: Where ``x`` was found.
        y_place: Where ``y`` was found.
        full_scale: The value of ``x`` that becomes an input of 1.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    x_place: Place
    y_place: Place
    full_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.x.ndim < 2 or 0 in self.x.shape or self.x.dtype.kind not in "buif":
            law = "one or more examples, numbers (examples, inputs...)"
            raise self.x_place.refusal(law, _described(self.x))
        if len(self.y) != len(self.x):
            raise self.y_place.refusal(
                f"as many entries as there are examples ({len(self.x)})", len(self.y)
            )

    def take(self, indices: NDArray[np.int64]) -> "Raw":
        """Some of the examples."""
        return replace(self, x=self.x[indices], y=self.y[indices])

    def examples(self) -> Examples:
        """The examples flattened, scaled and of the types that tiles work with."""
        inputs = _float32(self.x, self.x_place).reshape(len(self.x), -1)
        inputs /= np.float32(self.full_scale)
        return Examples(inputs, self._targets())

    def _targets(self) -> NDArray[np.int32] | NDArray[np.float32]:
        y = self.y
        if y.ndim == 2 and y.shape[1] and y.dtype.kind == "f":
            return _float32(y, self.y_place)
        if y.ndim != 1 or y.dtype.kind not in "iu":
            law = "integer labels (examples,) or floating-point targets (examples, outputs)"
            raise self.y_place.refusal(law, _described(y))
        for label in (y.min(), y.max()):
            if not 0 <= label < 2**31:
                raise self.y_place.refusal("labels from 0 to below 2**31", label)
        return y.astype(np.int32)


def assemble(name: str, config: DataConfig, train: Raw, test: Raw | None) -> Dataset:
    """A data set from training examples and, if the source has them, test examples.

    Raises:
        DataError: If the parts do not fit each other or the config.
    """
    if test is None:
        train, test = _split(train, config.test_fraction)
    elif test.x.shape[1:] != train.x.shape[1:] or test.x.dtype != train.x.dtype:
        raise test.x_place.refusal(f"examples like {_each(train.x)}", _each(test.x))
    elif test.y.shape[1:] != train.y.shape[1:]:
        raise test.y_place.refusal(f"targets like {_each(train.y)}", _each(test.y))
    if config.crop is not None:
        train, test = _cropped(train, config.crop), _cropped(test, config.crop)
    trained, tested = train.examples(), test.examples()
    if config.standardise:
        standardise(trained, tested, train.x.shape[1:])
    return Dataset(
        name=name,
        train=trained,
        test=tested,
        shape=train.x.shape[1:],
        n_outputs=max(_n_outputs(trained), _n_outputs(tested)),
    )


def _split(raw: Raw, fraction: float) -> tuple[Raw, Raw]:
    n = len(raw.x)
    if n < 2:
        raise raw.x_place.refusal("two examples or more, to set some aside for the test", n)
    n_test = min(max(1, round(n * fraction)), n - 1)
    train, test = split_indices(n, n_test)
    return raw.take(train), raw.take(test)


def _cropped(raw: Raw, crop: Crop) -> Raw:
    shape = raw.x.shape[1:]
    if len(shape) != 2:
        raise DataError(f"data.crop must be left out unless examples are images, got {shape}")
    _check_bounds("rows", crop.rows, shape[0])
    _check_bounds("columns", crop.columns, shape[1])
    return replace(raw, x=raw.x[:, slice(*crop.rows), slice(*crop.columns)])


def _check_bounds(axis: Literal["rows", "columns"], bounds: tuple[int, int], size: int) -> None:
    if bounds[0] < 0 or bounds[1] > size:
        raise DataError(f"data.crop.{axis} must lie within 0..{size}, got {list(bounds)}")


def _float32(values: NDArray[Any], place: Place) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        converted = values.astype(np.float32, order="C")
    finite = np.isfinite(converted)
    if not finite.all():
        raise place.refusal("finite float32 numbers", values[~finite][0])
    return converted


def _n_outputs(examples: Examples) -> int:
    targets = examples.targets
    return int(targets.max()) + 1 if examples.has_classes else targets.shape[1]


def _described(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"


def _each(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape[1:]}"

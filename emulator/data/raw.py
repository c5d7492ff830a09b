"""From the arrays of a source to a data set: checked, cropped, split, scaled and flattened.

Everything is checked and counted before it is read, and read into the arrays that are kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crossmesh.common import free_memory
from crossmesh.common.errors import DataError
from crossmesh.emulator.data.columns import BYTE_SCALE, InputColumn
from crossmesh.emulator.data.config import Crop, DataConfig
from crossmesh.emulator.data.errors import Place
from crossmesh.emulator.data.examples import Dataset, Examples
from crossmesh.emulator.data.filling import Crop2D, filled
from crossmesh.emulator.data.standard import given_standard, standardised
from crossmesh.emulator.data.stored import Stored, in_memory, some_of
from crossmesh.emulator.data.streams import split_indices

SPLIT_BYTES = 40  # of an example while it is drawn what to set aside, at most

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawInputs:
    """Inputs as a source holds them.

    Attributes:
        x: Inputs, ``(n, *shape)``.
        x_place: Where ``x`` was found.
        full_scale: The value of ``x`` that becomes an input of 1.
    """

    x: Stored
    x_place: Place
    full_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.x.ndim < 2 or 0 in self.x.shape or self.x.dtype.kind not in "buif":
            rule = "one or more examples, numbers (examples, inputs...)"
            raise self.x_place.refusal(rule, self.x)

    def input_bytes(self, shape: tuple[int, ...]) -> int:
        """Bytes that are kept of the inputs if ``shape`` is what is kept of each."""
        return len(self.x) * math.prod(shape) * (1 if self.x.dtype.itemsize == 1 else 4)

    def inputs(
        self, window: Crop2D, chosen: list[Indices | None]
    ) -> tuple[list[NDArray[Any]], NDArray[np.float32] | None]:
        """Inputs ``(examples, n_inputs)`` as they are kept, and what bytes stand for, if they are.

        Args:
            window: What is kept of each input.
            chosen: Indices of the examples of each part, rising, the last perhaps several times;
                None for all.
        """
        x, levels = self.x, None
        if x.dtype.itemsize == 1:
            parts = filled(x, np.uint8, chosen, lambda values: values.view(np.uint8), window)
            levels = _of_bytes(x.dtype, self.full_scale)
        else:
            parts = filled(x, np.float32, chosen, self._scaled, window)
        return [part.reshape(len(part), -1) for part in parts], levels

    def _scaled(self, values: NDArray[Any]) -> NDArray[np.float32]:
        inputs = _float32(values, self.x_place)
        if self.full_scale != 1:
            inputs /= np.float32(self.full_scale)
        return inputs

    def check_room(self, n_bytes: int) -> None:
        """Refuse data that does not fit in the memory that is there, before any of it is read."""
        if (free := free_memory.lacking(n_bytes)) is not None:
            rule = f"what fits in the {free_memory.in_words(free)} of memory that are free"
            got = f"{self.x}, which takes {free_memory.in_words(n_bytes)}"
            raise self.x_place.refusal(rule, got)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raw(RawInputs):
    """Examples as a source holds them.

    Attributes:
        y: Class labels ``(n,)``, or ``(n, m)`` values, or whole numbers that are either values or
            the classes of steps, as the network has it.
        y_place: Where ``y`` was found.
    """

    y: Stored
    y_place: Place

    def __post_init__(self) -> None:
        RawInputs.__post_init__(self)  # super() is none in a class with slots
        if not self.y.ndim or len(self.y) != len(self.x):
            raise self.y_place.refusal(
                f"as many entries as there are examples ({len(self.x)})",
                len(self.y) if self.y.ndim else "one without axes",
            )
        y = self.y
        has_values = y.ndim == 2 and y.shape[1] and y.dtype.kind in "iuf"
        if not has_values and (y.ndim != 1 or y.dtype.kind not in "iu"):
            rule = "integer labels (examples,) or targets (examples, outputs or steps)"
            raise self.y_place.refusal(rule, y)

    def n_bytes(self, shape: tuple[int, ...]) -> int:
        """Bytes that are kept of it if ``shape`` is what is kept of each input."""
        return self.input_bytes(shape) + len(self.x) * math.prod(self.y.shape[1:]) * 4

    def examples(self, window: Crop2D, chosen: list[Indices | None]) -> list[Examples]:
        """Examples in the form in which they are kept; arguments as those of ``inputs``."""
        inputs, levels = self.inputs(window, chosen)
        if self.y.dtype.kind == "f":
            answers = filled(self.y, np.float32, chosen, lambda v: _float32(v, self.y_place))
        else:
            answers = filled(self.y, np.int32, chosen, self._labels)
        return [
            Examples(part, answer, levels) for part, answer in zip(inputs, answers, strict=True)
        ]

    def of_classes(self, classes: Sequence[int], *, may_lack: bool = False) -> "Raw":
        """The examples of some classes, which are numbered again in the order given.

        Args:
            classes: Labels of the classes.
            may_lack: Whether a class may have no examples.
        """
        if self.y.ndim != 1 or self.y.dtype.kind == "f":
            rule = "one class for each example, for data.only_classes to choose from,"
            raise self.y_place.refusal(rule, self.y)
        self.check_room(len(self.y) * (4 + len(classes)))
        (labels,) = filled(self.y, np.int32, [None], self._labels)
        is_wanted = labels == np.array(classes)[:, np.newaxis]
        has_examples = is_wanted.any(1)
        if not (may_lack or has_examples.all()):
            rule = "examples of every class of data.only_classes"
            raise self.y_place.refusal(rule, f"none of class {classes[has_examples.argmin()]}")
        rows = np.flatnonzero(is_wanted.any(0))
        numbers = is_wanted[:, rows].argmax(0).astype(np.int32)
        return replace(self, x=some_of(self.x, rows), y=in_memory(numbers))

    def _labels(self, values: NDArray[Any]) -> NDArray[np.int32]:
        for label in (values.min(), values.max()):
            if not 0 <= label < 2**31:
                raise self.y_place.refusal("labels from 0 to below 2**31", label)
        return values.astype(np.int32)


def byte_scale(x: Stored, config: DataConfig) -> float:
    """The value of ``x`` that becomes an input of 1: bytes are shares of 255, but for tokens."""
    return BYTE_SCALE if x.dtype == np.uint8 and config.tokens is None else 1.0


def assemble(
    name: str,
    config: DataConfig,
    train: Raw,
    test: Raw | None,
    columns: tuple[InputColumn, ...] = (),
) -> Dataset:
    """A data set from training examples and, if the source has them, test examples.

    Args:
        name: Name in reports.
        config: Says which classes are kept, what is cropped, standardised and set aside for the
            test.
        train: Training examples as read.
        test: Test examples as read; None: a part of ``train`` is set aside.
        columns: The named inputs in a row, if there are several.

    Raises:
        DataError: If the parts do not fit each other, the config or the memory that is free.
    """
    if config.only_classes is not None:
        train = train.of_classes(config.only_classes)
        test = test and test.of_classes(config.only_classes, may_lack=True)
    if test is not None and (test.x.shape[1:], test.x.dtype) != (train.x.shape[1:], train.x.dtype):
        raise test.x_place.refusal(f"examples like {_each(train.x)}", _each(test.x))
    if test is not None and (
        test.y.shape[1:] != train.y.shape[1:] or (test.y.dtype.kind == "f") != _has_values(train)
    ):
        raise test.y_place.refusal(f"targets like {_each(train.y)}", _each(test.y))
    if config.tokens is not None and train.x.ndim != 2:
        raise train.x_place.refusal("tokens (examples, steps)", train.x)
    window = input_window(config.crop, train.x.shape[1:])
    shape = window.shape(train.x.shape[1:])
    raws = [train] if test is None else [train, test]
    n_bytes = sum(raw.n_bytes(shape) for raw in raws)
    train.check_room(n_bytes + (SPLIT_BYTES * len(train.x) if test is None else 0))
    if test is None:
        trained, tested = train.examples(window, _split(train, config.test_fraction))
    else:
        trained, tested = (raw.examples(window, [None])[0] for raw in raws)
    standard = None
    if config.standardise:
        trained, tested, standard = standardised(trained, tested, shape)
    elif config.normalise is not None:
        standard = given_standard(config.normalise, shape)
        trained, tested = standard.applied(trained), standard.applied(tested)
    return Dataset(
        name=name,
        train=trained,
        test=tested,
        shape=shape,
        n_outputs=max(_n_outputs(trained), _n_outputs(tested)),
        tokens=config.tokens,
        columns=columns,
        standard=standard,
    )


def _split(raw: Raw, fraction: float) -> list[Indices | None]:
    n = len(raw.x)
    if n < 2:
        raise raw.x_place.refusal("two examples or more, to set some aside for the test", n)
    n_test = min(max(1, round(n * fraction)), n - 1)
    return [*split_indices(n, n_test)]


def input_window(crop: Crop | None, shape: tuple[int, ...]) -> Crop2D:
    """What is kept of inputs of a shape.

    Raises:
        DataError: If they are no images, or the crop lies beyond them.
    """
    if crop is None:
        return Crop2D()
    if len(shape) != 2:
        raise DataError(f"data.crop must be left out unless examples are images, got {shape}")
    _check_bounds("rows", crop.rows, shape[0])
    _check_bounds("columns", crop.columns, shape[1])
    return Crop2D(rows=crop.rows, columns=crop.columns)


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


def _of_bytes(dtype: np.dtype[Any], full_scale: float) -> NDArray[np.float32]:
    """The input that each byte stands for ``(1, 256)``, by its type: of numbers or truth values."""
    values = np.arange(256, dtype=np.uint8)
    levels = values != 0 if dtype.kind == "b" else values.view(dtype)
    return (levels.astype(np.float32) / np.float32(full_scale))[np.newaxis]


def _has_values(raw: Raw) -> bool:
    return raw.y.dtype.kind == "f"


def _n_outputs(examples: Examples) -> int:
    answers = examples.answers
    return int(answers.max()) + 1 if examples.has_classes else answers.shape[1]


def _each(stored: Stored) -> str:
    return f"{stored.dtype} {stored.shape[1:]}"

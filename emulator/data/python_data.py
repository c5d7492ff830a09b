"""Examples in memory: arrays of NumPy, tensors and datasets of PyTorch, data frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import DataError
from crossmesh.common.refusals import nearest
from crossmesh.emulator.data.errors import listed

Array = NDArray[Any]
_NAMES = ("x_train", "y_train", "x_test", "y_test")
_RULE = (
    "data must be (x_train, y_train, x_test, y_test), (x_train, y_train), arrays by these names, "
    "PyTorch datasets (train, test), or data frames (train, test) with target=COLUMN"
)


def named_arrays(data: Any, target: str | None = None) -> dict[str, Array]:
    """Arrays by the names that they have in an NPZ archive.

    Args:
        data: One of

            * arrays ``(x_train, y_train)`` or ``(x_train, y_train, x_test, y_test)``, or by name:
              of NumPy, PyTorch, or whatever NumPy can read;
            * a PyTorch dataset of ``(input, target)``, or one to train on and one to test with;
            * a data frame of pandas or Polars, or one to train on and one to test with.
        target: Column of a data frame that is learnt: integers, truth values and text are classes,
            real numbers values. All other columns are inputs.

    Raises:
        DataError: If it is something else.
    """
    if isinstance(data, Mapping):
        return {str(name): as_array(array) for name, array in data.items()}
    parts = [*data] if isinstance(data, tuple | list) else [data]
    is_pair = 1 <= len(parts) <= 2
    if target is not None:
        if not (is_pair and all(map(_is_frame, parts))):
            raise DataError(f"target must come with data frames only, got {_described(data)}")
        return _by_name([_columns(frame, target) for frame in parts])
    if is_pair and all(map(_is_frame, parts)):
        columns = listed(parts[0].columns)
        raise DataError(f"target must name the column to learn, one of {columns}, got none")
    if is_pair and all(map(_is_dataset, parts)):
        return _by_name([_stacked(dataset) for dataset in parts])
    if not isinstance(data, tuple | list) or len(parts) not in {2, 4}:
        raise DataError(f"{_RULE}, got {_described(data)}")
    arrays = [*map(as_array, parts)]
    return _by_name([*zip(arrays[::2], arrays[1::2], strict=True)])


def as_array(values: Any) -> Array:
    """Numbers as a NumPy array; of a data frame its columns, ``(rows, columns)``."""
    if _is_frame(values):
        return _side_by_side(values, list(values.columns))
    if hasattr(values, "detach"):  # a PyTorch tensor, perhaps on a GPU
        values = values.detach().cpu()
    return np.asarray(values)


def _by_name(pairs: Sequence[tuple[Array, Array]]) -> dict[str, Array]:
    """Inputs and targets to train on, and perhaps to test with."""
    targets = _numbered([y for _, y in pairs])
    arrays = [array for (x, _), y in zip(pairs, targets, strict=True) for array in (x, y)]
    return dict(zip(_NAMES, arrays, strict=False))


def _numbered(targets: list[Array]) -> list[Array]:
    """Targets with class numbers for truth values, and for texts their place in order."""
    if all(y.dtype.kind == "b" for y in targets):
        return [y.astype(np.int64) for y in targets]
    if not all(map(_is_text, targets)):
        return targets
    classes = np.unique(np.concatenate([y.astype(str) for y in targets]))
    return [np.searchsorted(classes, y.astype(str)) for y in targets]


def _is_text(array: Array) -> bool:
    if array.dtype.kind == "O":
        return all(isinstance(value, str) for value in array.flat)
    return array.dtype.kind in "UT"


def _is_frame(value: Any) -> bool:
    """Whether it is a data frame of pandas or Polars."""
    return hasattr(value, "columns") and hasattr(value, "to_numpy")


def _is_dataset(value: Any) -> bool:
    """Whether it is a dataset of PyTorch, or like one, and neither an array nor a list."""
    has_items = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    return has_items and not hasattr(value, "shape") and not isinstance(value, str | Sequence)


def _columns(frame: Any, target: str) -> tuple[Array, Array]:
    """Inputs and targets of a data frame."""
    if target not in frame.columns:
        hint = nearest(target, map(str, frame.columns))
        raise DataError(f"target must be one of {listed(frame.columns)}, got {target}{hint}")
    targets = np.asarray(frame[target].to_numpy())
    if targets.dtype.kind not in "biuf" and not _is_text(targets):
        raise DataError(f"target must be a column of numbers or text, got {target}")
    inputs = _side_by_side(frame, [name for name in frame.columns if name != target])
    return inputs, targets[:, np.newaxis] if targets.dtype.kind == "f" else targets


def _side_by_side(frame: Any, names: list[str]) -> Array:
    columns = {name: np.asarray(frame[name].to_numpy()) for name in names}
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            raise DataError(f"data must hold numbers in all input columns, got text in {name}")
    if not columns:
        raise DataError("data must have a column of inputs, got none")
    return np.stack([column.astype(np.float32) for column in columns.values()], axis=1)


def _stacked(dataset: Any) -> tuple[Array, Array]:
    """Inputs and targets of a PyTorch dataset."""
    if not len(dataset):
        raise DataError("data must have an example or more, got an empty dataset")
    try:
        pairs = [
            (as_array(x), as_array(y)) for x, y in map(dataset.__getitem__, range(len(dataset)))
        ]
    except (TypeError, ValueError) as error:
        raise DataError(f"data must give (input, target) for each example, got {error}") from None
    shapes = {x.shape for x, _ in pairs}
    if len(shapes) > 1:
        raise DataError(f"data must give inputs of one shape, got {listed(map(str, shapes))}")
    targets = np.stack([y for _, y in pairs])
    is_value = targets.dtype.kind == "f" and targets.ndim == 1
    return np.stack([x for x, _ in pairs]), targets[:, np.newaxis] if is_value else targets


def _described(data: Any) -> str:
    """What was given, in a few words."""
    if isinstance(data, tuple | list):
        kinds = [type(part).__name__ for part in data]
        return f"{len(kinds)} parts ({listed(kinds)})" if kinds else "nothing"
    return type(data).__name__

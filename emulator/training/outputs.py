"""Outputs of a network for given inputs, and the files that they are written to."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.summaries import summary_of

SUFFIXES = (".npz", ".parquet")
_OURS = ("classes", "shares", "after_s")  # arrays beside the outputs


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """Outputs of a network, example by example.

    All arrays but ``after_s`` have one more axis in front, of the ages, if there are ages.

    Attributes:
        name: What the network calls its output.
        outputs: ``(examples, n)``, ``(examples, steps, n)`` or ``(examples, n, height, width)``.
        classes: Largest outputs, best first: ``(examples, k)``, ``(examples, steps, k)`` or
            ``(examples, k, height, width)``; None unless asked for.
        shares: Their shares, as ``classes``: the outputs of a softmax or sigmoid, or the softmax of
            other outputs.
        after_s: Seconds since the weights were programmed, of a prediction by aged memories.
    """

    name: str
    outputs: NDArray[np.float32]
    classes: NDArray[np.int32] | None = None
    shares: NDArray[np.float32] | None = None
    after_s: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        fields = [(name, f"{array.dtype} {array.shape}") for name, array in self.arrays.items()]
        return summary_of("Prediction", fields)

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays that there are, by the names that files give them."""
        named = {self.name: self.outputs} | {name: getattr(self, name) for name in _OURS}
        return {name: array for name, array in named.items() if array is not None}

    def write(self, path: Path) -> None:
        """Write the arrays to an NPZ archive, or to a Parquet table of a row per example.

        In a table every age has rows of its own, with the columns ``after_s`` and ``example``.

        Raises:
            ConfigError: If the file has another suffix.
            RunError: If it cannot be written.
        """
        check_path(path)
        aside = path.with_name(f".{path.name}.part")
        try:
            if path.suffix == ".parquet":
                pq.write_table(self._table(), aside)
            else:
                _write_npz(aside, self.arrays)
            aside.replace(path)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror or error}") from None

    def _table(self) -> pa.Table:
        arrays = dict(self.arrays)
        after_s, columns = arrays.pop("after_s", None), {}
        if after_s is not None:
            n = self.outputs.shape[1]
            columns["after_s"] = pa.array(np.repeat(after_s, n))
            columns["example"] = pa.array(np.tile(np.arange(n), len(after_s)))
            arrays = {name: array.reshape(-1, *array.shape[2:]) for name, array in arrays.items()}
        return pa.table(columns | {name: _column(array) for name, array in arrays.items()})


def check_name(name: str) -> None:
    """Refuse the name of an output that other arrays have.

    Raises:
        ConfigError: If it is one of theirs.
    """
    if name in _OURS:
        raise ConfigError(f"the output must have another name than {', '.join(_OURS)}, got {name}")


def check_path(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is computed.

    Raises:
        ConfigError: If it is of another kind, or in no folder.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"--out must be a file .npz or .parquet, got {path}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--out must be in an existing folder, got {path}")
    if path.is_dir():
        raise ConfigError(f"--out must be a file, got the folder {path}")


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """As ``numpy.savez``, which has names of its own that no array can have."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _column(array: NDArray[Any]) -> pa.Array:
    """An array ``(examples, ...)`` as lists of lists, of a fixed size each."""
    column = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in array.shape[:0:-1]:
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def best(
    outputs: NDArray[np.float32], k: int, *, are_shares: bool
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The largest outputs of each row, best first; of equal ones the first.

    Args:
        outputs: ``(rows, n)``.
        k: How many.
        are_shares: Whether outputs are shares already.

    Returns:
        Their numbers and their shares, ``(rows, k)`` each.
    """
    classes = np.argsort(-outputs, axis=1, kind="stable")[:, :k].astype(np.int32)
    chosen = np.take_along_axis(outputs, classes, axis=1)
    if not are_shares:
        largest = outputs.max(axis=1, keepdims=True)
        total = np.exp(outputs - largest).sum(axis=1, keepdims=True)
        chosen = np.exp(chosen - largest) / total
    return classes, chosen

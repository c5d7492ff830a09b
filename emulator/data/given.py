"""Inputs by themselves, without targets: from archives, tables or arrays in memory."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crossmesh.common.errors import DataError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.data.archive import array_names, stored_arrays
from crossmesh.emulator.data.columns import side_by_side
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.digits import INK_SCALE
from crossmesh.emulator.data.errors import Place, listed
from crossmesh.emulator.data.examples import Dataset, Examples
from crossmesh.emulator.data.prepared import Prepared
from crossmesh.emulator.data.python_data import as_array
from crossmesh.emulator.data.raw import RawInputs, byte_scale, input_window
from crossmesh.emulator.data.stored import Stored, in_memory
from crossmesh.emulator.data.vocabulary import INPUTS

Given = Any  # a path, an array, or arrays by name


class Inputs(NamedTuple):
    """Inputs without targets.

    Attributes:
        dataset: A data set whose test examples they are, with targets of no values.
        n: Number of them; copies of the last one follow.
    """

    dataset: Dataset
    n: int


def given_inputs(
    given: Given,
    names: Sequence[str],
    config: DataConfig,
    known: Prepared | None = None,
    *,
    multiple: int = 1,
) -> Inputs:
    """Inputs without targets, prepared as the examples of a data source are.

    Bytes are scaled and images cropped as those of the source, and all are standardised by its
    training examples if those are.

    Args:
        given: An NPZ archive, a Parquet table, or arrays by name, where an only one may have any
            name; or an array, whose rows may hold several inputs one behind the other.
        names: Names of the network's inputs.
        config: The source whose examples the network takes.
        known: How the source's examples were prepared; None: the inputs can be of any shape.
        multiple: What the number of examples is made a multiple of.

    Raises:
        DataError: If the inputs cannot be had, or are not like the examples of the source.
    """
    stored, place = _found(given, names)
    raw = RawInputs(x=stored, x_place=place, full_scale=_full_scale(stored, config))
    window = input_window(config.crop, stored.shape[1:])
    shape = window.shape(stored.shape[1:])
    raw.check_room(raw.input_bytes(shape))
    if known is not None:
        shape = _checked(shape, known, place, stored)
    n = len(stored)
    rows = np.minimum(np.arange(-(-n // multiple) * multiple), n - 1)
    (kept,), levels = raw.inputs(window, [None if len(rows) == n else rows])
    inputs = Examples(kept, np.empty((len(kept), 0), np.int8), levels)
    if known is not None and known.standard is not None:
        inputs = known.standard.applied(inputs)
    dataset = Dataset(
        name=place.name,
        train=inputs.first(1),
        test=inputs,
        shape=shape,
        n_outputs=0,
        tokens=known.tokens if known else None,
        columns=known.columns if known else (),
    )
    return Inputs(dataset, n)


def _found(given: Given, names: Sequence[str]) -> tuple[Stored, Place]:
    """The inputs, and what to call them in messages."""
    if isinstance(given, Mapping):
        chosen = _chosen(list(given), names, "the arrays")
        arrays = {key: in_memory(as_array(given[key])) for key in chosen}
        return _together(arrays, Place(INPUTS, ", ".join(chosen)))
    if not isinstance(given, Path | str):
        return in_memory(as_array(given)), Place(INPUTS, ", ".join(names))
    path = Path(given)
    if not is_file(path):
        raise DataError(f"{INPUTS} must be a file, got {path}")
    if path.suffix == ".parquet":
        from crossmesh.emulator.data import parquet  # takes a moment to import

        return parquet.stored_inputs(path, INPUTS, names if len(names) > 1 else None)

    def refusal(reason: object) -> DataError:
        return DataError(
            f"{INPUTS} must be an npz archive or a .parquet table, got {path} ({reason})"
        )

    chosen = _chosen(array_names(path, refusal), names, str(path))
    stored = stored_arrays(path, refusal, chosen)
    arrays = {key: stored[key] for key in chosen}
    return _together(arrays, Place(INPUTS, f"{', '.join(chosen)} of {path}"))


def _together(arrays: Mapping[str, Stored], place: Place) -> tuple[Stored, Place]:
    if len(arrays) == 1:
        return next(iter(arrays.values())), place
    return side_by_side([*arrays.items()], place), place


def _chosen(there: list[str], names: Sequence[str], where: str) -> list[str]:
    """The arrays of some names, or the only one that there is in place of one."""
    if set(names) <= set(there):
        return [*names]
    if len(names) == len(there) == 1:
        return there
    rule = ", ".join(names) if len(names) > 1 else f"{names[0]}, or one array only"
    raise DataError(f"{INPUTS} must hold {rule}, got {listed(there)} in {where}")


def _full_scale(stored: Stored, config: DataConfig) -> float:
    if config.source == "digits" and stored.dtype == np.uint8:
        return INK_SCALE
    return byte_scale(stored, config)


def _checked(
    shape: tuple[int, ...], known: Prepared, place: Place, stored: Stored
) -> tuple[int, ...]:
    """The shape of the source's examples, which the inputs must have, or as many values flat."""
    if shape in {known.shape, (math.prod(known.shape),), (1, *known.shape)}:
        return known.shape
    raise place.refusal(f"examples of the network's shape {known.shape}", stored)

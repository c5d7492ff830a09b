"""Arrays in memory, and inputs without targets, for a config's network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.fitting import taken
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.data import Dataset, load
from crossmesh.emulator.data.errors import Place
from crossmesh.emulator.data.given import Given, Inputs, given_inputs
from crossmesh.emulator.data.npz import check_names, from_arrays
from crossmesh.emulator.data.prepared import Prepared, from_json, prepared
from crossmesh.emulator.data.stored import in_memory

__all__ = [
    "Arrays",
    "Given",
    "Inputs",
    "Prepared",
    "dataset_of",
    "inputs_of",
    "known_of",
    "prepared_for",
]

Array = NDArray[Any]
Arrays = tuple[Array, Array] | tuple[Array, Array, Array, Array] | Mapping[str, Array]
_NAMES = ("x_train", "y_train", "x_test", "y_test")


def dataset_of(config: RunConfig, arrays: Arrays) -> Dataset:
    """A data set of arrays in memory, prepared as the config's data section says.

    Args:
        config: The config.
        arrays: Training inputs ``(n, ...)`` and targets, and perhaps those of the test, in this
            order or by the names that they have in an archive.

    Raises:
        DataError: If they make no data set.
    """
    if not isinstance(arrays, Mapping):
        arrays = dict(zip(_NAMES, arrays, strict=False))
    place = Place("data", "the arrays")
    named = {name: np.asarray(arrays[name]) for name in check_names([*arrays], config.data, place)}
    stored = {name: in_memory(array) for name, array in named.items()}
    return from_arrays(config.name, config.data, stored, place)


def prepared_for(job: Job) -> dict[str, Any]:
    """How the inputs of a job were prepared, in a form that can be written as JSON."""
    return prepared(job.dataset).as_json()


def inputs_of(
    config: RunConfig, given: Given, names: Sequence[str], known: Prepared | None, multiple: int
) -> Inputs:
    """Inputs without targets for the network of a config.

    Args:
        config: The config, whose data section says how bytes are scaled and images cropped.
        given: The inputs.
        names: What the network calls its inputs.
        known: How its examples were prepared; None: the inputs can be of any shape.
        multiple: What the number of examples is made a multiple of.

    Raises:
        DataError: If they cannot be had, or are not like the examples of the data.
    """
    return given_inputs(given, names, config.data, known, multiple=multiple)


def known_of(config: RunConfig, written: Mapping[str, Any] | None) -> Prepared:
    """How the examples of a config were prepared.

    Args:
        config: The config, whose data is loaded if nothing else says so.
        written: What ``prepared_for`` gave when the network was trained, if it is known.
    """
    known = None if written is None else from_json(written)
    return known or prepared(taken(load(config.data), config.training))

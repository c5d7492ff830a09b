"""Arrays in memory, and inputs without targets, for a config's network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from crossmesh.emulator.compiler.fitting import taken
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.data import Dataset, load
from crossmesh.emulator.data.errors import Place
from crossmesh.emulator.data.given import Given, Inputs, given_inputs
from crossmesh.emulator.data.npz import check_names, from_arrays
from crossmesh.emulator.data.prepared import Prepared, from_json, prepared
from crossmesh.emulator.data.python_data import named_arrays
from crossmesh.emulator.data.stored import in_memory

__all__ = [
    "ARCHIVE",
    "Array",
    "Given",
    "Inputs",
    "Prepared",
    "arrays_of",
    "dataset_of",
    "inputs_of",
    "known_of",
    "named_arrays",
    "prepared_for",
    "with_archive",
]

Array = NDArray[Any]
ARCHIVE = Path("data.npz")  # arrays that were given, in a run directory


def with_archive(config: RunConfig, file: Path = ARCHIVE) -> RunConfig:
    """A config whose data are the arrays of an archive, prepared as it says of its own.

    Args:
        config: The config.
        file: The archive, which need not be there where arrays in memory take its place.
    """
    return config.model_copy(update={"data": config.data.as_archive(file)})


def dataset_of(config: RunConfig, data: Any) -> Dataset:
    """A data set of examples in memory, prepared as the config's data section says.

    Args:
        config: The config.
        data: The examples, as ``crossmesh.emulator.data.python_data.named_arrays`` takes them.

    Raises:
        DataError: If they make no data set.
    """
    place = Place("data", "the arrays")
    stored = {name: in_memory(array) for name, array in arrays_of(config, data).items()}
    return from_arrays(config.name, config.data, stored, place)


def arrays_of(config: RunConfig, data: Any) -> dict[str, Array]:
    """Examples in memory as the arrays that a data set is made of, by name.

    Raises:
        DataError: If one is missing.
    """
    arrays = named_arrays(data)
    needed = check_names([*arrays], config.data, Place("data", "the arrays"))
    return {name: arrays[name] for name in needed}


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
    return known or prepared(taken(load(config.data), config))

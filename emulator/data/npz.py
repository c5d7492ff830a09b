"""NumPy archives: ``x_train``, ``y_train`` and perhaps ``x_test``, ``y_test``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from crossmesh.common.errors import DataError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.data.archive import array_names, stored_arrays
from crossmesh.emulator.data.columns import columns_of, side_by_side
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.errors import Place, listed
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.raw import Raw, assemble, byte_scale
from crossmesh.emulator.data.stored import Stored


def load_npz(config: DataConfig) -> Dataset:
    """The archive of ``data.file``; nothing in it is unpickled."""
    assert config.file is not None  # the config says so
    place = Place("data.file", str(config.file))
    return from_arrays(config.file.stem, config, _arrays(config, config.file, place), place)


def from_arrays(
    name: str, config: DataConfig, arrays: Mapping[str, Stored], place: Place
) -> Dataset:
    """A data set of arrays ``x_train``, ``y_train`` and perhaps ``x_test``, ``y_test``.

    Args:
        name: Name in reports.
        config: Says how they are prepared, and which arrays take the place of ``x``.
        arrays: Those that there are.
        place: Where they were found.
    """
    parts = ["train", "test"] if "y_test" in arrays else ["train"]
    raws = [_raw(arrays, part, config, place) for part in parts]
    columns = columns_of(_named(arrays, "train", config)) if config.columns else ()
    return assemble(name, config, raws[0], raws[1] if len(raws) > 1 else None, columns)


def names_of(part: str, config: DataConfig) -> list[str]:
    """Names of the arrays of a part of the data."""
    return [*(f"{name}_{part}" for name in config.columns or ("x",)), f"y_{part}"]


def _arrays(config: DataConfig, path: Path, place: Place) -> Mapping[str, Stored]:
    if not is_file(path):
        raise DataError(f"data.file must be a file, got {path}")

    def refusal(reason: object) -> DataError:
        return DataError(f"data.file must be an npz archive, got {path} ({reason})")

    there = array_names(path, refusal)
    return stored_arrays(path, refusal, check_names(there, config, place))


def check_names(there: Sequence[str], config: DataConfig, place: Place) -> list[str]:
    """The arrays that a data set is made of.

    Args:
        there: Names of the arrays that there are.
        config: Says which arrays take the place of ``x``.
        place: Where they were found.

    Raises:
        DataError: If one is missing.
    """
    optional = names_of("test", config)
    needed = names_of("train", config) + (optional if set(optional) & set(there) else [])
    for key in needed:
        if key not in there:
            raise DataError(f"{place.field} must hold {key}, got {listed(there)} in {place.name}")
    return needed


def _named(arrays: Mapping[str, Stored], part: str, config: DataConfig) -> list[tuple[str, Stored]]:
    return [(name, arrays[f"{name}_{part}"]) for name in config.columns or ()]


def _raw(arrays: Mapping[str, Stored], part: str, config: DataConfig, place: Place) -> Raw:
    *inputs, y = names_of(part, config)
    x_place = Place(place.field, f"{', '.join(inputs)} of {place.name}")
    named = _named(arrays, part, config)
    x = side_by_side(named, x_place) if named else arrays[inputs[0]]
    return Raw(
        x=x,
        y=arrays[y],
        x_place=x_place,
        y_place=Place(place.field, f"{y} of {place.name}"),
        full_scale=byte_scale(x, config),
    )

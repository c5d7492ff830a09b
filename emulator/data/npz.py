"""NumPy archives: ``x_train``, ``y_train`` and perhaps ``x_test``, ``y_test``."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crossmesh.common.errors import DataError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.data.archive import array_names, stored_arrays
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.errors import Place, listed
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.raw import BYTE_SCALE, Raw, assemble
from crossmesh.emulator.data.stored import Stored

NEEDED = ("x_train", "y_train")
OPTIONAL = ("x_test", "y_test")


def load_npz(config: DataConfig) -> Dataset:
    """The archive of ``data.file``; nothing in it is unpickled."""
    assert config.file is not None  # the config says so
    arrays = _arrays(config.file)
    train = _raw(arrays, "train", config.file)
    test = _raw(arrays, "test", config.file) if "x_test" in arrays else None
    return assemble(config.file.stem, config, train, test)


def _arrays(path: Path) -> Mapping[str, Stored]:
    if not is_file(path):
        raise DataError(f"data.file must be a file, got {path}")

    def refusal(reason: object) -> DataError:
        return DataError(f"data.file must be an npz archive, got {path} ({reason})")

    there = array_names(path, refusal)
    needed = NEEDED + (OPTIONAL if set(OPTIONAL) & set(there) else ())
    for key in needed:
        if key not in there:
            raise DataError(f"data.file must hold {key}, got {listed(there)} in {path}")
    return stored_arrays(path, refusal, needed)


def _raw(arrays: Mapping[str, Stored], part: str, path: Path) -> Raw:
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    return Raw(
        x=x,
        y=y,
        x_place=Place("file", f"x_{part} of {path}"),
        y_place=Place("file", f"y_{part} of {path}"),
        full_scale=BYTE_SCALE if x.dtype == np.uint8 else 1.0,
    )

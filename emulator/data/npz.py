"""NumPy archives: ``x_train``, ``y_train`` and perhaps ``x_test``, ``y_test``."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.data.config import DataConfig
from emulator.data.errors import DataError, Place
from emulator.data.examples import Dataset
from emulator.data.raw import BYTE_SCALE, Raw, assemble

NEEDED = ("x_train", "y_train")
OPTIONAL = ("x_test", "y_test")


def load_npz(config: DataConfig) -> Dataset:
    """The archive of ``data.file``; nothing in it is unpickled."""
    assert config.file is not None  # the config says so
    arrays = _read(config.file)
    train = _raw(arrays, "train", config.file)
    test = _raw(arrays, "test", config.file) if "x_test" in arrays else None
    return assemble(config.file.stem, config, train, test)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise DataError(f"data.file must be a file, got {path}")
    # Checked first, as numpy takes anything else for a pickle and speaks of that.
    if not zipfile.is_zipfile(path):
        raise DataError(f"data.file must be an npz archive, got {path}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            needed = NEEDED + (OPTIONAL if set(OPTIONAL) & set(archive.files) else ())
            missing = [key for key in needed if key not in archive.files]
            if missing:
                raise DataError(
                    f"data.file must hold {missing[0]}, got {', '.join(archive.files)} in {path}"
                )
            return {key: archive[key] for key in needed}
    except DataError:
        raise
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"data.file must be an npz archive, got {path} ({error})") from None


def _raw(arrays: dict[str, NDArray[Any]], part: str, path: Path) -> Raw:
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    return Raw(
        x=x,
        y=y,
        x_place=Place("file", f"x_{part} of {path}"),
        y_place=Place("file", f"y_{part} of {path}"),
        full_scale=BYTE_SCALE if x.dtype == np.uint8 else 1.0,
    )

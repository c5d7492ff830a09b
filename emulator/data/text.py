"""Text, learnt character by character: after each, the next is to be told."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.data.config import DataConfig
from emulator.data.errors import DataError, Place
from emulator.data.examples import Dataset, Examples
from emulator.data.files import content, find_file
from emulator.data.published import TEXT, located


def load_text(config: DataConfig) -> Dataset:
    """Windows of ``data.steps`` characters; the targets are the characters that follow each.

    Windows begin every ``data.steps`` characters. What is left at the end of the text to train on,
    and of the text to test with, is dropped.

    Raises:
        DataError: If there is no such text, or less than a window of it.
    """
    name, path, field = _place(config)
    characters, tokens = _tokens(_text(path, field))
    n_train = len(tokens) - round(len(tokens) * config.test_fraction)
    parts = (tokens[:n_train], tokens[n_train:])
    if min(map(len, parts)) <= config.steps:
        raise DataError(
            f"data.steps must be less than the characters to train on and to test with in {path} "
            f"({len(parts[0])} and {len(parts[1])}), got {config.steps}"
        )
    train, test = (_windows(part, config.steps) for part in parts)
    return Dataset(
        name=name,
        train=train,
        test=test,
        shape=(config.steps,),
        n_outputs=len(characters),
        tokens=len(characters),
        characters=characters,
    )


def _place(config: DataConfig) -> tuple[str, Path, str]:
    """What the text is called, its file, and the field that leads there."""
    if config.file is not None:
        return config.file.stem, config.file, "file"
    folder = located("tinyshakespeare", config)
    path = find_file(folder, TEXT)
    assert path is not None  # the folder was chosen for it
    return folder.resolve().name, path, "directory"


def _text(path: Path, field: str) -> str:
    if not path.is_file():
        raise DataError(f"data.{field} must be a file, got {path}")
    place = Place(field, str(path))
    try:
        # Decoded by itself, for a file opened as text loses what its line ends were.
        return content(path, place).decode()
    except UnicodeDecodeError as error:
        raise place.refusal("text in UTF-8", error) from None


def _tokens(text: str) -> tuple[str, NDArray[np.int64]]:
    """The characters of a text in order, each once, and the number of each of the text's."""
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
    found, tokens = np.unique(codes, return_inverse=True)
    return "".join(map(chr, found)), tokens


def _windows(tokens: NDArray[np.int64], steps: int) -> Examples:
    """Whole windows of inputs, and the targets one character later, both ``(windows, steps)``."""
    n = (len(tokens) - 1) // steps * steps
    inputs = tokens[:n].reshape(-1, steps).astype(np.float32)
    targets = tokens[1 : n + 1].reshape(-1, steps).astype(np.int32)
    return Examples(inputs, targets)

"""Text, learnt character by character: the one that follows each, or the case of each."""

import codecs
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common import free_memory
from crossmesh.common.errors import DataError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.errors import Place
from crossmesh.emulator.data.examples import Dataset, Examples
from crossmesh.emulator.data.files import chunks, find_file, opened
from crossmesh.emulator.data.published import TEXT, located


def load_text(config: DataConfig) -> Dataset:
    """Windows of ``data.steps`` characters, with a target for each character.

    Windows begin every ``data.steps`` characters. What is left at the end of the text to train on,
    and of the text to test with, is dropped.

    Raises:
        DataError: If there is no such text, or less than a window of it.
    """
    name, path, field = _place(config)
    if not is_file(path):
        raise DataError(f"data.{field} must be a file, got {path}")
    characters, tokens = _tokens(path, Place(f"data.{field}", str(path)))
    n_train = len(tokens) - round(len(tokens) * config.test_fraction)
    parts = (tokens[:n_train], tokens[n_train:])
    n_outputs, windows = len(characters), _windows
    if config.targets == "case":
        case = _Case(characters)
        characters, n_outputs, windows = case.kept, 2, case.windows
    if min(map(len, parts)) <= config.steps:
        raise DataError(
            f"data.steps must be less than the characters to train on and to test with in {path} "
            f"({len(parts[0])} and {len(parts[1])}), got {config.steps}"
        )
    train, test = (windows(part, config.steps) for part in parts)
    return Dataset(
        name=name,
        train=train,
        test=test,
        shape=(config.steps,),
        n_outputs=n_outputs,
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
    return Path(os.path.realpath(folder)).name, path, "directory"


def _tokens(path: Path, place: Place) -> tuple[str, NDArray[np.unsignedinteger[Any]]]:
    """The characters of a text in order, each once, and the number of each of the text's."""
    is_there, n = np.zeros(sys.maxunicode + 1, np.bool_), 0
    for codes in _codes(path, place):
        is_there[codes] = True
        n += len(codes)
    found = np.flatnonzero(is_there)
    dtype = np.min_scalar_type(max(0, len(found) - 1))
    needed = n * dtype.itemsize
    if (free := free_memory.lacking(needed)) is not None:
        rule = f"what fits in the {free_memory.in_words(free)} of memory that are free"
        raise place.refusal(rule, f"{n} characters, which take {free_memory.in_words(needed)}")
    number_of = np.zeros(len(is_there), dtype)
    number_of[found] = np.arange(len(found))
    tokens, done = np.empty(n, dtype), 0
    for codes in _codes(path, place):
        codes = codes[: n - done]  # of a file that has grown meanwhile
        tokens[done : done + len(codes)] = number_of[codes]
        done += len(codes)
    return "".join(map(chr, found)), tokens[:done]


def _codes(path: Path, place: Place) -> Iterator[NDArray[np.uint32]]:
    """The characters of a text as numbers, piece by piece.

    Line ends stay what they are.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    done, kept = 0, 0
    try:
        with opened(path, place) as file:
            limit = None if path.suffix == ".gz" else path.stat().st_size
            for piece in chunks(file, limit):
                kept = len(decoder.getstate()[0])
                text = decoder.decode(piece)
                yield np.frombuffer(text.encode("utf-32-le"), "<u4")
                done += len(piece)
        kept = len(decoder.getstate()[0])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise place.refusal("text in UTF-8", _described(error, done, kept)) from None


def _described(error: UnicodeDecodeError, done: int, kept: int) -> str:
    """What is wrong, and where in the file, of which ``kept`` bytes before ``done`` were left."""
    return (
        f"'utf-8' codec can't decode byte 0x{error.object[error.start]:02x} "
        f"in position {done - kept + error.start}: {error.reason}"
    )


def _windows(tokens: NDArray[np.unsignedinteger[Any]], steps: int) -> Examples:
    """Whole windows of inputs, and the targets one character later, both ``(windows, steps)``."""
    n = (len(tokens) - 1) // steps * steps
    return Examples(tokens[:n].reshape(-1, steps), tokens[1 : n + 1].reshape(-1, steps))


class _Case:
    """Characters whose case is the target.

    Args:
        characters: All that there are.

    Attributes:
        kept: Those that are left without case, in order.
    """

    def __init__(self, characters: str) -> None:
        lower = [c.lower() if len(c.lower()) == 1 else c for c in characters]
        self.kept = "".join(sorted(set(lower)))
        self._numbers = np.array([self.kept.index(c) for c in lower])
        self._is_capital = np.array([a != b for a, b in zip(characters, lower, strict=True)])

    def windows(self, tokens: NDArray[np.unsignedinteger[Any]], steps: int) -> Examples:
        """Whole windows of inputs, and 1 for each of their characters that was a capital."""
        whole = tokens[: len(tokens) // steps * steps].reshape(-1, steps)
        numbers = self._numbers.astype(tokens.dtype)[whole]
        return Examples(numbers, self._is_capital.astype(tokens.dtype)[whole])

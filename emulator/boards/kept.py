"""The state of a simulated board in a file, so that its devices survive the process."""

import os
import tempfile
import threading
import warnings
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from crossmesh.common.errors import ConfigError, DataError
from crossmesh.emulator.boards.simulated import SimulatedBoard
from crossmesh.tiles.analog.array import State, state_digest

_EVERY_S = 2.0


class KeptBoard:
    """Within, the state of a board is kept in a file: every 2 s if it changes, and at the end.

    Args:
        board: The board, which takes over what the file holds.
        path: The file, an archive of NumPy's; None: nothing is kept.
        made_of: Digest of what the board is.

    Raises:
        ConfigError: If the file is of another board.
        DataError: If it cannot be read, or is damaged.
    """

    def __init__(self, board: SimulatedBoard, path: Path | None, made_of: bytes) -> None:
        self._board, self._path = board, path
        self._made_of = np.frombuffer(made_of, np.uint8)
        self._kept = b""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        if path is not None and path.exists():
            board.load(self._read(path))

    def __enter__(self) -> Self:
        if self._path is not None:
            self._save()  # a folder that cannot be written shows now
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._path is not None:
            self._ends.set()
            self._thread.join()
            self._save()

    def _keep(self) -> None:
        while not self._ends.wait(_EVERY_S):
            self._save()

    def _save(self) -> None:
        """Write the file if something has changed since."""
        assert self._path is not None
        state = self._board.saved()
        digest = state_digest(state)
        if digest == self._kept:
            return
        try:
            _write(self._path, {"made_of": self._made_of, **state})
            self._kept = digest
        except OSError as error:
            reason = error.strerror or str(error)
            if not self._kept:  # the first time
                raise ConfigError(f"--state {self._path} must be writable: {reason}") from None
            warnings.warn(f"{self._path} cannot be written: {reason}", stacklevel=1)

    def _read(self, path: Path) -> State:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                state = {name: archive[name] for name in archive.files}
            made_of = state.pop("made_of").tobytes()
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"--state {path} must be a state of a board, got {error}") from None
        if made_of != self._made_of.tobytes():
            raise ConfigError(
                f"--state {path} must be of a board of this device, size, seed, stuck and wear, "
                "got another one's"
            )
        return state


def _write(path: Path, state: State) -> None:
    """Write an archive, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, **state)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

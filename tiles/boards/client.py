"""The client of a board: what can be asked of it, in requests of a size that it takes."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.boards.access import Access, BoardError
from crossmesh.tiles.boards.hardware import Array, Description, Lines
from crossmesh.tiles.boards.messages import Malformed, array_of, number_of
from crossmesh.tiles.boards.session import Session
from crossmesh.tiles.boards.splitting import blocks, parts


class Status(NamedTuple):
    """How a board is.

    Attributes:
        time_s: Seconds since it started.
        celsius: Its temperature, or NaN where it does not say.
        done: Requests that it has carried out for this client.
    """

    time_s: float
    celsius: float
    done: int


class BoardClient:
    """One user of a board, over any line. What is too long for one request is sent in several.

    Args:
        access: How it is reached.
        say: Takes a line for people, when the board vanishes and when it is back.
    """

    def __init__(self, access: Access, say: Callable[[str], None] = lambda line: None) -> None:
        self._session = Session(access, say)
        self._address = access.address

    @property
    def description(self) -> Description:
        """What the board is."""
        return self._session.description

    @property
    def starts(self) -> int:
        """How often it was found to have started anew."""
        return self._session.starts

    def read(self, rows: Lines, cols: Lines) -> Array:
        """Conductances ``(len(rows), len(cols))`` in siemens."""
        siemens = np.empty((len(rows), len(cols)), np.float32)
        for i, j in blocks(len(rows), len(cols), self.description.max_cells):
            answer = self._session.asked("read", rows=rows[i], cols=cols[j])
            siemens[i, j] = self._array(answer, "siemens", siemens[i, j].shape)
        return siemens

    def pulse(
        self, rows: Lines, cols: Lines, counts: NDArray[np.int16], volts: float = 0.0,
        width_s: float = 0.0, read: tuple[Lines, Lines] | None = None,
    ) -> Array:  # fmt: skip
        """Pulse devices in their order, see ``Hardware``; then read some lines, if asked to.

        Returns:
            ``(rows, cols)`` conductances of ``read``, in siemens; else nothing.
        """
        shape = (0, 0) if read is None else (len(read[0]), len(read[1]))
        is_long = shape[0] * shape[1] > self.description.max_cells
        pieces = parts(len(rows), self.description.max_cells)
        answer: dict[str, Any] = {}
        for piece in pieces:
            wanted = {}
            if read is not None and piece is pieces[-1] and not is_long:
                wanted = {"read_rows": read[0], "read_cols": read[1]}
            answer = self._session.asked(
                "pulse", rows=rows[piece], cols=cols[piece], counts=counts[piece], volts=volts,
                width_s=width_s, **wanted,
            )  # fmt: skip
        if read is None:
            return np.zeros(0, np.float32)
        return self.read(*read) if is_long else self._array(answer, "siemens", shape)

    def set(
        self, rows: Lines, cols: Lines, siemens: Array, tolerance: float = 0.0, pulses: int = 100
    ) -> Array:
        """Bring devices to conductances.

        Args:
            rows: ``(n,)`` word line of each device.
            cols: ``(n,)`` its bit line.
            siemens: ``(n,)`` what is wanted.
            tolerance: Error in siemens with which a board that verifies is content.
            pulses: Pulses of a device at most, where the board sets it by pulses.

        Returns:
            ``(n,)`` conductances as read afterwards.
        """
        found = np.empty(len(rows), np.float32)
        for some in parts(len(rows), self.description.max_cells):
            answer = self._session.asked(
                "set", rows=rows[some], cols=cols[some], siemens=siemens[some],
                tolerance=tolerance, pulses=pulses,
            )  # fmt: skip
            found[some] = self._array(answer, "siemens", (len(rows[some]),))
        return found

    def product(self, rows: Lines, cols: Lines, volts: Array, *, backward: bool = False) -> Array:
        """Currents in amperes, see ``Hardware``."""
        shape = len(volts), len(rows if backward else cols)
        amperes = np.empty(shape, np.float32)
        longest = max(len(rows), len(cols), 1)
        for some in parts(len(volts), max(self.description.max_cells // longest, 1)):
            answer = self._session.asked(
                "product", rows=rows, cols=cols, volts=volts[some], backward=backward
            )
            amperes[some] = self._array(answer, "amperes", amperes[some].shape)
        return amperes

    def status(self) -> Status:
        """How the board is."""
        answer = self._session.asked("status")
        celsius: Any = answer.get("celsius")
        degrees = float(celsius) if isinstance(celsius, int | float) else np.nan
        try:
            return Status(number_of(answer, "time_s"), degrees, int(number_of(answer, "done")))
        except Malformed as error:
            raise self._wrong(error) from None

    def close(self) -> None:
        """End the connection."""
        self._session.close()

    def _array(self, answer: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Array:
        try:
            return array_of(answer, name, shape).astype(np.float32)
        except Malformed as error:
            raise self._wrong(error) from None

    def _wrong(self, error: Malformed) -> BoardError:
        return BoardError(f"the board {self._address} answers what it should not: {error}")

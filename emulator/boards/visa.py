"""A board made of laboratory instruments, by PyVISA: devices are read and pulsed one by one."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError, RunError
from crossmesh.emulator.boards.instruments import WAIT, InstrumentBoard
from crossmesh.tiles.boards.hardware import Array, Lines

_NO_NUMBER = 9.905e37  # from here on SCPI means that there is no number: 9.91e37; 9.9e37: too large


class VisaBoard:
    """Instruments as a ``Hardware``. A context manager, which lets go of them.

    Args:
        board: Which instruments, and what they are sent.

    Raises:
        ConfigError: If they cannot be reached.
    """

    def __init__(self, board: InstrumentBoard) -> None:
        self.description = board.description
        self._board = board
        self._manager, self._error = _library(board.visa)
        self._instruments = {name: self._opened(name) for name in board.instruments}

    def __enter__(self) -> Self:
        try:
            self._send(self._board.commands.start)
        except BaseException:
            self._manager.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            self._send(self._board.commands.open)
            self._send(self._board.commands.end)
        finally:
            self._manager.close()

    def read(self, rows: Lines, cols: Lines) -> Array:
        """Currents over the voltage of a read."""
        volts, commands = self._board.read_v, self._board.commands
        siemens = np.zeros((len(rows), len(cols)), np.float32)
        for a, i in enumerate(rows):
            for b, j in enumerate(cols):
                with self._connected(i, j):
                    self._send(commands.read, volts=volts)
                    siemens[a, b] = self._measured(volts) / volts
        return siemens

    def pulse(
        self, rows: Lines, cols: Lines, counts: NDArray[np.int16], volts: float, width_s: float
    ) -> None:
        """Pulse after pulse, device after device."""
        board = self._board
        for i, j, count in zip(rows, cols, counts, strict=True):
            if not count:
                continue
            own = board.up_v if count > 0 else board.down_v
            given = float(np.copysign(volts or abs(own), own))
            with self._connected(i, j):
                for _ in range(abs(int(count))):
                    self._send(board.commands.pulse, volts=given, width_s=width_s or board.pulse_s)

    @contextlib.contextmanager
    def _connected(self, row: np.uint16, col: np.uint16) -> Iterator[None]:
        """One device, disconnected afterwards, whatever happens meanwhile."""
        board = self._board
        try:
            self._send(
                board.commands.close, row=board.first_row + int(row), col=board.first_col + int(col)
            )
            yield
        finally:
            self._send(board.commands.open)

    def _measured(self, volts: float) -> float:
        """Current in amperes, at most ``limit_a``."""
        ((name, text),) = self._board.commands.measure.items()
        answer = self._exchanged(name, self._said(text, volts=volts))
        try:
            amperes = float(answer.split(",")[self._board.item])
        except (ValueError, IndexError):
            raise ValueError(f"{name} answers {answer[:40]!r}, which holds no current") from None
        if not abs(amperes) < _NO_NUMBER:
            raise ValueError(f"{name} answers {answer[:40]!r}, which means that it has no current")
        limit = self._board.limit_a
        return max(-limit, min(limit, amperes))

    def _send(self, commands: Iterable[Mapping[str, str]], **values: Any) -> None:
        """Send commands in their order, and wait for the answers of questions."""
        for entry in commands:
            ((name, text),) = entry.items()
            said = self._said(text, **values)
            if name == WAIT:
                time.sleep(float(said))
            else:
                self._exchanged(name, said)

    def _exchanged(self, name: str, said: str) -> str:
        """The answer of an instrument to a question; to a command, nothing."""
        instrument = self._instruments[name]
        try:
            if said.endswith("?"):
                return str(instrument.query(said))
            instrument.write(said)
        except (self._error, OSError) as error:
            raise RunError(f"{name} does not take {said!r}: {error}") from None
        return ""

    def _said(self, text: str, **values: Any) -> str:
        return text.format(limit_a=self._board.limit_a, **values)

    def _opened(self, name: str) -> Any:
        """An instrument, ready to be talked to."""
        what = self._board.instruments[name]
        ends = {"read_termination": what.ending, "write_termination": what.ending}
        baud = {} if what.baud is None else {"baud_rate": what.baud}
        try:
            return self._manager.open_resource(
                what.resource, timeout=1e3 * what.timeout_s, **ends, **baud
            )
        except (self._error, OSError, ValueError) as error:
            self._manager.close()
            raise ConfigError(
                f"instruments.{name}.resource must be one that can be opened, got "
                f"{what.resource}: {error}"
            ) from None


def _library(name: str) -> tuple[Any, type[Exception]]:
    """PyVISA's resource manager for a library, and the class of its errors.

    Raises:
        ConfigError: If PyVISA or the library is not there.
    """
    try:
        import pyvisa
    except ImportError:
        raise ConfigError("instruments need PyVISA: pip install 'crossmesh[boards]'") from None
    try:
        return pyvisa.ResourceManager(name), pyvisa.Error
    except (pyvisa.Error, OSError, ValueError) as error:
        raise ConfigError(
            f"visa must be a VISA library that is installed, got {name!r}: {error}"
        ) from None

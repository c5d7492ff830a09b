"""Phase-change memories of a simulated board, which are written and never pulsed."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Purpose, Stream
from crossmesh.emulator.boards.devices import Where
from crossmesh.tiles.analog.array import Array, State
from crossmesh.tiles.analog.cells import PcmMemory
from crossmesh.tiles.boards.hardware import Lines
from crossmesh.tiles.boards.serving import RequestRefused

_MOST_DRAWS = 16  # of one write


class WrittenMemories:
    """The memories of the 2PCM+3T1C cell: a RESET and a graded SET bring them to a conductance.

    Args:
        memory: Their parameters.
        stream: Random numbers of the board.
        start: ``(rows, cols)`` share of the range at which each begins; NaN: as a RESET leaves it.
        drifts: Whether conductances fall as time goes by.
    """

    def __init__(self, memory: PcmMemory, stream: Stream, start: Array, *, drifts: bool) -> None:
        self.electrical = memory.electrical
        self._memory, self._stream = memory, stream
        self._now_s = 0.0
        self._normal = stream.normal(Purpose.DRIFT, start.shape)  # of each one's exponent
        reset = memory.written(np.zeros(start.shape, np.float32), self._drawn(0, start.shape))
        off, on = self.electrical.off_siemens, self.electrical.on_siemens
        placed = (off + start * (on - off)).astype(np.float32)
        self._written = np.where(np.isnan(start), reset, placed)
        self._written_s = np.full(start.shape, np.inf)  # the clock then; what is stuck keeps this
        self._drifts = drifts

    def until(self, now_s: float) -> None:
        """Let time pass."""
        self._now_s = now_s

    def siemens(self, where: Where) -> Array:
        """Conductances as written, and as they have drifted since."""
        written: Array = self._written[where]
        if not self._drifts:
            return written
        exponents = self._memory.exponents(written, self._normal[where])
        age_s = np.maximum(self._now_s - self._written_s[where], 0)
        return written * self._memory.left(exponents, age_s)

    def deviations(self, siemens: Array) -> Array:
        """As the memory's read noise says."""
        at_zero, slope = self._memory.read_noise_siemens, self._memory.read_noise_slope
        deviation: Array = np.abs(np.float32(at_zero) + np.float32(slope) * siemens)
        return deviation

    def pulse(self, rows: Lines, cols: Lines, counts: NDArray[np.int16], number: int) -> None:
        """There is nothing that a pulse of a given size does to them in this model."""
        raise RequestRefused("these memories are set, not pulsed")

    def set(self, rows: Lines, cols: Lines, siemens: Array, number: int) -> None:
        """Write each once."""
        where = rows, cols
        self._written[where] = self._memory.written(siemens, self._drawn(number, siemens.shape))
        self._written_s[where] = self._now_s

    def _drawn(self, number: int, shape: tuple[int, ...]) -> "_Draws":
        return _Draws(self._stream, number, shape)

    def saved(self) -> State:
        """Conductances as written, and when."""
        return {"written": self._written, "written_s": self._written_s}


class _Draws:
    """Standard normal numbers for one write.

    Args:
        stream: Random numbers of the board.
        number: Of the write.
        shape: Of what is written.
    """

    def __init__(self, stream: Stream, number: int, shape: tuple[int, ...]) -> None:
        self._stream, self._number, self._shape = stream, number, shape

    def __call__(self, draw: int) -> Array:
        """The numbers of that draw."""
        shape = (1, self._shape[0]) if len(self._shape) == 1 else self._shape
        draw += _MOST_DRAWS * self._number
        normal = self._stream.normal(Purpose.PROGRAMMING, (shape[0], shape[1]), draw=draw)
        return normal.reshape(self._shape)

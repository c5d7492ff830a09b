"""What an array of devices can do, as who owns it tells us: the interface behind a server."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Lines = NDArray[np.uint16]
Array = NDArray[np.float32]
ABILITIES = ("set", "product", "celsius")  # beyond reading and pulsing


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a board is.

    Attributes:
        name: For people.
        rows: Word lines.
        cols: Bit lines.
        off_siemens: Smallest conductance of a typical device.
        on_siemens: Largest conductance of a typical device.
        read_v: Voltage of a read.
        pulse_v: Largest voltage of a pulse.
        pulse_s: Width of a pulse, unless another one is asked for.
        can: Which of ``ABILITIES`` it has.
        row_read_s: Seconds that reading devices of one word line takes; 0: unknown.
        row_write_s: Seconds that pulsing devices of one word line takes; 0: unknown.
        max_cells: Devices of a request at most, which clients split; in a product, vectors of as
            many numbers, or one.
    """

    name: str
    rows: int
    cols: int
    off_siemens: float
    on_siemens: float
    read_v: float = 0.1
    pulse_v: float = 1.0
    pulse_s: float = 1e-6
    can: tuple[str, ...] = field(default=())
    row_read_s: float = 0.0
    row_write_s: float = 0.0
    max_cells: int = 65536

    def __post_init__(self) -> None:
        for name in ("rows", "cols", "max_cells"):
            if not 1 <= getattr(self, name) <= 65536:
                raise ValueError(
                    f"Description.{name} must be 1 to 65536, got {getattr(self, name)}"
                )
        if not 0 <= self.off_siemens < self.on_siemens:
            raise ValueError(
                "Description.on_siemens must be above off_siemens, and that not below 0, got "
                f"{self.off_siemens:g} and {self.on_siemens:g}"
            )
        if "product" in self.can and self.max_cells < max(self.rows, self.cols):
            raise ValueError(
                "Description.max_cells must be at least the longest line of a board that makes "
                f"products, {max(self.rows, self.cols)}, got {self.max_cells}"
            )
        if unknown := set(self.can) - set(ABILITIES):
            raise ValueError(f"Description.can must be of {', '.join(ABILITIES)}, got {unknown}")


class Hardware(Protocol):
    """An array of devices that a server offers.

    What else one can do, ``AbleHardware`` says. One without ``set`` is written by pulses.

    Attributes:
        description: What it is.
    """

    @property
    def description(self) -> Description: ...  # noqa: D102  because the class says it

    def read(self, rows: Lines, cols: Lines) -> Array:
        """Conductances ``(len(rows), len(cols))`` at the crossings of some lines, in siemens."""
        ...

    def pulse(
        self, rows: Lines, cols: Lines, counts: NDArray[np.int16], volts: float, width_s: float
    ) -> None:
        """Pulse devices one after the other, in this order.

        Args:
            rows: ``(n,)`` word line of each device.
            cols: ``(n,)`` its bit line.
            counts: ``(n,)`` pulses: above 0 up, below 0 down.
            volts: Amplitude; 0: as the board does.
            width_s: Width; 0: as the board does.
        """
        ...


class AbleHardware(Hardware, Protocol):
    """What hardware can do besides; each is asked for only where its description has it."""

    def set(self, rows: Lines, cols: Lines, siemens: Array) -> None:
        """Bring devices, given as in ``pulse``, as near to ``(n,)`` conductances as they come."""
        ...

    def product(self, rows: Lines, cols: Lines, volts: Array, *, backward: bool) -> Array:
        """Currents of lines while the others are driven.

        Args:
            rows: Word lines that take part.
            cols: Bit lines that take part.
            volts: ``(n, len(rows))``, or ``(n, len(cols))`` if ``backward``.
            backward: Whether bit lines are driven, and word lines read.

        Returns:
            ``(n, len(cols))``, or ``(n, len(rows))`` if ``backward``, in amperes.
        """
        ...

    def celsius(self) -> float:
        """Temperature of the board."""
        ...

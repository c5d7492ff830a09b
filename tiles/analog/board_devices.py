"""An array of devices that lie on a board, with the face of one that is emulated."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import Array, DeviceArray, State
from crossmesh.tiles.analog.element import Element
from crossmesh.tiles.analog.on_board import BoardPlane, Ends
from crossmesh.tiles.analog.pulser import Counts, Site, Trains
from crossmesh.tiles.analog.update import BITS
from crossmesh.tiles.boards.hardware import Lines

_NO_NOISE = 0.0, 0.0


def array_of(
    device: Element, site: Site, part: int = 0, plane: str = "devices", number: int = 0
) -> DeviceArray:
    """Devices of one kind, one per crosspoint: emulated, or on the tile's board.

    Args:
        device: Parameters of the devices.
        site: Shape, random numbers and settings.
        part: Which of the cell's devices these are.
        plane: Plane of the cell that they belong to.
        number: Number of the array in the plane.
    """
    if site.board is None or not site.board.holds(plane):
        return DeviceArray(device, site, part)
    plane_of = site.board.plane(plane, number, site.shape, known_ends(device))
    return BoardDevices(device, site, part, plane_of)


def known_ends(device: Any) -> Ends | None:
    """Conductances at the bounds of a device, if they were measured or published for it."""
    own, default = device.electrical, type(device).model_fields["electrical"].default
    ends = own.off_siemens, own.on_siemens
    return None if ends == (default.off_siemens, default.on_siemens) else ends


class Pulsed(NamedTuple):
    """Devices in the order in which they are pulsed.

    Attributes:
        rows: ``(n,)`` word line of each.
        cols: ``(n,)`` bit line of each.
        counts: ``(n,)`` pulses: above 0 up, below 0 down.
    """

    rows: Lines
    cols: Lines
    counts: NDArray[np.int16]


def pulsed_by(pulses: Trains | Counts, cols: int) -> Pulsed:
    """What pulses do to devices: example after example, word line after word line.

    Args:
        pulses: Of some examples.
        cols: Bit lines.
    """
    if isinstance(pulses, Counts):
        return _pulsed_by_counts(pulses.counts, pulses.first_row)
    found = [
        _pulsed_by_counts(_coincidences(rows, columns[:cols]), 0)
        for rows, columns in zip(pulses.rows, pulses.columns, strict=True)
    ]
    if not found:
        return _pulsed_by_counts(np.zeros((0, cols), np.int16), 0)
    return Pulsed(*(np.concatenate(each) for each in zip(*found, strict=True)))


def _pulsed_by_counts(counts: NDArray[np.int16], first_row: int) -> Pulsed:
    rows, cols = np.nonzero(counts)
    return Pulsed((rows + first_row).astype(np.uint16), cols.astype(np.uint16), counts[rows, cols])


def _coincidences(rows: NDArray[np.uint32], columns: NDArray[np.uint32]) -> NDArray[np.int16]:
    """``(rows, cols)`` pulses of every device by the trains of one example."""
    both = np.bitwise_count(rows[:, np.newaxis] & columns & BITS).astype(np.int16)
    is_up = (rows[:, np.newaxis] ^ columns) <= BITS
    return np.where(is_up, both, -both)


class _Bare:
    """A device without what the board itself does to it: noise of writes and reads, and decay.

    Args:
        device: What it is otherwise.
    """

    write_deviation = 0.0
    decay = None
    read_noise = _NO_NOISE

    def __init__(self, device: Element) -> None:
        self._device = device

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)


class BoardDevices(DeviceArray):
    """Devices on a board; ``state`` is what was read of them last.

    Args:
        device: What they are meant to be: their steps and bounds scale updates and weights.
        site: Shape, random numbers and settings.
        part: Which of the cell's devices these are.
        plane: Where they are.
    """

    def __init__(self, device: Element, site: Site, part: int, plane: BoardPlane) -> None:
        super().__init__(_Bare(device), site, part)
        self._plane = plane
        self._limits = device.limits

    @property
    def read_noise(self) -> tuple[float, float]:
        """None is added to that of the board."""
        return _NO_NOISE

    def write(self, values: Array) -> None:
        """Set the devices so that ``values`` are seen, as near as the board comes."""
        wanted = values + self._reference if self._reference.size else values
        self._plane.write(slice(0, len(wanted)), self._siemens(wanted))
        self._see()

    def pulse(self, pulses: Trains | Counts) -> None:
        """Send the pulses to the board, and read what they did."""
        self._send(pulsed_by(pulses, self.state.shape[1]))

    def pulse_counts(self, pulses: Counts) -> None:
        """Send every device its own number of pulses."""
        self._send(pulsed_by(pulses, self.state.shape[1]))

    def pulse_to(self, values: Array, example: int, max_pulses: int) -> None:
        """Have the board set the devices that hold something else."""
        wanted = values + self._reference if self._reference.size else values
        self._plane.rewrite(self._siemens(wanted))
        self._see()

    @contextlib.contextmanager
    def rewritten(self) -> Iterator[None]:
        """What is written to the state within this is set on the board."""
        yield
        self._plane.rewrite(self._siemens(self.state))
        self._see()

    def load(self, state: State, suffix: str = "") -> None:
        """Go on from a saved state: devices that have lost it are set again."""
        self._plane.restore(self._siemens(np.asarray(state[f"conductance{suffix}"], np.float32)))
        self._see()

    def product(self, x: Array, *, backward: bool) -> Array:
        """Product of ``(vectors, inputs)`` with what is seen of the devices, by the board."""
        (lower, upper), (low, high) = self._limits, self._plane.ends
        per_siemens = (upper - lower) / (high - low)
        y = np.float32(per_siemens) * self._plane.product(x, backward=backward)
        y += x.sum(axis=1, keepdims=True) * np.float32(lower - low * per_siemens)
        if self._reference.size:
            y -= x @ (self._reference.T if backward else self._reference)
        return y

    def _send(self, pulsed: Pulsed) -> None:
        self._plane.pulse(*pulsed)
        self._see()

    def _siemens(self, values: Array) -> Array:
        (lower, upper), (low, high) = self._limits, self._plane.ends
        share = (np.clip(values, lower, upper) - lower) / (upper - lower)
        return (low + share * (high - low)).astype(np.float32)

    def _see(self) -> None:
        (lower, upper), (low, high) = self._limits, self._plane.ends
        share = (self._plane.siemens - np.float32(low)) / np.float32(high - low)
        self.state[:] = np.float32(lower) + share * np.float32(upper - lower)
        if not self._sees_all:
            self.seen[:] = self.state - self._reference

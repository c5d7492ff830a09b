"""Crossbars of one device per cell, read against nothing or against a shared reference."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import (
    FLOAT_BYTES,
    Array,
    Factor,
    State,
    device_bytes,
)
from crossmesh.tiles.analog.board_devices import array_of
from crossmesh.tiles.analog.element import Element
from crossmesh.tiles.analog.pulser import Pulser, Site


def alone_bytes(device: Element) -> int:
    """Bytes that a crossbar keeps per cell that is a device alone, read against nothing."""
    return device_bytes(device) + FLOAT_BYTES * any(device.read_noise)


class AloneCrossbar:
    """One device per cell.

    Args:
        device: Parameters of the devices.
        site: Shape, random numbers and settings.
        references: ``(rows, 1)`` conductance that the devices of a word line are read against;
            None: 0.
    """

    def __init__(self, device: Element, site: Site, references: Array | None = None) -> None:
        self._devices = array_of(device, site)
        self._references = references
        self._read_noise = self._devices.read_noise
        self._lower = np.float32(device.limits[0])
        self._pulser = Pulser(site, device.granularity)
        seen = self._devices.seen
        self.weights = seen if references is None else np.zeros(site.shape, np.float32)
        self.variance = np.zeros(site.shape, np.float32) if any(self._read_noise) else None

    @property
    def ages(self) -> bool:
        """Whether cells change with time alone."""
        return self._devices.decays

    @property
    def pulses(self) -> int:
        """Pulses sent so far."""
        return self._pulser.pulses

    def write(self, weights: Array) -> None:
        """Set every device within its bounds."""
        self._devices.write(weights if self._references is None else weights + self._references)
        self._read()

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Draw pulses and apply them."""
        for pulses in self._pulser.draw(x, d, rate, first_example):
            self._devices.pulse(pulses)
        self._read()

    def pulse_counts(self, counts: NDArray[np.int16], rows: slice, example: int) -> None:
        """Send devices as many pulses as ``counts`` says."""
        self._devices.pulse_counts(self._pulser.counted(counts, rows, example))
        self._read()

    def product(self, x: Array, *, backward: bool) -> Array:
        """Product of ``(vectors, inputs)`` with the weights, made by a board."""
        y: Array = self._devices.product(x, backward=backward)
        if self._references is not None:
            shared = np.broadcast_to(self._references, self.weights.shape)
            y = y - x @ (shared.T if backward else shared)
        return y

    def arrays(self) -> list[tuple[Factor, Array]]:
        """The devices, and the array of references; conductances count from the lower bound.

        References of the devices' own and those of word lines stand in one array.
        """
        seen, own = self._devices.seen, self._devices.reference
        reference = own if self._references is None else own + self._references
        return [
            (1.0, seen + own - self._lower),
            (-1.0, np.broadcast_to(reference - self._lower, seen.shape)),
        ]

    def state(self) -> State:
        """The conductances."""
        return self._devices.saved("_0")

    def load(self, state: State) -> None:
        """Take over saved conductances."""
        self._devices.load(state, "_0")
        self._read()

    def _read(self) -> None:
        if self._references is not None:
            np.subtract(self._devices.seen, self._references, out=self.weights)
        if self.variance is not None:
            at_zero, slope = self._read_noise
            self.variance[:] = np.square(
                np.float32(at_zero) + np.float32(slope) * self._devices.seen
            )

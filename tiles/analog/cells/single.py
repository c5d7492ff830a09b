"""A device alone as a unit cell, read against nothing or against a shared reference."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.array import (
    FLOAT_BYTES,
    Array,
    DeviceArray,
    Factor,
    State,
    device_bytes,
)
from crossmesh.tiles.analog.cells.base import UnitCell
from crossmesh.tiles.analog.costs import CellCosts
from crossmesh.tiles.analog.devices import AnyDevice, ConstantStep, Device
from crossmesh.tiles.analog.devices.limits import Level
from crossmesh.tiles.analog.devices.unsupported import of_devices
from crossmesh.tiles.analog.pulser import Pulser, Site


class SharedReference(UnitCell):
    """A device against one that its word line shares: ``w = g - g_reference``.

    The reference devices stand at one conductance, as well as they could be set, and are never
    pulsed. This is how devices that hold only positive conductances hold weights of both signs
    with half of a pair's devices.

    Attributes:
        device: Parameters of the devices.
        reference: Conductance of the reference, normalised; by default the middle of the
            device's range.
        reference_noise: Spread of the reference between word lines, absolute. Source: assumed.
    """

    why_without: ClassVar[dict[str, str]] = of_devices("cell.device")

    kind: Literal["shared_reference"] = "shared_reference"
    device: AnyDevice = ConstantStep()
    reference: Level | None = None
    reference_noise: float = Field(0.0, ge=0, le=1e6)

    @property
    def n_arrays(self) -> int:
        """The devices, and what they are read against."""
        return 2

    @property
    def middle(self) -> float:
        """Mean conductance of the references."""
        if self.reference is not None:
            return self.reference
        return sum(self.device.limits) / 2

    @property
    def reach(self) -> float:
        """Largest weight that a typical cell holds in both directions."""
        lower, upper = self.device.limits
        return min(upper - self.middle, self.middle - lower) or upper - lower

    @property
    def largest_conductance(self) -> float:
        """Largest conductance of a typical device or its reference above the lower bound."""
        reference = self.middle + self.device.largest_reference - self.device.limits[0]
        return max(self.device.largest_conductance, reference)

    @property
    def costs(self) -> CellCosts:
        """Those of a device alone, as the shipped tables count."""
        return self.device.costs

    @property
    def cell_bytes(self) -> int:
        """Bytes that a crossbar keeps per cell: those of a device alone, and the weight."""
        return alone_bytes(self.device) + FLOAT_BYTES

    def crossbar(self, site: Site) -> "AloneCrossbar":
        """A crossbar of such cells."""
        normal = site.stream.normal(Purpose.REFERENCE, (site.shape[0], 1))
        references = np.float32(self.middle) + np.float32(self.reference_noise) * normal
        return AloneCrossbar(self.device, site, references)


def alone_bytes(device: Device) -> int:
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

    def __init__(self, device: Device, site: Site, references: Array | None = None) -> None:
        self._devices = DeviceArray(device, site)
        self._references = references
        self._read_noise = device.read_noise
        self._lower = np.float32(device.limits[0])
        self._pulser = Pulser(site, device.granularity)
        seen = self._devices.seen
        self.weights = seen if references is None else np.zeros(site.shape, np.float32)
        self.variance = np.zeros(site.shape, np.float32) if any(device.read_noise) else None

    @property
    def pulses(self) -> int:
        """Pulses sent so far."""
        return self._pulser.pulses

    def write(self, weights: Array) -> None:
        """Set every device within its bounds."""
        self._devices.write(weights if self._references is None else weights + self._references)
        self._read()

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Draw pulse trains and apply their coincidences."""
        self._devices.pulse(self._pulser.trains(x, d, rate, first_example))
        self._read()

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

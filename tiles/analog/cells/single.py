"""A device as a unit cell that is read against a shared reference."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.array import FLOAT_BYTES
from crossmesh.tiles.analog.cells.alone import AloneCrossbar, alone_bytes
from crossmesh.tiles.analog.cells.base import UnitCell
from crossmesh.tiles.analog.costs import CellCosts
from crossmesh.tiles.analog.devices import AnyDevice, ConstantStep
from crossmesh.tiles.analog.devices.limits import Level
from crossmesh.tiles.analog.devices.unsupported import of_devices
from crossmesh.tiles.analog.pulser import Site


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
    def devices(self) -> Sequence[Any]:
        """Those of its arrays."""
        return (self.device,)

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
    def planes(self) -> Mapping[str, int]:
        """The devices."""
        return self.device.planes

    @property
    def costs(self) -> CellCosts:
        """Those of a device alone; references are one column of an array."""
        return self.device.costs

    @property
    def granularity(self) -> float:
        """That of the device."""
        return self.device.granularity

    @property
    def cell_bytes(self) -> int:
        """Bytes that a crossbar keeps per cell: those of a device alone, and the weight."""
        return alone_bytes(self.device) + FLOAT_BYTES

    def crossbar(self, site: Site) -> AloneCrossbar:
        """A crossbar of such cells."""
        normal = site.stream.normal(Purpose.REFERENCE, (site.shape[0], 1))
        references = np.float32(self.middle) + np.float32(self.reference_noise) * normal
        return AloneCrossbar(self.device, site, references)

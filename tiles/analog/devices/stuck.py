"""Devices that do not move: stuck at one of their bounds, or anywhere between."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossmesh.common.frozen import Frozen, Many
from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.devices.kernels import LOWER, STEP_DOWN, STEP_UP, UPPER

Place = Literal["on", "off", "random"]


class StuckDevice(Frozen):
    """A device that is known to be stuck.

    Attributes:
        row: Word line of the device, from 0.
        col: Bit line of the device, from 0.
        at: ``on``: its upper bound, ``off``: its lower bound, ``random``: anywhere between.
    """

    row: int = Field(ge=0)
    col: int = Field(ge=0)
    at: Place = "off"


class Stuck(Frozen):
    """Which devices of an array do not move.

    A map is a list of ``devices``; it may stand in a device file of its own, which others extend.
    Entries beyond a tile's word lines and bit lines are left out.

    Attributes:
        fraction: Part of all devices that is stuck, drawn device by device.
        at: State in which these are stuck.
        devices: Devices that are stuck whatever is drawn, in every tile and part of a cell.
    """

    fraction: float = Field(0.0, ge=0, le=1)
    at: Place = "random"
    devices: Many[StuckDevice] = ()

    def hold(self, parameters: NDArray[np.float32], stream: Stream, part: int) -> None:
        """Give stuck devices bounds that hold them, and no steps.

        Args:
            parameters: ``(n_parameters, rows, cols)``, changed in place.
            stream: Random numbers of the tile.
            part: Which of the cell's devices this array is.
        """
        shape = (parameters.shape[1], parameters.shape[2])
        drawn, share = (
            stream.uniform(Purpose.STUCK, shape, part=part, draw=draw) for draw in range(2)
        )
        places = {"off": np.zeros_like(share), "on": np.ones_like(share), "random": share}
        lower, upper = parameters[LOWER].copy(), parameters[UPPER].copy()
        stuck = drawn < self.fraction
        at = places[self.at].copy()
        for device in self.devices:
            if device.row < shape[0] and device.col < shape[1]:
                where = device.row, device.col
                stuck[where], at[where] = True, places[device.at][where]
        value = lower + at * (upper - lower)
        parameters[LOWER][stuck] = parameters[UPPER][stuck] = value[stuck]
        parameters[STEP_UP][stuck] = parameters[STEP_DOWN][stuck] = 0

"""Boards in threads of this process, for tests."""

import contextlib
import threading
from typing import NamedTuple

import numpy as np

from crossmesh.emulator.boards.simulated import SimulatedBoard, Simulation
from crossmesh.tiles.analog.devices import SoftBounds
from crossmesh.tiles.boards.access import Access
from crossmesh.tiles.boards.addresses import Address, address_of
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.hardware import Description
from crossmesh.tiles.boards.listening import serve
from crossmesh.tiles.boards.serving import Service

DEVICE = SoftBounds(step=0.01, device_noise=0.2, cycle_noise=0.3)
RETRIES = {"answer_s": 0.3, "first_s": 0.2, "patience_s": 8.0}  # of tests that lose answers


def simulated(rows=6, cols=5, **fields):
    """A small board."""
    return SimulatedBoard(Simulation(device=DEVICE, rows=rows, cols=cols, **fields))


def lines(*numbers):
    return np.array(numbers, np.uint16)


ALL = lines(*range(6)), lines(*range(5))


class Steps:
    """An array whose pulses add a step each.

    Attributes:
        pulsed: Devices in the order in which they were pulsed.
    """

    description = Description(
        name="steps", rows=6, cols=5, off_siemens=0, on_siemens=1e-4, max_cells=16
    )

    def __init__(self):
        self.siemens = np.full((6, 5), 2e-5, np.float32)
        self.pulsed = []

    def read(self, rows, cols):
        return self.siemens[np.ix_(rows, cols)]

    def pulse(self, rows, cols, counts, volts, width_s):
        for row, col, count in zip(rows, cols, counts, strict=True):
            self.siemens[row, col] = np.clip(self.siemens[row, col] + 1e-6 * count, 0, 1e-4)
            self.pulsed.append((int(row), int(col)))


class Serving(NamedTuple):
    """A board that is being served.

    Attributes:
        address: Where it listens.
        hardware: The board.
    """

    address: Address
    hardware: SimulatedBoard

    def access(self, **fields):
        return Access(self.address, **{**RETRIES, **fields})

    def met(self, **fields):
        """A client, which is closed at the end."""
        return contextlib.closing(BoardClient(self.access(**fields)))


@contextlib.contextmanager
def served(at, hardware=None, token=None, keys=None):
    """Within, a board is served in a thread."""
    hardware = hardware or simulated()
    found, listens, ends = [], threading.Event(), threading.Event()

    def ready(address):
        found.append(address)
        listens.set()

    service = Service(hardware, token)
    arguments = (service, address_of(str(at)), keys, ready, ends.is_set)
    thread = threading.Thread(target=serve, args=arguments)
    thread.start()
    try:
        assert listens.wait(20)
        yield Serving(found[0], hardware)
    finally:
        ends.set()
        thread.join(20)
        assert not thread.is_alive()

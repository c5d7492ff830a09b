"""A board of soft-bounds devices whose law is known, with faults where a test puts them."""

import queue
import threading
import time
from contextlib import contextmanager

import numpy as np

from crossmesh.tiles.boards.access import Access
from crossmesh.tiles.boards.addresses import Address
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.hardware import Description
from crossmesh.tiles.boards.listening import serve
from crossmesh.tiles.boards.serving import Service

OFF, ON = 1e-6, 21e-6


class LawBoard:
    """Steps ``step * (on - g)`` up and ``step * (g - off)`` down, with noise of steps and reads.

    Args:
        rows, cols: Its size.
        step: Share of the distance to a bound that a pulse takes.
        cycle_noise: Of a step, relative.
        read_noise: Siemens.
        can: Its abilities.
        tau_s: Time constant with which conductance is lost.
    """

    def __init__(
        self, rows, cols, *, step=0.03, cycle_noise=0.0, read_noise=0.0, can=(), tau_s=np.inf
    ):
        self.description = Description(
            name="law", rows=rows, cols=cols, off_siemens=OFF, on_siemens=ON, can=can
        )
        self.step, self.cycle_noise, self.read_noise = step, cycle_noise, read_noise
        self.rng = np.random.default_rng(1)
        self.g = self.rng.uniform(OFF + 5e-6, ON - 5e-6, (rows, cols))
        self.stuck = np.zeros((rows, cols), bool)
        self.offset = np.zeros(cols)
        self.tau_s, self.then = tau_s, time.monotonic()

    def read(self, rows, cols):
        then, self.then = self.then, time.monotonic()
        self.g *= np.exp((then - self.then) / self.tau_s)
        noise = self.read_noise * self.rng.standard_normal((len(rows), len(cols)))
        return (self.g[np.ix_(rows, cols)] + self.offset[cols] + noise).astype(np.float32)

    def pulse(self, rows, cols, counts, volts, width_s):
        for i, j, count in zip(rows, cols, counts, strict=True):
            if self.stuck[i, j]:
                continue
            for _ in range(abs(count)):
                noisy = self.step * (1 + self.cycle_noise * self.rng.standard_normal())
                self.g[i, j] += noisy * ((ON - self.g[i, j]) if count > 0 else (OFF - self.g[i, j]))

    def set(self, rows, cols, siemens):
        move = ~self.stuck[rows, cols]
        self.g[rows[move], cols[move]] = siemens[move]


@contextmanager
def served(board, path, token=None):
    """An address at which a board is served by a thread: a socket, or with a token a port."""
    stop, ready = threading.Event(), queue.Queue()
    address = Address("unix", str(path)) if token is None else Address("tcp", "127.0.0.1", 0)
    thread = threading.Thread(
        target=serve, args=(Service(board, token), address),
        kwargs={"ready": ready.put, "stop": stop.is_set},
    )  # fmt: skip
    thread.start()
    try:
        yield ready.get(timeout=10)
    finally:
        stop.set()
        thread.join()


@contextmanager
def client(board, path):
    """A client of a board that is served meanwhile."""
    with served(board, path) as address:
        found = BoardClient(Access(address, patience_s=10))
        try:
            yield found
        finally:
            found.close()

"""A board that is simulated: devices of a model, with what real boards add to them."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.common.random import Purpose, Stream
from crossmesh.emulator.boards.devices import Population, PulsedDevices
from crossmesh.emulator.boards.memories import WrittenMemories
from crossmesh.tiles.analog.array import Array, State
from crossmesh.tiles.analog.cells import PcmMemory
from crossmesh.tiles.analog.devices import Device
from crossmesh.tiles.boards.hardware import Description, Lines
from crossmesh.tiles.boards.serving import RequestRefused

_MOST_CELLS = 4096  # of a request: on a serial line of 115,200 baud, seconds
_STUCK, _WORN = 1, 2  # parts of the random numbers, beside those of the devices' own model
_WEAR_SPREAD = 0.3  # of the logarithm of the pulses that a device bears; assumed


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What a simulated board is.

    Attributes:
        device: Model of its devices, or of memories that are written.
        rows: Word lines.
        cols: Bit lines.
        name: For people.
        seed: Of everything that is random.
        read_noise: Deviation from read to read, as a share of the range; None: as the device says.
        stuck: Share of the devices that do not move; they stand anywhere in the range.
        wear: Pulses and writes after which a device no longer moves, in the median; None: never.
        drift: Whether conductances change with the time of the clock: memories drift, devices
            lose what their ``retention`` says.
        row_read_s: Seconds that reading a word line takes.
        row_write_s: Seconds that pulsing or setting devices of a word line takes; a line that
            comes again after another one takes them again.
        without: Abilities that it lacks: ``set``, ``product``.
        celsius: Temperature that it tells; None: it tells none.
    """

    device: Device | PcmMemory
    rows: int
    cols: int
    name: str = "simulated"
    seed: int = 0
    read_noise: float | None = None
    stuck: float = 0.0
    wear: float | None = None
    drift: bool = False
    row_read_s: float = 0.0
    row_write_s: float = 0.0
    without: tuple[str, ...] = ()
    celsius: float | None = None

    def __post_init__(self) -> None:
        if unknown := set(self.without) - {"set", "product"}:
            raise ConfigError(f"without must be of set, product, got {', '.join(unknown)}")
        if isinstance(self.device, PcmMemory) and "set" in self.without:
            raise ConfigError("without must leave set to memories that are never pulsed, got set")

    def population(self, start: Array) -> Population:
        """Its devices, which begin at some shares of their range; see ``PulsedDevices``."""
        stream = Stream(seed=self.seed, owner=0)
        if isinstance(self.device, PcmMemory):
            return WrittenMemories(self.device, stream, start, drifts=self.drift)
        return PulsedDevices(self.device, stream, start, forgets=self.drift)

    @property
    def can(self) -> tuple[str, ...]:
        """Its abilities."""
        all_ = ("set", "product", *(("celsius",) if self.celsius is not None else ()))
        return tuple(ability for ability in all_ if ability not in self.without)

    @property
    def digest(self) -> bytes:
        """sha256 of all that decides which devices these are."""
        what = self.device, self.rows, self.cols, self.seed, self.stuck, self.wear
        return hashlib.sha256(repr(what).encode()).digest()


class SimulatedBoard:
    """A board whose devices are simulated; the same requests in the same order give the same bits.

    Args:
        simulation: What it is.
        clock: Seconds, with which devices change where they drift.
    """

    def __init__(self, simulation: Simulation, clock: Callable[[], float] = time.time) -> None:
        self._simulation, self._clock = simulation, clock
        shape = simulation.rows, simulation.cols
        self._stream = Stream(seed=simulation.seed, owner=0)
        drawn, place = (
            self._stream.uniform(Purpose.STUCK, shape, part=_STUCK, draw=draw) for draw in range(2)
        )
        self._is_stuck = drawn < simulation.stuck
        self._devices = simulation.population(np.where(self._is_stuck, place, np.float32(np.nan)))
        self._used = np.zeros(shape, np.int64)  # pulses and writes
        self._bears = self._borne(shape)
        self._counts = np.zeros(2, np.int64)  # what has been read, what has been written
        self._lock = threading.Lock()
        electrical = self._devices.electrical
        self.description = Description(
            name=simulation.name, rows=shape[0], cols=shape[1],
            off_siemens=electrical.off_siemens, on_siemens=electrical.on_siemens,
            read_v=electrical.read_v, pulse_v=electrical.pulse_v, can=simulation.can,
            row_read_s=simulation.row_read_s, row_write_s=simulation.row_write_s,
            max_cells=max(_MOST_CELLS, *shape),
        )  # fmt: skip

    def _borne(self, shape: tuple[int, int]) -> NDArray[np.int64]:
        """``(rows, cols)`` pulses that each device bears."""
        if self._simulation.wear is None:
            return np.broadcast_to(np.int64(np.iinfo(np.int64).max), shape)
        normal = self._stream.normal(Purpose.STUCK, shape, part=_WORN)
        borne = self._simulation.wear * np.exp(_WEAR_SPREAD * normal.astype(float))
        return np.maximum(np.rint(borne), 1).astype(np.int64)

    def read(self, rows: Lines, cols: Lines) -> Array:
        """Conductances with read noise."""
        time.sleep(len(rows) * self._simulation.row_read_s)
        with self._in_time():
            siemens = self._devices.siemens(np.ix_(rows, cols))
            return siemens + self._deviations(siemens) * self._read_normal(siemens.shape)

    def product(self, rows: Lines, cols: Lines, volts: Array, *, backward: bool) -> Array:
        """Currents; the noise of a current is that of the devices that it flows through."""
        time.sleep(len(volts) * self._simulation.row_read_s)
        with self._in_time():
            siemens = self._devices.siemens(np.ix_(rows, cols))
            deviations = self._deviations(siemens)
            if backward:
                siemens, deviations = siemens.T, deviations.T
            spread = np.sqrt(np.square(volts) @ np.square(deviations))
            amperes: Array = volts @ siemens + spread * self._read_normal(spread.shape)
        return amperes

    def _deviations(self, siemens: Array) -> Array:
        share, electrical = self._simulation.read_noise, self._devices.electrical
        if share is None:
            return self._devices.deviations(siemens)
        deviation = share * (electrical.on_siemens - electrical.off_siemens)
        return np.full(siemens.shape, deviation, np.float32)

    def _read_normal(self, shape: tuple[int, ...]) -> Array:
        self._counts[0] += 1
        shape_ = shape[0], shape[1]
        return self._stream.normal(Purpose.INFERENCE_READ, shape_, draw=int(self._counts[0]))

    def pulse(
        self, rows: Lines, cols: Lines, counts: NDArray[np.int16], volts: float, width_s: float
    ) -> None:
        """Pulse devices; those that are there several times, in the order of the entries."""
        own = self.description
        for given, only, what in ((volts, own.pulse_v, "V"), (width_s, own.pulse_s, "s")):
            if given and not np.isclose(given, only, rtol=1e-6):
                raise RequestRefused(f"its pulses are of {only:g} {what}, got {given:g} {what}")
        self._write_for(rows)
        with self._in_time():
            for some in _turns(rows.astype(np.int64) * own.cols + cols):
                i, j = rows[some], cols[some]
                sent = self._moving(i, j, np.abs(counts[some].astype(np.int64)))
                signed = (np.sign(counts[some]) * sent).astype(np.int16)
                self._counts[1] += 1
                self._devices.pulse(i, j, signed, int(self._counts[1]))

    def set(self, rows: Lines, cols: Lines, siemens: Array) -> None:
        """Set devices; a write counts as one pulse in their wear."""
        self._write_for(rows)
        with self._in_time():
            moves = self._moving(rows, cols, np.ones(len(rows), np.int64)) > 0
            self._counts[1] += 1
            self._devices.set(rows[moves], cols[moves], siemens[moves], int(self._counts[1]))

    def _write_for(self, rows: Lines) -> None:
        """Take the time of word lines that are written one after the other, in their order."""
        lines = int(np.count_nonzero(np.diff(rows.astype(int)))) + (len(rows) > 0)
        time.sleep(lines * self._simulation.row_write_s)

    def _moving(self, rows: Lines, cols: Lines, pulses: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of ``(n,)`` pulses still move each device; all count in its wear."""
        left = np.maximum(self._bears[rows, cols] - self._used[rows, cols], 0)
        np.add.at(self._used, (rows, cols), pulses)
        return np.where(self._is_stuck[rows, cols], 0, np.minimum(pulses, left))

    def celsius(self) -> float:
        """As it was told."""
        assert self._simulation.celsius is not None
        return self._simulation.celsius

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        """Alone, and with devices as they are now."""
        with self._lock:
            self._devices.until(self._clock())
            yield

    def saved(self) -> State:
        """Copies of all arrays that change."""
        with self._lock:
            return {name: array.copy() for name, array in self._arrays().items()}

    def load(self, state: State) -> None:
        """Take over a saved state.

        Raises:
            KeyError: If an array is missing.
            ValueError: If one has another shape.
        """
        for name, array in self._arrays().items():
            if state[name].shape != array.shape:
                raise ValueError(f"{name} has the shape {state[name].shape}")
            array[:] = state[name]

    def _arrays(self) -> State:
        return {"used": self._used, "counts": self._counts, **self._devices.saved()}


def _turns(devices: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """Entries of ``(n,)`` numbers of devices in turns, none of which has a device twice."""
    if not len(devices):
        return
    order = np.argsort(devices, kind="stable")
    ordered = devices[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    turn = np.empty(len(devices), np.int64)
    turn[order] = np.arange(len(devices)) - np.repeat(starts, np.diff(np.r_[starts, len(devices)]))
    yield from np.split(np.argsort(turn, kind="stable"), np.cumsum(np.bincount(turn))[:-1])

"""The devices of a simulated board: those that pulses move, and memories that are written."""

from typing import Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from crossmesh.common.bounded_yaml import parsed
from crossmesh.common.errors import ConfigError
from crossmesh.common.random import Purpose, Stream
from crossmesh.emulator.config.loading import load_cell
from crossmesh.tiles.analog.array import Array, DeviceArray, State
from crossmesh.tiles.analog.cells import Pcm3T1C, PcmMemory
from crossmesh.tiles.analog.costs import Electrical
from crossmesh.tiles.analog.crossbar import EXAMPLE_S
from crossmesh.tiles.analog.devices import DEVICES, Device
from crossmesh.tiles.analog.devices.kernels import LOWER, UPPER
from crossmesh.tiles.analog.pulser import Counts, Site
from crossmesh.tiles.analog.update import UpdateConfig
from crossmesh.tiles.boards.hardware import Lines

MEMORY = "pcm-memory"
_SET_PULSES = 1000  # of a device at most, until it has a conductance
Where = tuple[NDArray[Any], ...]  # of an array, as NumPy indexes it: rows, columns


def device_named(text: str) -> Device | PcmMemory:
    """The device that a board is made of.

    Args:
        text: Name of a shipped device, a device file, a kind, ``{kind: ..., ...}``, or
            ``pcm-memory``: the memories of the 2PCM+3T1C cell of Ambrogio et al. 2018. Of a whole
            cell of that kind, its memories.

    Raises:
        ConfigError: If it is none, or a cell of several devices.
    """
    if text == MEMORY:
        return PcmMemory()
    if text in DEVICES:
        device: Device = DEVICES[text]()
        return device
    cell = load_cell(_mapping(text) if text.lstrip().startswith("{") else text)
    if isinstance(cell, Pcm3T1C):
        return cell.pcm
    if not isinstance(cell, Device):
        raise ConfigError(f"DEVICE must be a device alone, got a cell of kind {cell.kind}")
    return cell


def _mapping(text: str) -> dict[str, Any]:
    try:
        tree = parsed(text)
    except yaml.YAMLError:
        tree = None
    if not isinstance(tree, dict):
        raise ConfigError(f"DEVICE must be YAML like {{kind: soft_bounds}}, got {text}")
    return tree


class Population(Protocol):
    """Devices at all crosspoints of a board; conductances in siemens.

    Attributes:
        electrical: What a device is at its terminals.
    """

    electrical: Electrical

    def until(self, now_s: float) -> None:
        """Let time pass up to a reading of the board's clock."""
        ...

    def siemens(self, where: Where) -> Array:
        """Conductances at some crosspoints, without read noise."""
        ...

    def deviations(self, siemens: Array) -> Array:
        """Deviations from read to read at conductances."""
        ...

    def pulse(self, rows: Lines, cols: Lines, counts: NDArray[np.int16], number: int) -> None:
        """Pulse ``(n,)`` devices, each of which is there once; ``number`` keys the noise."""
        ...

    def set(self, rows: Lines, cols: Lines, siemens: Array, number: int) -> None:
        """Set ``(n,)`` devices; of those that are there several times, the last counts."""
        ...

    def saved(self) -> State:
        """The arrays that change, by name."""
        ...


class PulsedDevices:
    """Devices of any model that pulses move.

    Args:
        device: The model.
        stream: Random numbers of the board.
        start: ``(rows, cols)`` share of the range at which each begins; NaN: at normalised 0, or
            the bound that is nearest to it.
        forgets: Whether conductance is lost with time, as the device's ``retention`` says.
    """

    def __init__(self, device: Device, stream: Stream, start: Array, *, forgets: bool) -> None:
        self.electrical = device.electrical
        self._device = device
        self._array = DeviceArray(device, Site(start.shape, stream, UpdateConfig(), EXAMPLE_S))
        self._lower, upper = (np.float32(limit) for limit in device.limits)
        self._range = upper - self._lower
        self._reference = np.broadcast_to(self._array.reference, start.shape)
        wanted = np.where(np.isnan(start), 0, self._lower + start * self._range)
        self._array.write(wanted.astype(np.float32) - self._reference)
        forgetful = forgets and device.decay
        self._loss = _Loss(device, self._array, stream, ~np.isnan(start)) if forgetful else None

    def until(self, now_s: float) -> None:
        """Lose conductance, if devices do."""
        if self._loss is not None:
            self._loss.until(now_s)

    def siemens(self, where: Where) -> Array:
        """Conductances, linear in the normalised ones."""
        normalised = self._array.seen[where] + self._reference[where]
        share = (normalised - self._lower) / self._range
        off, on = self.electrical.off_siemens, self.electrical.on_siemens
        return (np.float32(off) + share * np.float32(on - off)).astype(np.float32)

    def _normalised(self, siemens: Array) -> Array:
        off, on = self.electrical.off_siemens, self.electrical.on_siemens
        share = (siemens - np.float32(off)) / np.float32(on - off)
        return (self._lower + share * self._range).astype(np.float32)

    def deviations(self, siemens: Array) -> Array:
        """As the device's read noise says."""
        at_zero, slope = self._device.read_noise
        normalised = np.float32(at_zero) + np.float32(slope) * self._normalised(siemens)
        off, on = self.electrical.off_siemens, self.electrical.on_siemens
        deviation: Array = np.abs(normalised) * np.float32(on - off) / self._range
        return deviation

    def pulse(self, rows: Lines, cols: Lines, counts: NDArray[np.int16], number: int) -> None:
        """Move each by its pulses."""
        if not len(rows):
            return
        first = int(rows.min())
        dense = np.zeros((int(rows.max()) - first + 1, self._array.state.shape[1]), np.int16)
        dense[rows - first, cols] = counts
        self._array.pulse_counts(Counts(dense, first, len(self._array.state), number))

    def set(self, rows: Lines, cols: Lines, siemens: Array, number: int) -> None:
        """Pulse each until half a step or less is missing; others keep their states."""
        where = rows, cols
        kept = {name: array.copy() for name, array in self._array.saved().items()}
        others = np.ones(self._array.state.shape, np.bool_)
        others[where] = False
        wanted = self._array.state.copy()
        if self._device.moves_one_way:
            wanted[:] = self._lower  # where a reset leads, without pulses
        wanted[where] = self._normalised(siemens)
        self._array.pulse_to(wanted - self._reference, number, _SET_PULSES)
        for name, array in self._array.saved().items():
            array[others] = kept[name][others]

    def saved(self) -> State:
        """States and histories."""
        return self._array.saved() | (self._loss.saved() if self._loss else {})


class _Loss:
    """Exponential loss of conductance with the time of a clock.

    Args:
        device: What is lost how fast.
        array: The devices.
        stream: Random numbers of the board.
        held: ``(rows, cols)`` devices that lose nothing.
    """

    def __init__(
        self, device: Device, array: DeviceArray, stream: Stream, held: NDArray[np.bool_]
    ) -> None:
        assert device.decay is not None
        normal = stream.normal(Purpose.RETENTION, array.state.shape)
        time_s = device.decay.time_s * np.abs(1 + device.decay.device_noise * normal)
        self._time_s = np.where(held, np.inf, time_s)
        lower, upper = array.parameters.values(LOWER), array.parameters.values(UPPER)
        self._end = np.clip(0, lower, upper)
        self._array = array
        self._seen_s = np.full((1, 1), np.nan)  # the clock when it was applied last

    def until(self, now_s: float) -> None:
        """Apply what is lost since the last time."""
        passed_s = now_s - self._seen_s[0, 0]
        self._seen_s[:] = now_s
        if passed_s > 0:
            with self._array.rewritten(), np.errstate(divide="ignore"):
                left = np.exp(-passed_s / self._time_s).astype(np.float32)
                self._array.state[:] = self._end + (self._array.state - self._end) * left

    def saved(self) -> State:
        """When it was applied last."""
        return {"lost_until_s": self._seen_s}

"""The capacitor cells of the 2PCM+3T1C cells: voltages, the weights that they make, their leak."""

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Purpose
from crossmesh.tiles.analog.array import Array, DeviceArray
from crossmesh.tiles.analog.cells.pcm_3t1c.clock import LEAK_EVERY
from crossmesh.tiles.analog.cells.pcm_3t1c.readout import SLOPE, THRESHOLD, leak, read_cells
from crossmesh.tiles.analog.devices.capacitor import Capacitor
from crossmesh.tiles.analog.devices.kernels import STEP_DOWN, STEP_UP
from crossmesh.tiles.analog.parameters import Parameters
from crossmesh.tiles.analog.pulser import Counts, Site, Trains

_CELL, _SHARED = 0, 2  # parts: the cells at the crosspoints, and those that word lines share


class CapacitorCells:
    """A capacitor cell at every crosspoint, and one that each word line shares.

    Args:
        capacitor: Parameters of the capacitor cells.
        unit_siemens: Conductance of a weight of 1.
        site: Shape, random numbers and settings.
        reference_leaks: Whether the shared cells leak like the others.

    Attributes:
        shared: ``(rows,)`` weight of the shared cells.
    """

    def __init__(
        self, capacitor: Capacitor, unit_siemens: float, site: Site, *, reference_leaks: bool
    ) -> None:
        self._capacitor = capacitor
        self._unit = np.float32(unit_siemens)
        self._example_s = site.example_s
        self._reference_leaks = reference_leaks
        self._devices = DeviceArray(capacitor, site, _CELL)
        slope, threshold = capacitor.transistors(site.shape, site.stream, _CELL)
        normal = site.stream.normal(Purpose.RETENTION, site.shape)
        kept = capacitor.kept(LEAK_EVERY * site.example_s, normal)
        self._cells = Parameters.packed(np.stack([slope / self._unit, threshold, kept]))
        self._shared_cells = capacitor.transistors((site.shape[0], 1), site.stream, _SHARED)
        self.shared = np.zeros(site.shape[0], np.float32)

    @property
    def voltage(self) -> Array:
        """``(rows, cols)`` volts, the state."""
        return self._devices.state

    def pulse(self, pulses: Trains | Counts) -> None:
        """Apply pulses."""
        self._devices.pulse(pulses)

    def leak(self) -> None:
        """Let every cell leak for ``LEAK_EVERY`` examples."""
        if self._capacitor.leak_s is not None:
            leak(self.voltage, self._cells, self._capacitor.asymptote_v)

    def share(self, count: int, written: NDArray[np.int64]) -> None:
        """Set the weights of the shared cells.

        Args:
            count: Examples seen.
            written: ``(rows,)`` examples seen when each word line was last written.
        """
        capacitor = self._capacitor
        voltage = np.full(len(self.shared), capacitor.initial_v, np.float32)
        if self._reference_leaks:
            last = count // LEAK_EVERY * LEAK_EVERY
            age = np.maximum(last - written, 0) * self._example_s
            left = np.exp(-age / capacitor.leak_s) if capacitor.leak_s else np.ones(len(age))
            end = capacitor.asymptote_v
            voltage = (end + (capacitor.initial_v - end) * left).astype(np.float32)
        slope, threshold = (part[:, 0] for part in self._shared_cells)
        self.shared = slope / self._unit * self._overdrive(voltage - threshold)

    def at_start(self, rows: slice) -> Array:
        """Weights of some word lines' cells at their initial voltage."""
        slope, threshold = self._cells.values(SLOPE)[rows], self._cells.values(THRESHOLD)[rows]
        return slope * self._overdrive(np.float32(self._capacitor.initial_v) - threshold)

    def approach(self, rows: slice, wanted: Array) -> None:
        """Pulse the cells of some word lines from their initial voltage towards weights."""
        start = np.float32(self._capacitor.initial_v)
        way = self._voltage_for(rows, wanted) - start
        parameters = self._devices.parameters
        up, down = parameters.values(STEP_UP)[rows], parameters.values(STEP_DOWN)[rows]
        step = np.where(way > 0, up, down)
        reached = start + np.rint(way / np.maximum(step, np.float32(1e-9))) * step
        lower, upper = self._capacitor.limits
        self.voltage[rows] = np.clip(reached, np.float32(lower), np.float32(upper))

    def read(
        self, weights: Array, pairs: Array, polarity: Array, touched: NDArray[np.bool_]
    ) -> None:
        """Write the weights of the whole cells: ``pair + p * (g - g_shared)``.

        Args:
            weights: ``(rows, cols)``, written on touched word lines.
            pairs: ``(rows, cols)`` weights of the memories.
            polarity: ``(rows,)`` 1 or -1.
            touched: ``(rows,)`` word lines to look at.
        """
        read_cells(
            weights, pairs, self.voltage, self._cells, self.shared, polarity,
            self._capacitor.softness_v, touched,
        )  # fmt: skip

    def _overdrive(self, v: Array) -> Array:
        """As ``read_cells`` has it."""
        soft = np.float32(self._capacitor.softness_v)
        onset = np.square(np.maximum(v + soft, 0)) / (4 * soft)
        return np.where(v > soft, v, onset)

    def _voltage_for(self, rows: slice, weight: Array) -> Array:
        """Voltage at which cells have a weight: the inverse of ``read_cells``."""
        soft = np.float32(self._capacitor.softness_v)
        slope, threshold = self._cells.values(SLOPE)[rows], self._cells.values(THRESHOLD)[rows]
        over = np.maximum(weight / np.maximum(slope, np.float32(1e-9)), 0)
        return threshold + np.where(over > soft, over, 2 * np.sqrt(soft * over) - soft)

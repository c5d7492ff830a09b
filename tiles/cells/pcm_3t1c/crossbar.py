"""A crossbar of 2018's cells: updates, leak, drift, and transfers with polarity inversion."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tiles.array import Array, DeviceArray, Factor, Pulser, Site, State
from tiles.cells.pcm_3t1c.clock import DRIFT_EVERY, LEAK_EVERY, Clock
from tiles.cells.pcm_3t1c.readout import SLOPE, THRESHOLD, leak, read_cells
from tiles.devices.law import STEP_DOWN, STEP_UP
from tiles.parameters import Parameters
from tiles.random import Purpose

if TYPE_CHECKING:
    from tiles.cells.pcm_3t1c.cell import Pcm3T1C

_SIGN = np.uint32(0x80000000)
_CELL, _SHARED = 0, 2  # parts: the capacitor cells, and those that word lines share
_PLUS, _MINUS = 0, 1  # parts: the phase-change memories
_DRAWS = 16  # for one transfer
_MEASURED, _SETTLED = 0, 1  # draws of a transfer, beside those of the writes


class Pcm3T1CCrossbar:
    """Two phase-change memories and a capacitor cell at each crosspoint.

    All weights are relative to ``cell.unit_siemens``.

    Args:
        cell: What the cells are.
        site: Where.
    """

    def __init__(self, cell: "Pcm3T1C", site: Site) -> None:
        rows = site.shape[0]
        capacitor, transfer = cell.capacitor, cell.transfer
        self._cell = cell
        self._site = site
        self._unit = np.float32(cell.unit_siemens)
        self._clock = Clock(
            rows=rows,
            every=transfer.every if transfer else 0,
            examples_per_row=transfer.examples_per_row if transfer else 0,
        )
        self._capacitors = DeviceArray(capacitor, site, _CELL)
        slope, threshold = capacitor.transistors(site.shape, site.stream, _CELL)
        normal = site.stream.normal(Purpose.RETENTION, site.shape)
        kept = capacitor.kept(LEAK_EVERY * site.example_s, normal)
        self._cells = Parameters.packed(np.stack([slope / self._unit, threshold, kept]))
        self._shared_cells = capacitor.transistors((rows, 1), site.stream, _SHARED)
        self._pulser = Pulser(site, cell.granularity)
        self._written = [np.zeros(site.shape, np.float32) for _ in (_PLUS, _MINUS)]
        self._pairs = np.zeros(site.shape, np.float32)
        self._polarity = np.ones(rows, np.float32)
        self._reversal = np.zeros(rows, np.uint32)
        self._is_reversed = False
        self._shared = np.zeros(rows, np.float32)
        self._count = 0
        self.weights = np.zeros(site.shape, np.float32)
        self.variance = np.zeros(site.shape, np.float32) if cell.pcm.fluctuates else None

    @property
    def pulses(self) -> int:
        """Pulses sent so far."""
        return self._pulser.pulses

    @property
    def _voltage(self) -> Array:
        return self._capacitors.state

    def write(self, weights: Array) -> None:
        """Write the weights as a transfer does, into fresh cells."""
        self._count = 0
        self._settle()
        self._write(slice(0, len(weights)), weights.astype(np.float32), 0)
        self._read(self._everywhere)

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Pulse the capacitors; leak, drift and transfer when they are due."""
        for start, stop in self._clock.pieces(first_example, len(x)):
            trains = self._pulser.trains(x[start:stop], d[start:stop], rate, first_example + start)
            if self._is_reversed:
                np.bitwise_xor(trains.rows, self._reversal, out=trains.rows, where=trains.rows != 0)
            self._capacitors.pulse(trains)
            self._count = first_example + stop
            self._read(self._everywhere if self._wait() else trains.driven)
            rows = self._clock.due(self._count)
            if rows is not None:
                self._transfer(rows)

    def _wait(self) -> bool:
        """What time alone does; whether it did something."""
        leaks, drifts = self._count % LEAK_EVERY == 0, self._count % DRIFT_EVERY == 0
        if leaks:
            if self._cell.capacitor.leak_s is not None:
                leak(self._voltage, self._cells, self._cell.capacitor.asymptote_v)
            self._share(self._clock.written(self._count - 1))  # a transfer now comes after this
        if drifts:
            self._drift(self._clock.written(self._count - 1))
        return leaks or drifts

    # Transfers

    def _transfer(self, rows: slice) -> None:
        """Write the weights of some word lines into their pairs, and begin anew."""
        transfer = self._cell.transfer
        assert transfer is not None
        index = int(self._clock.transfers(self._count)[rows.start])
        noise = np.float32(transfer.read_noise_siemens) / self._unit
        measured = self.weights[rows] + noise * self._normal(rows, index, _MEASURED)
        self._settle()
        self._write(rows, measured, index)
        touched = np.zeros(len(self.weights), np.bool_)
        touched[rows] = True
        self._read(touched)

    def _write(self, rows: slice, wanted: Array, index: int) -> None:
        """Write pairs by RESET and SET, and let the capacitors correct what is missing."""
        transfer, pcm, gain = self._cell.transfer, self._cell.pcm, np.float32(self._cell.gain)
        polarity = self._polarity[rows, np.newaxis]
        offset = np.float32(transfer.offset_siemens if transfer else 0) / self._unit
        mismatch = self._conductance_at_start(rows) - self._shared[rows, np.newaxis]
        target = wanted - polarity * (offset + mismatch)
        left_to_capacitor = (polarity * target > 0) & (polarity * target < offset)
        target = np.where(left_to_capacitor, np.float32(0), target) * (self._unit / gain)
        for part, sign in ((_PLUS, 1), (_MINUS, -1)):
            draws = self._draws(rows, index, Purpose.TRANSFER, 1 + part)
            siemens = pcm.written(sign * target, draws)
            self._written[part][rows] = siemens * (gain / self._unit)
        self._pairs[rows] = self._written[_PLUS][rows] - self._written[_MINUS][rows]
        self._correct(rows, wanted - self._pairs[rows], index)
        self._scatter(rows)

    def _correct(self, rows: slice, missing: Array, index: int) -> None:
        """Pulse the capacitors, from their initial voltage, until the weight is as it should be."""
        transfer, capacitor = self._cell.transfer, self._cell.capacitor
        start = np.float32(capacitor.initial_v)
        if transfer:
            noise = np.float32(transfer.read_noise_siemens) / self._unit
            missing = missing + noise * self._normal(rows, index, _SETTLED)
        wanted = self._shared[rows, np.newaxis] + self._polarity[rows, np.newaxis] * missing
        way = self._voltage_for(rows, wanted) - start
        parameters = self._capacitors.parameters
        up, down = parameters.values(STEP_UP)[rows], parameters.values(STEP_DOWN)[rows]
        step = np.where(way > 0, up, down)
        reached = start + np.rint(way / np.maximum(step, np.float32(1e-9))) * step
        lower, upper = capacitor.limits
        self._voltage[rows] = np.clip(reached, np.float32(lower), np.float32(upper))

    def _conductance_at_start(self, rows: slice) -> Array:
        """Weight of the capacitor cells at their initial voltage."""
        slope, threshold = self._cells.values(SLOPE)[rows], self._cells.values(THRESHOLD)[rows]
        return slope * self._over(np.float32(self._cell.capacitor.initial_v) - threshold)

    def _over(self, v: Array) -> Array:
        """Overdrive, as ``read_cells`` has it."""
        soft = np.float32(self._cell.capacitor.softness_v)
        onset = np.square(np.maximum(v + soft, 0)) / (4 * soft)
        return np.where(v > soft, v, onset)

    def _voltage_for(self, rows: slice, weight: Array) -> Array:
        """Voltage at which capacitor cells have a weight: the inverse of ``read_cells``."""
        soft = np.float32(self._cell.capacitor.softness_v)
        slope, threshold = self._cells.values(SLOPE)[rows], self._cells.values(THRESHOLD)[rows]
        over = np.maximum(weight / np.maximum(slope, np.float32(1e-9)), 0)
        return threshold + np.where(over > soft, over, 2 * np.sqrt(soft * over) - soft)

    # What follows from the number of examples seen

    def _settle(self) -> None:
        """Polarity of each word line, and the weight of the cell that it shares."""
        if self._cell.polarity_inversion:
            odd = self._clock.transfers(self._count) % 2
            self._polarity = (1 - 2 * odd).astype(np.float32)
            self._reversal = np.where(odd, _SIGN, np.uint32(0)).astype(np.uint32)
            self._is_reversed = bool(odd.any())
        self._share(self._clock.written(self._count))

    def _share(self, written: NDArray[np.int64]) -> None:
        """Weight of the shared cells, given when each word line was last written."""
        capacitor = self._cell.capacitor
        voltage = np.full(len(self._shared), capacitor.initial_v, np.float32)
        if self._cell.reference_leaks:
            last = self._count // LEAK_EVERY * LEAK_EVERY
            age = np.maximum(last - written, 0) * self._site.example_s
            left = np.exp(-age / capacitor.leak_s) if capacitor.leak_s else np.ones(len(age))
            end = capacitor.asymptote_v
            voltage = (end + (capacitor.initial_v - end) * left).astype(np.float32)
        slope, threshold = (part[:, 0] for part in self._shared_cells)
        self._shared = slope / self._unit * self._over(voltage - threshold)

    def _drift(self, written: NDArray[np.int64]) -> None:
        """Let the phase-change memories drift, given when each word line was last written."""
        if self._cell.pcm.drift:
            plus, minus = self._drifted(written)
            np.subtract(plus, minus, out=self._pairs)

    def _drifted(self, written: NDArray[np.int64]) -> tuple[Array, Array]:
        """Both memories, for as long as they have not been written."""
        plus, minus = self._written
        if not self._cell.pcm.drift:
            return plus, minus
        last = self._count // DRIFT_EVERY * DRIFT_EVERY
        age = np.maximum(last - written, 0)[:, np.newaxis] * self._site.example_s
        if not age.any():
            return plus, minus
        return self._aged(_PLUS, age), self._aged(_MINUS, age)

    def _aged(self, part: int, age: NDArray[np.float64]) -> Array:
        """Memories that have drifted; their exponents are drawn again each time, never kept."""
        pcm, written, site = self._cell.pcm, self._written[part], self._site
        normal = site.stream.normal(Purpose.RETENTION, site.shape, draw=1 + part)
        siemens = written * (self._unit / np.float32(self._cell.gain))
        return written * pcm.left(pcm.exponents(siemens, normal), age)

    def _scatter(self, rows: slice) -> None:
        """Variance of the pairs from read to read; that of drifted ones is as when written."""
        if self.variance is None:
            return
        pcm = self._cell.pcm
        at_zero = np.float32(self._cell.gain * pcm.read_noise_siemens) / self._unit
        slope = np.float32(pcm.read_noise_slope)
        self.variance[rows] = sum(np.square(at_zero + slope * g[rows]) for g in self._written)

    def _read(self, touched: NDArray[np.bool_]) -> None:
        read_cells(
            self.weights, self._pairs, self._voltage, self._cells, self._shared, self._polarity,
            self._cell.capacitor.softness_v, touched,
        )  # fmt: skip

    @property
    def _everywhere(self) -> NDArray[np.bool_]:
        return np.ones(len(self.weights), np.bool_)

    # Random numbers of a transfer

    def _normal(self, rows: slice, index: int, draw: int) -> Array:
        return self._draws(rows, index, Purpose.TRANSFER, 0)(draw)

    def _draws(
        self, rows: slice, index: int, purpose: Purpose, part: int
    ) -> Callable[[int], Array]:
        shape = (rows.stop - rows.start, self.weights.shape[1])
        stream = self._site.stream

        def normal(draw: int) -> Array:
            number = index * _DRAWS + draw
            return stream.normal(purpose, shape, draw=number, part=part, first=(rows.start, 0))

        return normal

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Memories, capacitor cells and shared cells, relative to the range of a memory."""
        gain = np.float32(self._cell.gain)
        p = self._polarity[:, np.newaxis]
        shared = np.broadcast_to(self._shared[:, np.newaxis], self.weights.shape)
        cells = (self.weights - self._pairs) * p + shared
        plus, minus = self._drifted(self._clock.written(self._count))
        return [(1.0, plus), (-1.0, minus), (p / gain, gain * cells), (-p / gain, gain * shared)]

    # State

    def state(self) -> State:
        """Voltages, memories as they were written, and how many examples have been applied."""
        plus, minus = self._written
        count = np.array([self._count])
        return {"voltage": self._voltage, "plus": plus, "minus": minus, "examples": count}

    def load(self, state: State) -> None:
        """Take over a saved state."""
        self._count = int(state["examples"][0])
        self._voltage[:] = state["voltage"]
        for part, name in ((_PLUS, "plus"), (_MINUS, "minus")):
            self._written[part][:] = state[name]
        np.subtract(self._written[_PLUS], self._written[_MINUS], out=self._pairs)
        self._settle()
        self._drift(self._clock.written(self._count))
        self._scatter(slice(0, len(self.weights)))
        self._read(self._everywhere)

"""A crossbar of the 2PCM+3T1C cells of Ambrogio et al. 2018."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.array import Array, Factor, State
from crossmesh.tiles.analog.cells.pcm_3t1c.capacitor_cells import CapacitorCells
from crossmesh.tiles.analog.cells.pcm_3t1c.clock import DRIFT_EVERY, LEAK_EVERY, Clock
from crossmesh.tiles.analog.cells.pcm_3t1c.memory_pairs import MemoryPairs
from crossmesh.tiles.analog.pulser import Pulser, Site
from crossmesh.tiles.analog.wear import Wear

_MEASURED, _SETTLED = 0, 1  # draws of a transfer, beside those of the writes


class Pcm3T1CCrossbar:
    """Two phase-change memories and a capacitor cell at each crosspoint.

    All weights are relative to ``cell.unit_siemens``.

    Args:
        cell: Parameters of the cells, a ``Pcm3T1C``.
        site: Shape, random numbers and settings.
    """

    def __init__(self, cell: Any, site: Site) -> None:
        rows, transfer = site.shape[0], cell.transfer
        self._cell = cell
        self._site = site
        self._unit = np.float32(cell.unit_siemens)
        self._clock = Clock(
            rows=rows,
            every=transfer.every if transfer else 0,
            examples_per_row=transfer.examples_per_row if transfer else 0,
        )
        self._cells = CapacitorCells(
            cell.capacitor, cell.unit_siemens, site, reference_leaks=cell.reference_leaks
        )
        self._memories = MemoryPairs(cell.pcm, cell.gain, cell.unit_siemens, site)
        self._pulser = Pulser(site, cell.granularity)
        self._polarity = np.ones(rows, np.float32)
        self._reversal = np.zeros(rows, np.bool_)
        self._is_reversed = False
        self._count = 0
        self._writes = 0  # of each of the three devices
        self.weights = np.zeros(site.shape, np.float32)
        self.variance = self._memories.variance

    @property
    def ages(self) -> bool:
        """Whether cells change with time alone."""
        return True

    @property
    def pulses(self) -> int:
        """Pulses sent so far."""
        return self._pulser.pulses

    @property
    def wear(self) -> Mapping[str, Wear]:
        """Capacitors take the pulses; a transfer writes all three."""
        memory = Wear(0, self._writes)
        capacitors = Wear(self.pulses, self._writes)
        return {"capacitors": capacitors, "memories plus": memory, "memories minus": memory}

    def write(self, weights: Array) -> None:
        """Write the weights as a transfer does, into fresh cells."""
        self._count = 0
        self._settle()
        self._write(slice(0, len(weights)), weights.astype(np.float32), 0)
        self._read(self._everywhere)

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Pulse the capacitors; leak, drift and transfer when they are due."""
        for start, stop in self._clock.pieces(first_example, len(x)):
            piece = x[start:stop], d[start:stop]
            driven = np.zeros(len(self.weights), np.bool_)
            for pulses in self._pulser.draw(*piece, rate, first_example + start):
                self._cells.pulse(pulses.turned(self._reversal) if self._is_reversed else pulses)
                driven |= pulses.driven
            self._count = first_example + stop
            self._read(self._everywhere if self._wait() else driven)
            rows = self._clock.due(self._count)
            if rows is not None:
                self._transfer(rows)

    def pulse_counts(self, counts: NDArray[np.int16], rows: slice, example: int) -> None:
        """Send the capacitors as many pulses as ``counts`` says."""
        pulses = self._pulser.counted(counts, rows, example)
        self._cells.pulse(pulses.turned(self._reversal) if self._is_reversed else pulses)
        self._read(pulses.driven)

    def _wait(self) -> bool:
        """What time alone does; whether it did something."""
        leaks, drifts = self._count % LEAK_EVERY == 0, self._count % DRIFT_EVERY == 0
        if not (leaks or drifts):
            return False
        written = self._clock.written(self._count - 1)  # a transfer now comes after this
        if leaks:
            self._cells.leak()
            self._cells.share(self._count, written)
        if drifts:
            self._memories.drift(self._age_s(written))
        return True

    def _age_s(self, written: NDArray[np.int64]) -> NDArray[np.float64]:
        """``(rows, 1)`` seconds since word lines were written, at the last step of the drift."""
        last = self._count // DRIFT_EVERY * DRIFT_EVERY
        return np.maximum(last - written, 0)[:, np.newaxis] * self._site.example_s

    # Transfers

    def _transfer(self, rows: slice) -> None:
        """Write the weights of some word lines into their pairs, and begin again."""
        transfer = self._cell.transfer
        assert transfer is not None
        index = int(self._clock.transfers(self._count)[rows.start])
        noise = np.float32(transfer.read_noise_siemens) / self._unit
        measured = self.weights[rows] + noise * self._memories.draws(rows, index, 0)(_MEASURED)
        self._settle()
        self._write(rows, measured, index)
        touched = np.zeros(len(self.weights), np.bool_)
        touched[rows] = True
        self._read(touched)

    def _write(self, rows: slice, wanted: Array, index: int) -> None:
        """Write pairs by RESET and SET, and let the capacitors correct what is missing."""
        transfer = self._cell.transfer
        polarity = self._polarity[rows, np.newaxis]
        offset = np.float32(transfer.offset_siemens if transfer else 0) / self._unit
        mismatch = self._cells.at_start(rows) - self._cells.shared[rows, np.newaxis]
        target = wanted - polarity * (offset + mismatch)
        left_to_capacitor = (polarity * target > 0) & (polarity * target < offset)
        target = np.where(left_to_capacitor, np.float32(0), target)
        self._memories.write(rows, target, lambda part: self._memories.draws(rows, index, 1 + part))
        missing = wanted - self._memories.weights[rows]
        if transfer:
            noise = np.float32(transfer.read_noise_siemens) / self._unit
            missing = missing + noise * self._memories.draws(rows, index, 0)(_SETTLED)
        self._cells.approach(rows, self._cells.shared[rows, np.newaxis] + polarity * missing)
        self._memories.fluctuate(rows)
        self._writes += wanted.size

    # What follows from the number of examples seen

    def _settle(self) -> None:
        """Polarity of each word line, and the weight of the cell that it shares."""
        if self._cell.polarity_inversion:
            odd = self._clock.transfers(self._count) % 2
            self._polarity = (1 - 2 * odd).astype(np.float32)
            self._reversal = odd.astype(np.bool_)
            self._is_reversed = bool(odd.any())
        self._cells.share(self._count, self._clock.written(self._count))

    def _read(self, touched: NDArray[np.bool_]) -> None:
        self._cells.read(self.weights, self._memories.weights, self._polarity, touched)

    @property
    def _everywhere(self) -> NDArray[np.bool_]:
        return np.ones(len(self.weights), np.bool_)

    def product(self, x: Array, *, backward: bool) -> Array:
        """Product of ``(vectors, inputs)``: memories by a board, capacitors emulated."""
        emulated = self.weights - self._memories.weights
        y = x @ (emulated.T if backward else emulated)
        return y + self._memories.product(x, backward=backward)

    def arrays(self) -> list[tuple[Factor, Array]]:
        """Memories, capacitor cells and shared cells, relative to the range of a memory."""
        gain = np.float32(self._cell.gain)
        p = self._polarity[:, np.newaxis]
        shared = np.broadcast_to(self._cells.shared[:, np.newaxis], self.weights.shape)
        cells = (self.weights - self._memories.weights) * p + shared
        plus, minus = self._memories.drifted(self._age_s(self._clock.written(self._count)))
        return [(1.0, plus), (-1.0, minus), (p / gain, gain * cells), (-p / gain, gain * shared)]

    # State

    def state(self) -> State:
        """Voltages, memories as they were written, and how many examples have been applied."""
        plus, minus = self._memories.written
        count = np.array([self._count])
        return {"voltage": self._cells.voltage, "plus": plus, "minus": minus, "examples": count}

    def load(self, state: State) -> None:
        """Take over a saved state."""
        self._count = int(state["examples"][0])
        self._cells.voltage[:] = state["voltage"]
        self._memories.load(state["plus"], state["minus"])
        self._settle()
        self._memories.drift(self._age_s(self._clock.written(self._count)))
        self._memories.fluctuate(slice(0, len(self.weights)))
        self._read(self._everywhere)

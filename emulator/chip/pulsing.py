"""Pulses on the lines of an array: how many lines and cells they reach."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from crossmesh.tiles.analog.costs import CellCosts


class Event(NamedTuple):
    """What happens, and costs.

    Attributes:
        name: Component by which it is counted.
        cells: The cells that it meets, where it meets some.
    """

    name: str
    cells: CellCosts | None = None


EventCounts = defaultdict[Event, float]  # per example


@dataclass(kw_only=True)
class Pulsing:
    """Pulses of an array per example, if there were one in every slot of every train.

    Outer products drive word lines and bit lines independently of each other. Where one line is
    written, the lines that cross it are driven along values, and it whenever one of them is.

    Attributes:
        cells: What they meet.
        writes_lines: Whether single lines are written, one after the other.
        counts_devices: Whether a run counts pulses of devices rather than of lines.
        lines: Pulses on lines that are driven along values.
        passed: Cells that these lines pass, each time.
        crossed: Cells whose two lines are pulsed at once.
        slots: Pulses on the lines that are written.
        along: Cells along each of them.
    """

    cells: CellCosts
    writes_lines: bool
    counts_devices: bool
    lines: float = 0.0
    passed: float = 0.0
    crossed: float = 0.0
    slots: float = 0.0
    along: int = 0

    def share(self, pulses: float) -> float:
        """Share of the slots in which a line has a pulse, if so many were counted."""
        whole = self.crossed if self.counts_devices else self.lines
        share = min(1.0, pulses / whole) if whole else 0.0
        return math.sqrt(share) if self.counts_devices and not self.writes_lines else share

    def events(self, share: float) -> EventCounts:
        """Events per example, if a line has a pulse in such a share of its slots."""
        met = self.crossed * (share if self.writes_lines else share**2)
        written = min(self.slots, met)
        passed = share * self.passed + written * self.along
        found = EventCounts(float)
        found[Event("line_pulse", self.cells)] = passed
        found[Event("cell_half", self.cells)] = passed
        found[Event("cell_pulse", self.cells)] = met
        for name, n in self.cells.pulse.items():
            found[Event(name)] += n * (share * self.lines + written)
        if self.cells.pulses_per_write:
            rewritten = met / self.cells.pulses_per_write
            found[Event("cell_write", self.cells)] = rewritten * self.cells.written_devices
        return found


@dataclass(kw_only=True)
class Rewriting:
    """Transfers that write devices until they have a value, per example.

    Attributes:
        cells: What is written.
        devices: Devices written.
        reads: What the reads for it take.
    """

    cells: CellCosts
    devices: float
    reads: EventCounts

    def events(self, share: float) -> EventCounts:
        """Events per example, if such a share of the transfers takes place."""
        found = EventCounts(float, {event: share * n for event, n in self.reads.items()})
        found[Event("cell_write", self.cells)] = share * self.devices
        return found

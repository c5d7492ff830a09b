"""What a host measures and reports: metrics, progress, a trace, and a row for each tile."""

import math
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from tiles.program import Kind


class Measurement(NamedTuple):
    """A row of the metrics: means over the examples since the row before.

    Attributes:
        examples: Examples of the span so far.
        loss: Mean loss.
        accuracy: Share of examples whose class was right.
        wall_s: Seconds since the span began.
    """

    examples: int
    loss: float
    accuracy: float
    wall_s: float


class Progress(NamedTuple):
    """How far a running span is; means since the last row of the metrics, NaN before the first.

    Attributes:
        examples: Examples of the span so far.
        loss: Mean loss.
        accuracy: Share of examples whose class was right.
    """

    examples: int
    loss: float = math.nan
    accuracy: float = math.nan


class Trace(NamedTuple):
    """An operation as it was performed; ``version`` counts the updates of its tile before it."""

    kind: Kind
    tile: int
    micro_batch: int
    version: int


class TileReport(NamedTuple):
    """A row of the tiles table."""

    tile: int
    layer: str
    first_row: int
    first_col: int
    rows: int
    cols: int
    actor: int
    weight_scale: float
    weight_mean: float
    weight_std: float
    weight_min: float
    weight_max: float
    pulses: int


@dataclass
class Meter:
    """Sums of loss and hits, cut into rows."""

    log_every: int
    n_examples: int
    started: float = field(default_factory=time.perf_counter)
    rows: list[Measurement] = field(default_factory=list)
    examples: int = 0
    _loss: float = 0.0
    _correct: int = 0
    _since: int = 0

    @property
    def progress(self) -> Progress:
        """Examples so far, and their latest loss and accuracy."""
        if self._since:
            return Progress(self.examples, self._loss / self._since, self._correct / self._since)
        if self.rows:
            return Progress(self.examples, self.rows[-1].loss, self.rows[-1].accuracy)
        return Progress(self.examples)

    def add(self, loss: float, correct: int, n: int) -> None:
        """Count one micro-batch."""
        self._loss += loss
        self._correct += correct
        self._since += n
        self.examples += n
        if self._since >= self.log_every or self.examples == self.n_examples:
            wall_s = time.perf_counter() - self.started
            row = Measurement(
                self.examples, self._loss / self._since, self._correct / self._since, wall_s
            )
            self.rows.append(row)
            self._loss, self._correct, self._since = 0.0, 0, 0

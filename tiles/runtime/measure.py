"""Measurements of a host: metrics, progress, a trace, and a row for each tile."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.analog.wear import Wear
from crossmesh.tiles.runtime.program import NOTHING, Kind, Sums


class Measurement(NamedTuple):
    """A row of the metrics: means over the examples since the row before.

    Attributes:
        examples: Examples of the span so far.
        loss: Mean loss.
        accuracy: Share of outputs whose class was right.
        wall_s: Seconds since the span began.
    """

    examples: int
    loss: float
    accuracy: float
    wall_s: float


class Outcome(NamedTuple):
    """Metrics of a span, or its outputs, from the host that computes the loss.

    Attributes:
        rows: Rows of the metrics.
        rest: What was measured since the last row.
        outputs: ``(examples * positions, n)`` outputs of a span that keeps them.
    """

    rows: list[Measurement]
    rest: Sums
    outputs: NDArray[np.float32] | None = None


class HostReport(NamedTuple):
    """Place of a host, and how its time was spent since it joined its channels.

    Attributes:
        host: Number of the host.
        node: Name of the machine in the cluster; empty in the process itself.
        ip: Its address.
        tiles: Tiles that it holds.
        run_s: Wall seconds within spans.
        message_s: Of these, in sending and receiving, without waiting.
        wait_s: Of these, blocked for a message or for room in a queue.
        messages: Messages sent.
        bytes: Their bytes.
        operations: Steps of the program that it performed, with sending and receiving.
    """

    host: int
    node: str
    ip: str
    tiles: int
    run_s: float
    message_s: float
    wait_s: float
    messages: int
    bytes: int
    operations: int

    @property
    def compute_s(self) -> float:
        """Wall seconds of work on tiles and in digital units."""
        return self.run_s - self.message_s - self.wait_s


class Progress(NamedTuple):
    """Progress of a running span; means since the last row of the metrics, NaN before the first.

    Attributes:
        examples: Examples of the span so far.
        loss: Mean loss.
        accuracy: Share of outputs whose class was right.
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
    """A row of the tiles table, and what the table of arrays has of that tile in ``wear``.

    ``repeats`` are of its forward reads, by bound management.
    ``conductance`` is the mean of its devices as a share of their range; None: it has no devices.
    """

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
    repeats: int
    conductance: float | None
    wear: Mapping[str, Wear]


@dataclass
class Meter:
    """Sums of loss and hits, cut into rows.

    Attributes:
        log_every: Examples between two rows.
        sums: What was measured since the last row, perhaps in the span before.
        outputs: Outputs of an example that are right or wrong.
        started: When the span began.
        rows: Rows so far.
        examples: Examples of the span so far.
        kept: Outputs of the micro-batches so far, of a span that keeps them.
    """

    log_every: int
    sums: Sums = NOTHING
    outputs: int = 1
    started: float = field(default_factory=time.perf_counter)
    rows: list[Measurement] = field(default_factory=list)
    examples: int = 0
    kept: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def progress(self) -> Progress:
        """Examples so far, and their latest loss and accuracy."""
        if n := self.sums.examples:
            return Progress(self.examples, self.sums.loss / n, self._accuracy)
        if self.rows:
            return Progress(self.examples, self.rows[-1].loss, self.rows[-1].accuracy)
        return Progress(self.examples)

    @property
    def _accuracy(self) -> float:
        return self.sums.correct / (self.sums.examples * self.outputs)

    def add(self, loss: float, correct: int, n: int) -> None:
        """Count one micro-batch.

        Raises:
            ValueError: If the loss is not finite.
        """
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss must be finite, got {loss} after {self.examples} examples; "
                "a smaller training.learning_rate may help"
            )
        before = self.sums
        self.sums = Sums(before.loss + loss, before.correct + correct, before.examples + n)
        self.examples += n
        if self.sums.examples >= self.log_every:
            self.cut()

    def keep(self, outputs: NDArray[np.float32], n: int) -> None:
        """Keep the outputs of one micro-batch of ``n`` examples."""
        self.kept.append(outputs)
        self.examples += n

    @property
    def outputs_kept(self) -> NDArray[np.float32] | None:
        """Outputs of all micro-batches, if they were kept."""
        return np.concatenate(self.kept) if self.kept else None

    def cut(self) -> None:
        """End a row, if it has any examples."""
        loss, _, n = self.sums
        if n:
            wall_s = time.perf_counter() - self.started
            self.rows.append(Measurement(self.examples, loss / n, self._accuracy, wall_s))
            self.sums = NOTHING

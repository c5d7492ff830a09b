"""What a run knows of its past; saved with every checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from crossmesh.emulator.config.rates import EpochLoss
from crossmesh.tiles.runtime.measure import Measurement
from crossmesh.tiles.runtime.program import NOTHING, Sums


class MetricsRow(NamedTuple):
    """A row of ``metrics.parquet``.

    Attributes:
        epoch: Epochs begun.
        examples: Examples trained so far.
        loss: Mean training loss since the row before.
        train_accuracy: Share of training examples right since the row before.
        test_loss: Mean loss of the test set, where it was tested.
        test_accuracy: Accuracy on the test set, where it was tested.
        wall_s: Seconds of training so far, without tests.
        examples_per_s: Examples per second since the row before.
        validation_loss: Mean loss of the examples set aside, where there are any and it was tested.
        validation_accuracy: Accuracy on them.
    """

    epoch: int
    examples: int
    loss: float
    train_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    wall_s: float
    examples_per_s: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


class BaselineRow(NamedTuple):
    """A row of ``baseline.parquet``: an epoch of the float32 twin.

    Attributes:
        epoch: Epochs done.
        loss: Mean training loss of the epoch.
        train_accuracy: Share of its training examples right; None for a regression.
        test_loss: Mean loss of the test set behind it.
        test_accuracy: Accuracy on the test set; None for a regression.
    """

    epoch: int
    loss: float
    train_accuracy: float | None
    test_loss: float
    test_accuracy: float | None


def compared_by(row: MetricsRow) -> str:
    """The figure by which epochs are compared: of the examples set aside, if there are any.

    Args:
        row: The last row of an epoch.
    """
    names = ("validation_accuracy", "validation_loss", "test_accuracy", "test_loss")
    return next(name for name in names if getattr(row, name) is not None)


class Recovery(NamedTuple):
    """A row of ``recoveries.parquet``: a loss that a run survived.

    Attributes:
        time_s: When it was noticed, in seconds since 1970.
        resumed_s: When training went on.
        examples: Examples trained when it was noticed.
        examples_lost: Number of them that had to be trained again.
        what: The part that was lost, and why.
    """

    time_s: float
    resumed_s: float
    examples: int
    examples_lost: int
    what: str


@dataclass
class History:
    """What a run knows of its past.

    Attributes:
        epoch: Epochs finished and tested.
        examples: Examples trained.
        wall_s: Seconds of training.
        rows: Rows of the metrics.
        measured: What was measured since the last of them.
        recoveries: Losses survived.
    """

    epoch: int = 0
    examples: int = 0
    wall_s: float = 0.0
    rows: list[MetricsRow] = field(default_factory=list)
    measured: Sums = NOTHING
    recoveries: list[Recovery] = field(default_factory=list)

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy when the network was last tested; None if that is unknown."""
        tested = (row.test_accuracy for row in reversed(self.rows) if row.test_loss is not None)
        return next(tested, None)

    def losses(self) -> list[EpochLoss]:
        """Losses of the epochs that are finished."""
        found, total, before, begun = [], 0.0, 0, 0
        for row in self.rows:
            total += row.loss * (row.examples - before)
            before = row.examples
            if row.test_loss is not None:
                loss = EpochLoss(total / (before - begun), row.test_loss, row.validation_loss)
                found.append(loss)
                total, begun = 0.0, before
        return found

    def add(self, measured: Sequence[Measurement], epoch: int, *, has_accuracy: bool) -> None:
        """Add rows of the metrics.

        Args:
            measured: What was measured since ``examples`` and ``wall_s``.
            epoch: Epochs begun.
            has_accuracy: Whether outputs are right or wrong.
        """
        for m in measured:
            last = self.rows[-1] if self.rows else None
            examples, wall_s = self.examples + m.examples, self.wall_s + m.wall_s
            since = examples - (last.examples if last else 0)
            took_s = wall_s - (last.wall_s if last else 0.0)
            row = MetricsRow(
                epoch=epoch,
                examples=examples,
                loss=m.loss,
                train_accuracy=m.accuracy if has_accuracy else None,
                test_loss=None,
                test_accuracy=None,
                wall_s=wall_s,
                examples_per_s=since / max(took_s, 1e-9),
            )
            self.rows.append(row)

    def restored(self, earlier: "History") -> None:
        """Go back to an earlier state, but for the time that was spent and what was survived."""
        self.epoch, self.examples = earlier.epoch, earlier.examples
        self.rows, self.measured = earlier.rows, earlier.measured
        self.wall_s = max(self.wall_s, earlier.wall_s)
        if len(earlier.recoveries) > len(self.recoveries):
            self.recoveries = earlier.recoveries

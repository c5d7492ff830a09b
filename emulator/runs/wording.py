"""Progress of a run in words."""

import math

from crossmesh.emulator.runs.history import MetricsRow
from crossmesh.tiles.runtime.measure import Progress


def learning(progress: Progress) -> str:
    """Loss and accuracy in words, as far as they are known.

    >>> learning(Progress(100, 0.25, 0.915))
    'loss 0.2500, accuracy 91.5 %'
    """
    words = "" if math.isnan(progress.loss) else f"loss {progress.loss:.4f}"
    if not math.isnan(progress.accuracy):
        words += f", accuracy {100 * progress.accuracy:.1f} %"
    return words


def epoch_line(row: MetricsRow) -> str:
    """An epoch in words."""
    test = f"test loss {row.test_loss:.4f}"
    if row.test_accuracy is not None:
        test += f", test accuracy {100 * row.test_accuracy:.2f} %"
    if row.validation_loss is not None:
        test += f", validation loss {row.validation_loss:.4f}"
    if row.validation_accuracy is not None:
        test += f", validation accuracy {100 * row.validation_accuracy:.2f} %"
    speed = row.examples / row.wall_s if row.wall_s else 0.0
    return f"epoch {row.epoch}: loss {row.loss:.4f}, {test}, {speed:,.0f} examples/s"

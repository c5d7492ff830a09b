"""The learning curves of runs."""

from matplotlib.figure import Figure

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.reporting.record import RunRecord
from crossmesh.emulator.runs.curves import learning_curve


def curve_of(record: RunRecord) -> Figure:
    """Loss and accuracy of a run against epochs.

    Raises:
        ConfigError: If there is nothing to draw yet.
    """
    if not len(record.metrics):
        raise ConfigError(f"RUN must have metrics to be drawn, got none in {record.path}")
    return learning_curve(
        record.metrics,
        twin=record.baseline,
        twin_loss=record.figure("baseline_test_loss"),
        twin_accuracy=record.figure("baseline_test_accuracy"),
    )

"""The learning curve of a run as a figure: loss and accuracy against epochs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crossmesh.common.figures import legend_below, panels, styled

Values = NDArray[np.float64]
_TRAIN: dict[str, Any] = {"color": "#56b4e9", "linewidth": 1.0}
_TEST: dict[str, Any] = {"color": "#0072b2", "linewidth": 1.5, "marker": "o", "markersize": 3}
_TWIN: dict[str, Any] = {"color": "#d55e00", "linewidth": 1.3, "linestyle": (0, (4, 2))}
_VALIDATION: dict[str, Any] = {"color": "#009e73", "linewidth": 1.3, "marker": "s", "markersize": 3}
_SMOOTH = 400  # rows beyond which training is drawn by epochs


def learning_curve(
    metrics: pa.Table,
    *,
    twin: pa.Table | None = None,
    twin_loss: float | None = None,
    twin_accuracy: float | None = None,
) -> Figure:
    """Loss and accuracy of a run against epochs: in training, in tests and in validation.

    Args:
        metrics: Table of ``metrics.parquet``.
        twin: Table of ``baseline.parquet``; None or empty: no more is known of the float32 twin
            than its end.
        twin_loss: Its test loss at its end, if there is one.
        twin_accuracy: Its test accuracy, as a share.

    Returns:
        A figure of two panels; of one where outputs are not right or wrong.
    """
    has_accuracy = metrics["train_accuracy"].null_count < len(metrics)
    epochs = epochs_of(metrics)
    with styled():
        figure, (axes,) = panels(1, 1 + has_accuracy)
        _draw(axes[0], epochs, metrics, ("loss", "test_loss", "validation_loss"))
        _draw_twin(axes[0], twin, "test_loss", twin_loss)
        axes[0].set_ylabel("loss")
        _from_zero_or_by_decades(axes[0])
        if has_accuracy:
            accuracies = ("train_accuracy", "test_accuracy", "validation_accuracy")
            _draw(axes[1], epochs, metrics, accuracies, scale=100)
            _draw_twin(axes[1], twin, "test_accuracy", twin_accuracy, scale=100)
            axes[1].set_ylabel("accuracy, %")
        legend_below(figure, axes[0])
    return figure


def epochs_of(metrics: pa.Table) -> Values:
    """``(rows,)`` how many epochs are done at each row, with the part of the one under way."""
    examples = _column(metrics, "examples")
    tested = ~np.isnan(_column(metrics, "test_loss"))
    whole = np.flatnonzero(tested)
    if not len(whole):  # in its first epoch: how long that is, is not known
        return _column(metrics, "epoch")
    return np.asarray(examples / examples[whole[0]])


def _draw(
    axes: Axes,
    epochs: Values,
    metrics: pa.Table,
    names: Sequence[str],
    scale: float = 1,
) -> None:
    """Training, tests and validation in one panel."""
    train, test, validation = (scale * _column(metrics, name) for name in names)
    tested = ~np.isnan(test)
    axes.plot(*_smoothed(epochs, train), **_TRAIN, label="training")
    if tested.any():
        axes.plot(epochs[tested], test[tested], **_TEST, label="test")
    if (validated := ~np.isnan(validation)).any():
        axes.plot(epochs[validated], validation[validated], **_VALIDATION, label="validation")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, color="0.9", linewidth=0.6)


def _draw_twin(
    axes: Axes, twin: pa.Table | None, name: str, end: float | None, scale: float = 1
) -> None:
    """The tests of the twin, or a line at its end where no more is known."""
    if twin is not None and len(twin):
        style = {**_TWIN, "marker": "d", "markersize": 5, "zorder": 1.9}  # behind the run
        label = "test of the float32 twin"
        axes.plot(twin["epoch"].to_numpy(), scale * _column(twin, name), **style, label=label)
    elif end is not None:
        axes.axhline(scale * end, **_TWIN, label="test of the float32 twin, at its end")


def _smoothed(epochs: Values, values: Values) -> tuple[Values, Values]:
    """At most so many points, each the mean of those that it stands for."""
    size = -(-len(values) // _SMOOTH)
    n = len(values) // size * size
    x, y = (part[:n].reshape(-1, size).mean(axis=1) for part in (epochs, values))
    return x, y


def _from_zero_or_by_decades(axes: Axes) -> None:
    """A loss that falls by decades has a logarithmic axis."""
    drawn = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()])
    if drawn.min() > 0 and drawn.max() > 50 * drawn.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def _column(metrics: pa.Table, name: str) -> Values:
    """A column, NaN where it is empty, or not there in a run of an older version."""
    if name not in metrics.column_names:
        return np.full(len(metrics), np.nan)
    return np.asarray(metrics[name].to_numpy(zero_copy_only=False), np.float64)

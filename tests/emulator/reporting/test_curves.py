"""Learning curves: what is drawn is what the metrics say."""

import numpy as np
import pytest

from crossmesh.emulator.runs.curves import epochs_of, learning_curve
from crossmesh.emulator.runs.history import BaselineRow, MetricsRow
from crossmesh.emulator.runs.tables import baseline_table, metrics_table


def rows(n_epochs, per_epoch=2, accuracy=0.5):
    """Rows of a run of 100 examples per epoch."""
    for epoch in range(1, n_epochs + 1):
        for part in range(1, per_epoch + 1):
            examples = 100 * (epoch - 1) + 100 * part // per_epoch
            is_last = part == per_epoch
            yield MetricsRow(
                epoch, examples, 1 / examples, accuracy, 0.2 if is_last else None,
                accuracy if is_last else None, 1.0, 1.0,
            )  # fmt: skip


def test_rows_stand_at_the_epochs_that_are_done():
    table = metrics_table(list(rows(3)))

    np.testing.assert_allclose(epochs_of(table), [0.5, 1, 1.5, 2, 2.5, 3])


def test_training_tests_and_twin_are_drawn():
    figure = learning_curve(metrics_table(list(rows(3))), twin_loss=0.1, twin_accuracy=0.9)
    loss, accuracy = figure.axes

    assert [line.get_label() for line in loss.get_lines()] == [
        "training", "test", "test of the float32 twin, at its end",
    ]  # fmt: skip
    np.testing.assert_allclose(accuracy.get_lines()[1].get_data(), [[1, 2, 3], [50, 50, 50]])
    assert accuracy.get_lines()[2].get_ydata()[0] == pytest.approx(90)


def test_each_epoch_of_the_twin_is_drawn():
    twin = baseline_table([BaselineRow(n, 0.3, 0.8, 1 / n, 0.9) for n in (1, 2, 3)])
    figure = learning_curve(metrics_table(list(rows(3))), twin=twin, twin_loss=1 / 3)
    loss, accuracy = (axes.get_lines()[2] for axes in figure.axes)

    assert loss.get_label() == "test of the float32 twin"
    np.testing.assert_allclose(loss.get_data(), [[1, 2, 3], [1, 1 / 2, 1 / 3]])
    np.testing.assert_allclose(accuracy.get_ydata(), [90, 90, 90])


def test_validation_is_drawn_where_there_is_any():
    validated = [row._replace(validation_loss=0.3) for row in rows(2, per_epoch=1)]
    loss, accuracy = learning_curve(metrics_table(validated)).axes

    assert [line.get_label() for line in loss.get_lines()] == ["training", "test", "validation"]
    assert len(accuracy.get_lines()) == 2


def test_a_regression_has_no_accuracy():
    figure = learning_curve(metrics_table(list(rows(2, accuracy=None))))

    assert [axes.get_ylabel() for axes in figure.axes] == ["loss"]


def test_a_run_in_its_first_epoch_is_drawn():
    first = list(rows(1))[:1]

    assert len(learning_curve(metrics_table(first)).axes[0].get_lines()) == 1


def test_long_runs_are_drawn_by_means():
    figure = learning_curve(metrics_table(list(rows(500))))

    assert len(figure.axes[0].get_lines()[0].get_xdata()) <= 400

"""Callbacks see every row once, may stop a run, and lose none by their own failure."""

import typing

import numpy as np
import pytest

import crossmesh
from crossmesh.callbacks import BestCheckpoint, Callback, EarlyStopping
from crossmesh.common.errors import CallbackError, ConfigError, HostLost
from crossmesh.emulator.config.stopping import Monitor
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.runs.history import MetricsRow
from tests.emulator.commands.shell import done
from tests.jobs import small_config, steps


def trained(folder, *callbacks, **changes):
    """A small run, of five rows in an epoch, and its callbacks."""
    training = {"epochs": 3, "log_every": 10, **changes.pop("training", {})}
    config = small_config(training=training, **changes)
    return crossmesh.train(config, folder, callbacks=callbacks, quiet=True)


class Seen(Callback):
    """Keeps what it is called with, and does something in a method."""

    def __init__(self, **does):
        self.calls = []
        self.does = does

    def _called(self, method, run, given):
        self.calls.append((method, run.examples, given))
        if method in self.does:
            self.does[method](run)

    def on_start(self, run):
        self._called("on_start", run, None)

    def on_row(self, run, row):
        assert row in run.rows
        self._called("on_row", run, row.examples)

    def on_epoch(self, run, row):
        assert row == run.epochs[-1]
        self._called("on_epoch", run, row.epoch)

    def on_end(self, run, summary):
        self._called("on_end", run, summary)

    def close(self):
        self.calls.append(("close", None, None))

    def given(self, method):
        return [given for name, _, given in self.calls if name == method]


def test_a_callback_is_called_for_every_row_and_epoch(tmp_path):
    seen = Seen()
    result = trained(tmp_path / "run", seen)
    assert seen.given("on_row") == result.history["examples"].to_pylist()
    assert seen.given("on_epoch") == [1, 2, 3]
    assert seen.given("on_end") == [result.summary]
    assert [name for name, *_ in seen.calls][:: len(seen.calls) - 1] == ["on_start", "close"]
    assert result.state_digest == trained(False).state_digest  # which a callback does not change


def test_a_callback_may_stop_a_run_within_an_epoch_and_it_can_be_resumed(tmp_path):
    whole = trained(False, training={"baseline": True})
    seen = Seen(on_row=lambda run: run.examples >= 60 and run.stop("enough"))
    stopped = trained(tmp_path / "run", seen, training={"baseline": True})
    n = stopped.examples_trained
    assert 60 <= n < whole.examples_trained
    assert stopped.stopped == stopped.summary["stopped"] == "enough"
    assert (stopped.test_accuracy, stopped.chip["schedule"]) == (
        stopped.history["test_accuracy"].to_pylist()[-1],
        "sequential",
    )
    assert stopped.baseline_test_accuracy is not None
    assert steps(stopped.path)[-1].name == f"step-{n:012d}"
    again = Seen()
    resumed = crossmesh.resume(stopped.path, callbacks=[again], quiet=True)
    assert resumed.state_digest == whole.state_digest
    assert resumed.stopped is None
    same = ("examples", "loss", "test_accuracy")
    assert all(resumed.history[name] == whole.history[name] for name in same)
    assert again.given("on_row") == [
        row for row in whole.history["examples"].to_pylist() if row > n
    ]


def test_what_asks_to_stop_at_once_stops_at_the_first_row():
    result = trained(False, Seen(on_start=lambda run: run.stop()))
    assert result.history.num_rows >= 1
    assert result.examples_trained <= 50
    assert result.stopped == "a callback stopped it"


def test_a_failure_stops_the_run_and_keeps_its_result(tmp_path):
    def fail(run):
        raise KeyError("colour")

    after = Seen()
    with pytest.raises(CallbackError) as caught:
        trained(tmp_path / "run", Seen(on_epoch=fail), after)
    path = tmp_path / "run"
    assert str(caught.value) == (
        f"Seen.on_epoch raised KeyError: 'colour', after 50 examples; the run is saved in {path}"
    )
    assert isinstance(caught.value.__cause__, KeyError)
    result = caught.value.result
    assert result.summary == crossmesh.Result.read(path).summary
    assert after.given("on_epoch") == [1]
    assert len(after.given("on_end")) == 1
    assert crossmesh.resume(path, quiet=True).epochs == 3


def test_a_failure_before_training_or_at_the_end_is_raised_too(tmp_path):
    def fail(run):
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        trained(tmp_path / "first", Seen(on_start=fail))
    with pytest.raises(CallbackError, match=r"on_end raised OSError: no network, after 150 ex"):
        trained(tmp_path / "second", Seen(on_end=fail))
    assert crossmesh.Result.read(tmp_path / "second").stopped is None


def test_a_failure_of_what_is_not_vital_leaves_the_run_as_it_is(capsys):
    class Loose(Seen):
        vital = False

    def fail(run):
        raise OSError("disk\nfull")

    loose = Loose(on_row=fail)
    result = crossmesh.train(small_config(), False, callbacks=[loose])
    assert result.stopped is None
    assert len(loose.given("on_row")) == 1
    shown = capsys.readouterr().err
    assert "Loose.on_row raised OSError: disk full; it is called no more, and the run" in shown


def test_rows_that_are_trained_again_after_a_loss_are_reported_once(monkeypatch):
    class Losing(LocalExecutor):
        spans = 0

        def run(self, span, watch):
            Losing.spans += 1
            if Losing.spans in {3, 8}:
                raise HostLost("lost")
            return super().run(span, watch)

        def recover(self):
            """Its tiles get their first weights again."""

    monkeypatch.setattr("crossmesh.emulator.training.whole_run.create", Losing)
    monkeypatch.setattr("crossmesh.emulator.training.spans.SPAN_S", 0.0)
    seen = Seen()
    result = trained(False, seen)
    assert result.emulation.recoveries == 2
    assert seen.given("on_row") == result.history["examples"].to_pylist()


def test_early_stopping_waits_for_its_patience():
    result = trained(False, EarlyStopping(patience=2, min_delta=1.0), training={"epochs": 6})
    assert result.epochs == 3
    assert result.stopped == "early stopping: no improvement in the last 2 epochs"
    whole = trained(False, EarlyStopping(patience=6), training={"epochs": 4})
    assert (whole.epochs, whole.stopped) == (4, None)
    loss = EarlyStopping(patience=1, monitor="loss", min_delta=100.0)
    assert trained(False, loss, training={"epochs": 6}).epochs == 2


def test_a_config_stops_early_and_a_resumed_run_keeps_the_rule(tmp_path):
    rule = {"patience": 1, "monitor": "loss", "min_delta": 100.0}
    first = trained(tmp_path / "run", training={"epochs": 6, "stop_early": rule})
    assert (first.epochs, first.stopped) == (
        2, "early stopping: no improvement in the last epoch")  # fmt: skip
    assert first.config_digest != trained(False, training={"epochs": 6}).config_digest
    again = done("resume", tmp_path / "run", "--quiet", "--json").answer
    assert (again["epochs"], again["stopped"]) == (3, first.stopped.replace("epoch", "2 epochs"))
    whole = done("resume", tmp_path / "run", "--stop-early", "off", "--quiet", "--json").answer
    assert (whole["epochs"], whole["stopped"]) == (6, None)


def test_a_figure_that_no_example_is_set_aside_for_is_refused_before_training(tmp_path):
    rule = {"monitor": "validation_loss"}
    with pytest.raises(ConfigError, match=r"got validation_loss; data\.validation=0\.1 sets"):
        trained(tmp_path / "run", training={"stop_early": rule})
    assert not list(tmp_path.iterdir())


def test_the_accuracy_of_a_regression_is_refused_before_training(tmp_path):
    draw = np.random.default_rng(0).normal
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(tmp_path / "data.npz", **{name: draw(size=(20, 2)) for name in names})
    data = {"source": "npz", "file": str(tmp_path / "data.npz")}
    rule = {"monitor": "test_accuracy"}
    with pytest.raises(ConfigError, match=r"monitor must be a loss where .* got test_accuracy"):
        trained(
            False,
            data=data,
            network=[{"kind": "linear", "outputs": 2}],
            loss="mean_squared_error",
            training={"examples": 20, "test_examples": 20, "stop_early": rule},
        )


def test_figures_that_can_be_watched_are_those_of_the_metrics():
    figures = [name for name in MetricsRow._fields if "loss" in name or "accuracy" in name]
    assert sorted(typing.get_args(Monitor)) == sorted(figures)


def test_examples_that_are_set_aside_decide_which_epoch_is_best():
    changes = {"data": {"validation": 0.2}, "training": {"epochs": 4, "learning_rate": 0.4}}
    result = trained(False, EarlyStopping(patience=2), **changes)
    aside = [a for a in result.history["validation_accuracy"].to_pylist() if a is not None]
    best = max(range(len(aside)), key=lambda i: (aside[i], -i))
    assert result.best.epoch == best + 1
    assert len(aside) == min(4, best + 3)


def test_the_best_checkpoint_is_that_of_the_best_epoch(tmp_path):
    changes = {"training": {"epochs": 4, "learning_rate": 0.4}}  # so large that it gets worse
    result = trained(tmp_path / "run", BestCheckpoint(), **changes)
    best = [path.name for path in (result.path / "checkpoints" / "best").iterdir()]
    assert best == [f"step-{result.best.examples:012d}"]
    assert steps(result.path)[-1].name == f"step-{result.examples_trained:012d}"
    directory = crossmesh.RunDirectory(result.path)
    tested = crossmesh.evaluate(directory, directory.config(checkpoint="best"), print)
    assert tested["test_accuracy"] == result.best.test_accuracy
    assert result.best.test_accuracy == max(
        a for a in result.history["test_accuracy"].to_pylist() if a
    )
    with pytest.raises(ConfigError, match=r"must be one that .*run has \(best\), got bets"):
        directory.config(checkpoint="bets")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: EarlyStopping(0), "patience must be at least 1, got 0"),
        (lambda: EarlyStopping(min_delta=-1.0), "min_delta must be at least 0, got -1"),
        (
            lambda: BestCheckpoint("accuracy"),
            r"monitor must be of loss, train_accuracy, test_loss, .*, got accuracy; did you mean",
        ),
        (lambda: trained(False, EarlyStopping), r"got <class .*; did you mean EarlyStopping\(\)\?"),
        (
            lambda: trained(False, print),
            "callbacks must be objects of subclasses of crossmesh.call",
        ),
        (lambda: trained(False, BestCheckpoint()), "directory must be given for BestCheckpoint"),
    ],
)
def test_mistakes_are_refused_before_the_run(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()

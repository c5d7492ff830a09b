"""How a run is shown: a bar on a terminal, plain lines elsewhere, nothing when asked."""

import io
import math

import pytest
from rich.console import Console

from crossmesh.emulator.runs import progress as shown
from crossmesh.emulator.runs.history import MetricsRow
from crossmesh.emulator.runs.progress import Bar, PlainLines, Quiet, display
from crossmesh.emulator.runs.time_left import TimeLeft
from crossmesh.emulator.runs.wording import learning
from crossmesh.emulator.training.training import train
from crossmesh.tiles.runtime.measure import Progress
from tests.jobs import small_config

ROW = MetricsRow(
    epoch=1,
    examples=100,
    loss=0.5,
    train_accuracy=0.75,
    test_loss=0.6,
    test_accuracy=0.7125,
    wall_s=0.5,
    examples_per_s=200.0,
)


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def text(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def test_a_bar_shows_loss_accuracy_speed_and_time_left():
    screen = console(terminal=True)
    with Bar(screen) as bar:
        bar.phase("training", 1000)
        bar.progress(Progress(0))
        bar.progress(Progress(500, 0.25, 0.915))
        bar._bar.refresh()
        bar.row(ROW)
    for part in ("training", " 50 %", "loss 0.2500, accuracy 91.5 %", "examples/s", "-:--:--"):
        assert part in text(screen)
    assert "epoch 1: loss 0.5000, test loss 0.6000, test accuracy 71.25 %, 200 ex" in text(screen)


def reported(*steps):
    """The time left after reports of so many examples, each so many seconds after the last."""
    left, now_s, examples = TimeLeft(28_760, 0.0), 0.0, 0
    for seconds, more in steps:
        now_s, examples = now_s + seconds, examples + more
        left.report(examples, now_s)
    return left.at(now_s)


def test_the_time_left_does_not_count_compilation():
    """At 100 examples/s; the first reports come after 40 s, in which kernels are compiled."""
    start, work = [(1, 0), (40, 8)], [(1, 100)]
    assert reported(*start, *work * 5) is None
    after = reported(*start, *work * 10)
    assert after == pytest.approx((28_760 - 1008) / 100)
    again = reported(*start, *work * 10, (30, 8), *work * 2)  # a second network
    assert again == pytest.approx((28_760 - 1216) / 100)
    resumed = reported((1, 20_000), *work * 10)
    assert resumed == pytest.approx((28_760 - 21_000) / 100)


def test_the_time_left_runs_down_between_reports():
    left = TimeLeft(1000, 0.0)
    for k in range(5):
        left.report(1 + 100 * k, 10.0 * k)
    assert left.at(40.0) == pytest.approx(0.1 * 599)
    assert left.at(50.0) == pytest.approx(0.1 * 599 - 10)
    assert left.at(500.0) == 0


def test_plain_lines_come_now_and_then(monkeypatch):
    monkeypatch.setattr(shown, "PLAIN_EVERY_S", 0.0)
    lines = PlainLines(console(terminal=False))
    lines.phase("training", 1000)
    lines.progress(Progress(500, 0.25, 0.915))
    monkeypatch.setattr(shown, "PLAIN_EVERY_S", 1e9)
    lines.progress(Progress(600, math.nan))
    lines.progress(Progress(700, 0.2))
    lines.row(ROW)
    assert text(lines._console).splitlines() == [
        "training: 1,000 examples",
        "training: 500 of 1,000 examples, loss 0.2500, accuracy 91.5 %",
        "training: 600 of 1,000 examples",
        "epoch 1: loss 0.5000, test loss 0.6000, test accuracy 71.25 %, 200 examples/s",
    ]


def test_what_is_shown_follows_where_it_goes():
    assert isinstance(display(quiet=True), Quiet)
    assert isinstance(display(quiet=False), PlainLines)  # under pytest, no terminal


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress(1), ""),
        (Progress(1, 0.5), "loss 0.5000"),
        (Progress(1, 0.5, 1.0), "loss 0.5000, accuracy 100.0 %"),
    ],
)
def test_only_what_is_known_is_said(progress, words):
    assert learning(progress) == words


def test_a_run_reports_loss_and_accuracy_while_it_runs():
    class Recorder(Quiet):
        def __init__(self):
            self.seen = []

        def progress(self, progress):
            self.seen.append(progress)

    recorder = Recorder()
    config = small_config(training={"examples": 100, "epochs": 3, "log_every": 5})
    train(config, callbacks=recorder)
    during = [p for p in recorder.seen if not math.isnan(p.accuracy)]
    assert len(during) >= 3
    assert all(p.loss > 0 and 0 <= p.accuracy <= 1 for p in during)
    assert [p.examples for p in recorder.seen] == sorted(p.examples for p in recorder.seen)

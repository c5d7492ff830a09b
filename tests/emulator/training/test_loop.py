"""The training loop: where spans end never shows, and no loss changes a bit."""

import time

import pytest

import crossmesh.emulator.training.spans
import crossmesh.emulator.training.whole_run
from crossmesh.common.errors import ConfigError, HostLost, RunLost
from crossmesh.common.storage import NotWritten
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.runs.directory import config_digest
from crossmesh.emulator.runs.history import History
from crossmesh.emulator.training.spans import Spans
from crossmesh.emulator.training.training import train
from crossmesh.tiles.runtime.program import NOTHING
from tests.jobs import SCHEDULES, small_config, small_job, steps


class Cut(Exception):  # noqa: N818  because it stands for a signal
    pass


class Notes(NoCallbacks):
    def __init__(self):
        self.notes = []

    def note(self, text):
        if not text.startswith("needs about "):  # which every run says
            self.notes.append(text)


def ends(job, measured=NOTHING):
    """Examples of an epoch after each span, if every span takes a second."""
    spans, done, found = Spans(job), 0, []
    while done < job.n_train:
        span = spans.next(0, done, measured)
        spans.took(span, 1.0)
        done += span.n_examples
        found.append(done)
    return found


@pytest.mark.parametrize(
    ("schedule", "every", "expected"),
    [
        ("sequential", None, [*range(4, 50, 4), 50]),
        ("synchronous", None, [12, 24, 36, 48, 50]),
        ("synchronous", 20, [12, 24, 36, 48, 50]),
        ("synchronous", 30, [12, 24, 36, 48, 50]),
        ("asynchronous", None, [50]),
        ("asynchronous", 20, [20, 40, 50]),
        ("asynchronous", 21, [24, 44, 50]),
    ],
)
def test_spans_end_where_the_pipeline_is_drained(schedule, every, expected):
    assert ends(small_job(schedule=schedule, checkpoint={"every_examples": every})) == expected


def test_spans_grow_until_they_take_a_second():
    spans, span = Spans(small_job(training={"examples": 1000})), None
    for _ in range(6):
        span = spans.next(0, 0, NOTHING)
        spans.took(span, span.n_examples / 200)

    assert span.n_examples == 200


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("span_s", [0.0, 1e9])
def test_where_spans_end_changes_neither_state_nor_metrics(schedule, span_s, monkeypatch):
    config = small_config(schedule=schedule, training={"log_every": 7})
    expected = train(config)
    monkeypatch.setattr(crossmesh.emulator.training.spans, "SPAN_S", span_s)
    result = train(config)

    assert result.state_digest == expected.state_digest
    for column in ("epoch", "examples", "loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert result.history[column] == expected.history[column]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_goes_on_from_the_middle_of_an_epoch(schedule, tmp_path, monkeypatch):
    config = small_config(
        schedule=schedule, training={"log_every": 7}, checkpoint={"every_examples": 12, "keep": 3}
    )
    whole = train(config)

    class Cutter(NoCallbacks):
        def row(self, row):
            if row.epoch == 2 and row.examples > 50 + 24:
                raise Cut

    monkeypatch.setattr(crossmesh.emulator.training.spans, "SPAN_S", 0.0)
    with pytest.raises(Cut):
        train(config, tmp_path / "run", Cutter())
    assert [int(step.name[5:]) for step in steps(tmp_path / "run")] == [50, 62, 74]
    notes = Notes()
    resumed = train(config, tmp_path / "run", notes, resume=True)

    assert notes.notes == ["resumed after 74 examples"]
    assert resumed.state_digest == whole.state_digest
    assert resumed.history["loss"] == whole.history["loss"]
    assert resumed.tiles["pulses"] == whole.tiles["pulses"]


def test_draining_an_endless_pipeline_is_a_part_of_the_result():
    drained = {every: small_config(schedule="asynchronous", checkpoint={"every_examples": every})
               for every in (None, 12)}  # fmt: skip

    assert train(drained[None]).state_digest != train(drained[12]).state_digest
    assert config_digest(drained[None]) != config_digest(drained[12])
    free = small_config(checkpoint={"every_examples": 12, "every_s": 1.0, "keep": 9})
    assert config_digest(free) == config_digest(small_config())


def test_a_checkpoint_is_taken_when_the_last_is_too_old(tmp_path, monkeypatch):
    monkeypatch.setattr(crossmesh.emulator.training.spans, "SPAN_S", 0.0)
    config = small_config(training={"epochs": 1}, checkpoint={"every_s": 1e-9, "keep": 100})
    train(config, tmp_path / "run")

    assert [int(step.name[5:]) for step in steps(tmp_path / "run")] == [*range(4, 50, 4), 50]


def losing(times):
    """An executor that loses its host in some of its spans, half-way through."""

    class Losing(LocalExecutor):
        n_spans = 0
        n_recovered = 0

        def run(self, span, watch):
            type(self).n_spans += 1
            outcome = super().run(span, watch)
            if self.n_spans in times:
                raise HostLost("the actor of tile 0 died: it was killed")
            return outcome

        def recover(self):
            type(self).n_recovered += 1
            if self.n_recovered == 2:
                raise HostLost("the actor of tile 1 died meanwhile")

    return Losing


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("directory", [None, "run"])
def test_no_loss_changes_a_bit(schedule, directory, tmp_path, monkeypatch):
    monkeypatch.setattr(crossmesh.emulator.training.spans, "SPAN_S", 0.0)
    config = small_config(schedule=schedule, training={"log_every": 7})
    whole = train(config)
    executor = losing({1, 3, 4})
    monkeypatch.setattr(crossmesh.emulator.training.whole_run, "create", executor)
    notes, started = Notes(), time.time()
    result = train(config, directory and tmp_path / directory, notes)

    assert result.state_digest == whole.state_digest
    for column in ("epoch", "examples", "loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert result.history[column] == whole.history[column]
    assert result.emulation.recoveries == 3
    assert executor.n_recovered == 4
    assert notes.notes[:2] == [
        "2 epochs x 50 examples",
        "the actor of tile 0 died: it was killed; recovering",
    ]
    rows = result.recoveries.to_pylist()
    assert [row["what"] for row in rows][1] == "the actor of tile 1 died meanwhile"
    for row in rows:
        assert started < row["time_s"] <= row["resumed_s"] < time.time()
        assert row["examples_lost"] >= 0


def test_a_run_that_is_lost_too_often_ends_with_the_reason_and_the_way_on(tmp_path, monkeypatch):
    monkeypatch.setattr(crossmesh.emulator.training.whole_run, "create", losing(range(5, 1000)))
    config = small_config(engine={"recoveries_per_hour": 3})
    with pytest.raises(RunLost) as failure:
        train(config, tmp_path / "run")

    assert str(failure.value) == (
        "the actor of tile 0 died: it was killed (after 3 recoveries within an hour; "
        "engine.recoveries_per_hour allows no more); "
        f"resume with: crossmesh resume {tmp_path / 'run'}"
    )


def test_without_room_for_checkpoints_a_run_goes_on(tmp_path, monkeypatch):
    whole = train(small_config(training={"epochs": 4}))

    class Full(LocalExecutor):
        n_saved = 0

        def save(self, folder):
            self.n_saved += 1
            if self.n_saved in {2, 3}:
                raise NotWritten("x cannot be written: No space left on device")
            return super().save(folder)

    monkeypatch.setattr(crossmesh.emulator.training.whole_run, "create", Full)
    notes = Notes()
    result = train(small_config(training={"epochs": 4}), tmp_path / "run", notes)

    assert notes.notes == [
        "4 epochs x 50 examples",
        "no checkpoint after 100 examples: x cannot be written: No space left on device; "
        "training continues and the next checkpoint is tried",
        "checkpoints can be written again",
    ]
    assert result.state_digest == whole.state_digest
    assert [int(step.name[5:]) for step in steps(tmp_path / "run")] == [50, 200]


def test_a_storage_with_checkpoints_of_another_run_is_refused(tmp_path):
    config = small_config(checkpoint={"storage": str(tmp_path / "all")})
    train(config, tmp_path / "first")
    assert len(list((tmp_path / "all").glob("step-*"))) == 2
    rule = f"checkpoint.storage must be new or empty, got one with checkpoints: {tmp_path / 'all'}"
    with pytest.raises(ConfigError, match=rule):
        train(config, tmp_path / "second")
    assert not (tmp_path / "second").exists()
    assert train(config, tmp_path / "first", resume=True).examples_trained == 100


def test_what_was_survived_is_never_forgotten():
    now, saved = History(wall_s=9.0), History(epoch=1, examples=50, wall_s=3.0)
    now.recoveries.append("a loss")
    now.restored(saved)

    assert (now.epoch, now.examples, now.wall_s) == (1, 50, 9.0)
    assert now.recoveries == ["a loss"]

"""What a run will need is said before it starts, and a disk without room is refused."""

from dataclasses import replace

import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.common.storage import Storage
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.training import estimate as module
from crossmesh.emulator.training.estimate import checkpoint_bytes, estimate, time_line
from crossmesh.emulator.training.training import train
from tests.jobs import small_config, small_job


class Notes:
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)

    def phase(self, name, total):
        pass

    progress = row = lambda self, what: None


@pytest.mark.parametrize("kind", ["constant_step", "ideal", "pair", "pcm_3t1c"])
def test_a_checkpoint_takes_the_bytes_that_were_said(kind, tmp_path):
    job = prepare(load_config("digits", [f"tile.cell.kind={kind}"]))
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    executor.save(str(tmp_path))
    written = sum(path.stat().st_size for path in tmp_path.iterdir())

    assert checkpoint_bytes(job) == pytest.approx(written, rel=0.02)


def test_memory_grows_with_actors_and_the_disk_holds_one_more_than_are_kept(tmp_path):
    job = small_job()
    alone, many = (estimate(job, Storage(str(tmp_path)), n) for n in (0, 4))

    assert many.memory_bytes > 3 * alone.memory_bytes
    assert alone.disk_bytes == (alone.kept + 1) * checkpoint_bytes(job)
    assert alone.kept == min(job.config.checkpoint.keep, job.config.training.epochs)
    assert estimate(job, None).disk_bytes == 0
    assert "disk" not in str(estimate(job, None))
    assert " of memory " in str(alone)


def test_a_disk_that_is_nearly_full_is_warned_of_and_one_without_room_is_refused(tmp_path):
    found = replace(estimate(small_job(), Storage(str(tmp_path))), kept=1)
    roomy, near, full = (
        replace(found, free_disk=found.checkpoint_bytes * factor // 10) for factor in (1000, 15, 9)
    )

    assert roomy.warning == ""
    roomy.check_disk()
    assert near.warning.startswith("the disk may not hold the checkpoints")
    near.check_disk()
    with pytest.raises(ConfigError, match=r"checkpoint.storage must have .* free for 1 checkpoint"):
        full.check_disk()
    replace(full, there=1).check_disk()  # it is replaced


def test_a_run_says_what_it_needs_and_how_long_it_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LONG_S", 0.0)
    monkeypatch.setattr("crossmesh.emulator.training.loop.TOLD_AFTER_S", 0.0)
    notes = Notes()
    train(small_config(), tmp_path / "run", notes)

    needs = [line for line in notes.lines if line.startswith("needs about ")]
    assert len(needs) == 1
    assert "for checkpoints" in needs[0]
    assert sum(line.startswith("training takes about ") for line in notes.lines) == 1


def test_a_run_without_room_is_refused_before_hosts_start(tmp_path, monkeypatch):
    monkeypatch.setattr(Storage, "free_bytes", lambda self: 100)
    monkeypatch.setattr("crossmesh.emulator.training.whole_run.create", pytest.fail)

    with pytest.raises(ConfigError, match=r"got 0\.1 KiB"):
        train(small_config(), tmp_path / "run")


def test_short_times_are_not_said():
    assert time_line(5) == ""
    assert time_line(600) == "training takes about 10 min 0 s"

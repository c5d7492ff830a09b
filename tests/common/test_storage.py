"""Where checkpoints lie: folders made visible at once, files that are whole, and what cannot be."""

import os

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.common.storage import NotWritten, Storage
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.runs.checkpoints import Checkpoints
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.history import History
from crossmesh.tiles.runtime.tile_file import Damaged, load_state, save_state
from tests.jobs import small_config, small_job

STATE = {
    "g": np.arange(6, dtype=np.float32).reshape(2, 3),
    "n": np.array([7], np.int64),
    "empty": np.zeros((0, 4), np.float32),
}


@pytest.fixture(params=["path", "uri"])
def storage(request, tmp_path):
    return Storage(str(tmp_path / "a b") if request.param == "path" else f"file://{tmp_path}/ab")


def test_a_state_comes_back_bit_for_bit(storage):
    folder = storage.begin("x")
    digest = save_state(folder, "t", STATE)
    back = load_state(folder, "t", digest)

    assert back.keys() == STATE.keys()
    for name, array in STATE.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_what_is_written_aside_is_seen_only_when_published(storage):
    folder = storage.begin("step-1")
    folder.write("t", b"123")
    assert "step-1" not in storage.names()

    storage.publish(folder, "step-1")

    assert storage.names() == ["step-1"]
    assert storage.folder("step-1").read("t").to_pybytes() == b"123"
    storage.folder("step-1").remove()
    storage.folder("step-1").remove()
    assert storage.names() == []


def test_what_a_crash_left_aside_is_gone_with_the_next(storage):
    job = small_job()
    executor, checkpoints = LocalExecutor(job), Checkpoints(storage, job)
    executor.write_initial_weights()
    storage.begin("step-000000000005").write("tile-000000.arrow", b"half")
    checkpoints.save(History(examples=8), executor)

    assert storage.names() == ["step-000000000008"]


def test_whatever_ends_a_save_leaves_what_was_there(storage):
    job = small_job()

    class Lost(LocalExecutor):
        def save(self, folder):
            super().save(folder)
            raise KeyboardInterrupt

    executor, checkpoints = Lost(job), Checkpoints(storage, job)
    executor.write_initial_weights()
    Checkpoints(storage, job).save(History(examples=4), LocalExecutor(job))
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(History(examples=8), executor)

    assert storage.names() == ["step-000000000004"]


def test_what_is_not_what_was_written_is_damaged(storage):
    folder = storage.begin("x")
    digest = save_state(folder, "t", STATE)
    folder.write("t", folder.read("t").to_pybytes()[:-1] + b"?")

    with pytest.raises(Damaged, match="t does not have the checksum that was written"):
        load_state(folder, "t", digest)
    with pytest.raises(Damaged, match="u is missing"):
        load_state(folder, "u", digest)


def test_an_object_store_has_no_folders_to_rename(monkeypatch, tmp_path):
    """There what is written last makes a checkpoint one; a folder of files stands for it here."""
    monkeypatch.setattr(Storage, "renames", False)
    job = small_job()
    executor, checkpoints = LocalExecutor(job), RunDirectory(tmp_path).checkpoints(job)
    executor.write_initial_weights()
    storage = Storage(str(tmp_path / "checkpoints"))
    storage.begin("step-000000000005").write("tile-000000.arrow", b"half")
    assert checkpoints.restore(executor, print) is None
    checkpoints.save(History(examples=8), executor)

    assert storage.names() == ["step-000000000008"]
    assert checkpoints.restore(executor, print).examples == 8


def test_a_place_that_cannot_be_written_says_where_and_why(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(NotWritten, match=rf"{tmp_path}/file/\.x\.[0-9a-f]+ cannot be written: "):
        Storage(str(tmp_path / "file")).begin("x")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110  because it is evaluated at import
def test_a_full_disk_says_so():
    with pytest.raises(NotWritten, match="/dev cannot be written: No space left on device"):
        Storage("/dev").write("full", b"x" * 10_000)


def test_an_unknown_file_system_is_refused(tmp_path):
    config = small_config(checkpoint={"storage": "ftp://host/folder"})
    rule = (
        "checkpoint.storage must be a folder or an address such as s3://bucket/folder, got ftp://"
    )
    with pytest.raises(ConfigError, match=rule):
        RunDirectory(tmp_path).storage(config)

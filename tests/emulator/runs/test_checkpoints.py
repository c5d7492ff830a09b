"""Checkpoints: which are trusted, which are kept, and which a run may go on from."""

import hashlib
import os
import shutil

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.storage import NotRead, Storage
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.history import History
from crossmesh.emulator.training.training import train
from crossmesh.tiles.runtime.tile_file import Damaged, load_state, save_state
from tests.jobs import small_config, small_job, steps


class Notes(NoCallbacks):
    def __init__(self):
        self.notes = []

    def note(self, text):
        if not text.startswith("needs about "):  # which every run says
            self.notes.append(text)


def names(path):
    return [folder.name for folder in steps(path)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three epochs of 50 examples, not to be changed."""
    path = tmp_path_factory.mktemp("finished") / "run"
    return path, train(small_config(training={"epochs": 3}), path)


@pytest.fixture
def run(finished, tmp_path):
    path, result = finished
    shutil.copytree(path, tmp_path / "run")
    return tmp_path / "run", result


def resume(path, **changes):
    notes = Notes()
    config = small_config(**{"training": {"epochs": 3}, **changes})
    return train(config, path, notes, resume=True), notes.notes


def test_the_newest_two_are_kept(run):
    assert names(run[0]) == ["step-000000000100", "step-000000000150"]


def test_a_run_that_is_resumed_with_more_epochs_equals_a_longer_one(run):
    longer, notes = resume(run[0], training={"epochs": 5})

    assert notes == ["resumed after 150 examples"]
    whole = train(small_config(training={"epochs": 5}))
    assert longer.state_digest == whole.state_digest
    assert longer.history["loss"] == whole.history["loss"]
    assert names(run[0]) == ["step-000000000200", "step-000000000250"]
    assert RunDirectory(run[0]).config().training.epochs == 5
    with pytest.raises(ConfigError, match=r"training\.epochs must be at least 5, which step-0000"):
        resume(run[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"epochs": 3, "learning_rate": 0.1}},
        {"seed": 5},
        {"tile": {"rows": 18}},
        {"cell": "ideal"},
    ],
)
def test_a_run_never_goes_on_with_another_config(run, changes):
    with pytest.raises(ConfigError, match=r"config\.yaml must be the one step-000000000150 was"):
        resume(run[0], **changes)
    assert names(run[0]) == ["step-000000000100", "step-000000000150"]


def test_a_run_never_goes_on_with_other_data(tmp_path, run):
    job = small_job(training={"epochs": 3})
    job.dataset.train.kept[7, 7] += 1
    with pytest.raises(ConfigError, match="data must be those that step-000000000150 was"):
        RunDirectory(run[0]).restore(job, LocalExecutor(job), lambda text: None)


def test_without_a_whole_checkpoint_nothing_begins_anew(run):
    for folder in steps(run[0]):
        (folder / "manifest.msgpack").write_bytes(b"")
    with pytest.raises(ConfigError, match="RUN must have an intact checkpoint, got 2 damage"):
        resume(run[0])
    assert names(run[0]) == ["step-000000000100", "step-000000000150"]


def test_damaged_ones_never_push_out_new_ones(run):
    folder = run[0] / "checkpoints"
    shutil.copytree(folder / "step-000000000150", folder / "step-000000000999")
    for damaged in ("step-000000000150", "step-000000000999"):
        (folder / damaged / "tile-000000.arrow").unlink()
    result, notes = resume(run[0])

    assert [note.split(":")[0] for note in notes] == [
        "checkpoint step-000000000999 is damaged and ignored",
        "checkpoint step-000000000150 is damaged and ignored",
        "resumed after 100 examples",
    ]
    assert result.state_digest == run[1].state_digest
    assert names(run[0]) == ["step-000000000100", "step-000000000150"]
    again, notes = resume(run[0])
    assert notes == ["resumed after 150 examples"]
    assert again.state_digest == result.state_digest


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_any_flipped_bit_is_noticed(finished, choice):
    path, _ = finished
    newest = steps(path)[-1]
    file = choice.draw(st.sampled_from(sorted(newest.iterdir())))
    content = bytearray(file.read_bytes())
    at = choice.draw(st.integers(0, len(content) - 1))
    changed = content.copy()
    changed[at] ^= 1 << choice.draw(st.integers(0, 7))
    job = small_job(training={"epochs": 3})
    executor, notes = LocalExecutor(job), []
    file.write_bytes(changed)
    try:
        history = RunDirectory(path).restore(job, executor, notes.append)
    finally:
        file.write_bytes(content)

    assert history.examples == 100
    assert len(notes) == 1


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"schema": 99},
        {"history": {"rows": []}, "schema": 1},
        [],
        3,
    ],
)
def test_what_is_no_manifest_is_damaged(run, manifest):
    newest = steps(run[0])[-1]
    (newest / "manifest.msgpack").write_bytes(msgpack.packb(manifest))
    _, notes = resume(run[0])
    assert "its manifest cannot be read" in notes[0]
    assert notes[1] == "resumed after 100 examples"


def test_a_tile_host_that_writes_elsewhere_is_noticed(tmp_path):
    job = small_job()

    class Elsewhere(LocalExecutor):
        def save(self, folder):
            return super().save(str(tmp_path / "another node"))

    checkpoints = RunDirectory(tmp_path).checkpoints(job)
    with pytest.raises(
        RunError, match=r"checkpoint\.storage must be a folder that all nodes share, got .*, which "
    ):
        checkpoints.save(History(), Elsewhere(job))
    assert names(tmp_path) == []


def stray(folder, kind):
    """Put something among the checkpoints that is called like one and is none."""
    path = folder / "step-000000000999"
    if kind.endswith("within"):
        path.mkdir()
        path = path / "manifest.msgpack"
    STRAYS[kind](path)


def truncated(path):
    with path.open("wb") as file:
        file.truncate(1 << 42)


STRAYS = {
    "file": lambda path: path.write_bytes(b"x"),
    "pipe": os.mkfifo,
    "loop": lambda path: path.symlink_to(path),
    "empty": lambda path: path.mkdir(),
    "name": lambda path: path.with_name("step-of-mine").mkdir(),
    "folder within": lambda path: path.mkdir(),
    "pipe within": os.mkfifo,
    "loop within": lambda path: path.symlink_to(path),
    "huge within": truncated,
}


@pytest.mark.parametrize("as_uri", [False, True])
@pytest.mark.parametrize("kind", STRAYS)
def test_a_stray_entry_never_blocks_an_older_whole_checkpoint(run, kind, as_uri):
    stray(run[0] / "checkpoints", kind)
    where = {"storage": f"file://{run[0]}/checkpoints"} if as_uri else {}
    result, notes = resume(run[0], training={"epochs": 4}, checkpoint=where)

    assert len(notes) == 2
    assert notes[0].startswith(("ignoring step-", "checkpoint step-000000000999"))
    assert "ignor" in notes[0]
    assert notes[1] == "resumed after 150 examples"
    assert result.examples_trained == 200


def test_an_entry_that_cannot_be_read_gives_way_to_an_older_one(run, monkeypatch):
    def read(storage, name):
        if storage.name == "step-000000000150":
            raise NotRead(f"{storage}/{name} cannot be read: Permission denied")
        return plain(storage, name)

    plain = Storage.read
    monkeypatch.setattr(Storage, "read", read)
    result, notes = resume(run[0])

    assert "checkpoint step-000000000150 cannot be read and is ignored" in notes[0]
    assert notes[1] == "resumed after 100 examples"
    assert result.state_digest == run[1].state_digest


@pytest.mark.parametrize("change", [{"examples": -50}, {"epoch": -1}, {"wall_s": -1.0},
                                    {"examples": 10**15}])  # fmt: skip
def test_a_history_that_no_run_has_is_damaged(run, change):
    file = steps(run[0])[-1] / "manifest.msgpack"
    body = msgpack.unpackb(msgpack.unpackb(file.read_bytes())["body"])
    body["history"] |= change
    packed = msgpack.packb(body)
    file.write_bytes(msgpack.packb({"sha256": hashlib.sha256(packed).hexdigest(), "body": packed}))
    _, notes = resume(run[0])

    assert "step-000000000150 is damaged and ignored: its manifest cannot be read" in notes[0]
    assert notes[1] == "resumed after 100 examples"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_arrays_of_any_changed_bytes_are_refused_or_whole(tmp_path, choice):
    storage = Storage(str(tmp_path))
    save_state(storage, "t", {"g": np.ones((3, 4), np.float32), "n": np.array([7], np.int64)})
    content = bytearray((tmp_path / "t").read_bytes())
    for _ in range(choice.draw(st.integers(1, 4))):
        at = choice.draw(st.integers(0, len(content) - 1))
        content[at] = choice.draw(st.sampled_from([0, 1, 127, 128, 255]))
    (tmp_path / "t").write_bytes(content)
    try:
        state = load_state(storage, "t", hashlib.sha256(content).hexdigest())
    except Damaged:
        return
    assert all(len(array.tobytes()) == array.nbytes for array in state.values())


@pytest.mark.parametrize("method", ["zstd", "lz4"])
def test_compressed_arrays_are_refused_before_they_are_unpacked(tmp_path, method):
    values = pa.array([bytes(64 << 20)], pa.large_binary())
    columns = {"name": ["g"], "type": ["<f4"], "shape": [[16 << 20]], "values": values}
    types = [pa.string(), pa.string(), pa.list_(pa.int64()), pa.large_binary()]
    schema = pa.schema([*zip(columns, types, strict=True)])
    options = pa.ipc.IpcWriteOptions(compression=method)
    with pa.ipc.new_file(str(tmp_path / "t"), schema, options=options) as file:
        file.write_batch(pa.record_batch(columns, schema=schema))
    digest = hashlib.sha256((tmp_path / "t").read_bytes()).hexdigest()

    with pytest.raises(Damaged, match=r"t does not hold the arrays of a tile \(it is compressed, "):
        load_state(Storage(str(tmp_path)), "t", digest)

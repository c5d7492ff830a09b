"""What several tests of data need."""

import gzip
import io
import struct
import tarfile
from email.message import Message
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossmesh.emulator.data import (
    SOURCES,
    DataConfig,
    load,
)
from crossmesh.emulator.data import fetch as fetching
from crossmesh.emulator.data.idx import NAMES

SHARED = Path(__file__).parents[4] / "shared" / "data"


IMAGES = (np.arange(12 * 6 * 5) % 256).astype(np.uint8).reshape(12, 6, 5)


LABELS = (np.arange(12) % 3).astype(np.uint8)


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def idx_contents(images=IMAGES, labels=LABELS):
    """The four files by name; the test set is the first half."""
    arrays = (images, labels, images[:6], labels[:6])
    return {name: idx_bytes(array) for name, array in zip(NAMES, arrays, strict=True)}


def write_idx(folder, contents=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (contents or idx_contents()).items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


def records(n, first=0):
    """Images of CIFAR-10 that differ, of labels that go round."""
    images = (np.arange(n * 3072) % 251 + first).astype(np.uint8).reshape(n, 3072)
    return np.hstack([(np.arange(n, dtype=np.uint8) % 10)[:, np.newaxis], images])


BATCHES = {
    "data_batch_1.bin": records(7).tobytes(),
    "data_batch_2.bin": records(4, first=4).tobytes(),
    "test_batch.bin": records(3, first=2).tobytes(),
}


def write_batches(folder, batches=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (batches or BATCHES).items():
        (folder / name).write_bytes(content)
    return folder


LINES = "the rain in spain,\r\nünd wer es lässt\n" * 20


def text(folder, content=LINES, **fields):
    """A config of a text with these characters."""
    file = folder / "lines.txt"
    file.write_bytes(content.encode())
    return DataConfig(source="text", file=file, **fields)


def npz(folder, **arrays):
    np.savez(folder / "mine.npz", **arrays)
    return DataConfig(source="npz", file=folder / "mine.npz")


def table(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def secluded(monkeypatch, tmp_path):
    """No data on this machine, and no network."""

    def unreachable(url, timeout):
        raise URLError("no route to host")

    monkeypatch.delenv("CROSSMESH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching, "urlopen", unreachable)
    return tmp_path


@pytest.fixture(params=SOURCES)
def dataset(request, secluded):
    """A small data set from every source."""
    folder = write_idx(secluded / "images")
    npz(folder, x_train=IMAGES, y_train=LABELS)
    table(folder / "t.parquet", a=np.arange(12.0), b=np.arange(12), label=LABELS)
    write_batches(folder)
    text(folder)
    files = {
        "cifar10": {"directory": folder},
        "text": {"file": folder / "lines.txt", "steps": 10},
        "mnist": {"directory": folder},
        "mnist-backrand": {"directory": folder},
        "fashion-mnist": {"directory": folder},
        "idx": {"directory": folder},
        "npz": {"file": folder / "mine.npz"},
        "parquet": {"file": folder / "t.parquet"},
    }
    return load(DataConfig(source=request.param, **files.get(request.param, {})))


def serve(monkeypatch, contents):
    """Answer every address by the file that its last part names; returns the addresses asked."""
    asked = []

    class Response(io.BytesIO):
        headers = Message()

    def answer(url, timeout):
        asked.append(url)
        return Response(contents[url.rsplit("/", 1)[-1]])

    monkeypatch.setattr(fetching, "urlopen", answer)
    return asked


def packed():
    return {f"{name}.gz": gzip.compress(content) for name, content in idx_contents().items()}


def parquet(folder, **columns):
    return DataConfig(source="parquet", file=table(folder / "t.parquet", **columns))


def archive(batches=None):
    """The batches in an archive like the published one, last one first."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in reversed({"readme.html": b"<p>", **(batches or BATCHES)}.items()):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()

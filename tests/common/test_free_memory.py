"""Memory: what is free, what does not fit is refused before it is read, and what reading takes."""

import gzip
import resource
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossmesh.common import free_memory
from crossmesh.emulator.data import DataConfig, DataError, load
from crossmesh.emulator.data.archive import stored_arrays
from tests.emulator.data.data_material import idx_bytes, text
from tests.fuzz.data import NAMES

N, WIDTH = 2_000, 4_096  # 8 MB in bytes


def npz(folder, **changes):
    arrays = {"x_train": np.zeros((N, WIDTH), np.uint8), "y_train": np.zeros(N, np.int64)}
    np.savez_compressed(folder / "a.npz", **arrays | changes)
    return DataConfig(source="npz", file=folder / "a.npz")


def fortran(folder):
    return npz(folder, x_train=np.zeros((WIDTH, N), np.uint8).T)


def doubles(folder):
    return npz(folder, x_train=np.zeros((N, WIDTH)))


def idx(folder):
    images = {NAMES[0]: np.zeros((N, 64, 64), np.uint8), NAMES[1]: np.zeros(N, np.uint8)}
    tests = {NAMES[2]: np.zeros((2, 64, 64), np.uint8), NAMES[3]: np.zeros(2, np.uint8)}
    for name, array in (images | tests).items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array), 1))
    return DataConfig(source="idx", directory=folder)


def parquet(folder):
    x = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(N * WIDTH, np.uint8)), WIDTH)
    pq.write_table(pa.table({"x": x, "label": np.zeros(N, np.int32)}), folder / "a.parquet")
    return DataConfig(source="parquet", file=folder / "a.parquet")


def letters(folder):
    return text(folder, "abcdefgh" * (N * WIDTH // 8))


def synthetic(folder):
    return DataConfig(source="synthetic", examples=N, test_examples=1, inputs=WIDTH // 4)


SOURCES = [npz, fortran, doubles, idx, parquet, letters, synthetic]


@pytest.mark.parametrize("make", SOURCES)
def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch, make):
    config = make(tmp_path)
    monkeypatch.setattr(free_memory, "free_bytes", lambda: 1 << 20)

    rule = r"must (hold what fits|fit) in the 1\.0 MiB of memory that are free"
    with pytest.raises(DataError, match=rf"^data\.\w+.* {rule}.*, got .* takes? \d+\.\d MiB"):
        load(config)


@pytest.mark.parametrize("make", SOURCES)
def test_reading_takes_little_more_than_what_is_kept(tmp_path, make):
    config = make(tmp_path)
    pa.default_memory_pool().release_unused()
    before = pa.default_memory_pool().max_memory()
    tracemalloc.start()
    try:
        dataset = load(config)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    peak += max(0, pa.default_memory_pool().max_memory() - before)

    parts = 24 << 20  # what is read at a time, as it is stored and as it is kept
    assert dataset.n_bytes >= 4 << 20
    assert peak < dataset.n_bytes + parts


def test_bytes_are_kept_as_bytes(tmp_path):
    data = load(npz(tmp_path, x_train=np.full((N, 8), 51, np.uint8)))

    assert data.train.kept.dtype == np.uint8
    assert data.train.inputs[0, 0] == np.float32(0.2)


@pytest.mark.parametrize("dtype", [np.int8, np.bool_, ">f4", ">i2", np.float16, np.uint8])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_type_and_order_gives_the_same_inputs(tmp_path, dtype, order):
    x = np.arange(-60, 60).reshape(10, 3, 4).astype(dtype)
    data = load(npz(tmp_path, x_train=np.asarray(x, order=order), y_train=np.arange(10),
                    x_test=x, y_test=np.arange(10)))  # fmt: skip

    scale = 255 if dtype == np.uint8 else 1
    np.testing.assert_array_equal(
        data.train.inputs, x.astype(np.float32).reshape(10, -1) / np.float32(scale)
    )


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_split_and_a_crop_of_either_order_are_the_same(tmp_path, monkeypatch, order):
    monkeypatch.setattr("crossmesh.emulator.data.stored.PART_BYTES", 64)
    x = np.random.default_rng(0).integers(0, 256, (20, 6, 5)).astype(np.uint8)
    config = npz(tmp_path, x_train=np.asarray(x, order=order), y_train=np.arange(20))
    whole = load(config)
    crop = {"rows": (1, 4), "columns": (2, 5)}
    part = load(DataConfig(**{**config.model_dump(), "crop": crop}))

    for of_all, of_part in ((whole.train, part.train), (whole.test, part.test)):
        np.testing.assert_array_equal(of_all.kept, x[of_all.targets].reshape(len(of_all), -1))
        np.testing.assert_array_equal(
            of_part.kept, x[of_all.targets, 1:4, 2:5].reshape(len(of_part), -1)
        )


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_control_group_counts(tmp_path, monkeypatch, version):
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        2: ("memory.max", "memory.current"),
    }[version]
    given_back = {
        1: "total_inactive_file 200\ntotal_active_file 50\ninactive_file 3\n",
        2: "inactive_file 190\nactive_file 40\nslab_reclaimable 20\nslab 7\n",
    }[version]
    root = tmp_path / "memory" if version == 1 else tmp_path
    (root / "job" / "step").mkdir(parents=True)
    for folder, most, used in (("job", "5000", "1500"), ("job/step", "max", "100")):
        for name, content in zip(names, (most, used), strict=True):
            (root / folder / name).write_text(f"{content}\n")
        (root / folder / "memory.stat").write_text(f"anon 1\n{given_back}")
    group = "4:cpu,memory:/job/step" if version == 1 else "0::/job/step"
    lines = {"/proc/self/cgroup": [group], "/proc/meminfo": ["MemAvailable:  9 kB"]}
    plain = free_memory._lines
    monkeypatch.setattr(free_memory, "_lines", lambda path: lines.get(str(path)) or plain(path))
    monkeypatch.setattr(free_memory, "_GROUPS", tmp_path)

    assert free_memory.free_bytes() == 5000 - 1500 + 250
    assert free_memory.lacking(3750) is None
    assert free_memory.lacking(3751) == 3750


def test_a_limit_on_the_address_space_counts(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 20, resource.RLIM_INFINITY))

    assert free_memory.free_bytes() == 0


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_compressed_in_another_way_is_refused(method, tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.zeros((4, 2)))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        body = archive.read("x_train.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("x_train.npy", body)

    with pytest.raises(DataError, match=r"x_train\.npy is compressed in another way than NumPy's"):
        stored_arrays(tmp_path / "a.npz", DataError)

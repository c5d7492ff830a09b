"""What a user brings: data sets, texts, networks; small, and real where there is one."""

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crossmesh.emulator.data import DataConfig, load

EXAMPLES, TESTS = 40, 20
IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
ROOT = Path(__file__).parents[3]


def real_data(shared: Path, folder: Path) -> None:
    """The first examples of each published set, in files of the form that it has."""
    for name in ("mnist", "fashion-mnist"):
        (folder / name).mkdir(parents=True)
        for part in IDX:
            n = TESTS if part.startswith("t10k") else EXAMPLES
            _first_of_idx(shared / name / f"{part}-ubyte.gz", folder / name / f"{part}-ubyte.gz", n)
    (folder / "cifar10").mkdir()
    for given, taken, n in (
        ("data_batch_1_first4000", "data_batch_1", EXAMPLES),
        ("test_batch_first1000", "test_batch", TESTS),
    ):
        with gzip.open(shared / "cifar10-subset" / f"{given}.bin.gz") as file:
            records = file.read(3073 * n)
        (folder / "cifar10" / f"{taken}.bin").write_bytes(records)
    (folder / "tinyshakespeare").mkdir()
    text = (shared / "tinyshakespeare" / "input.txt").read_text("utf-8")
    alphabet = "".join(sorted(set(text)))  # so that it has as many characters as the whole
    (folder / "tinyshakespeare" / "input.txt").write_text(text[:8000] + alphabet, "utf-8")


def _first_of_idx(source: Path, target: Path, n: int) -> None:
    with gzip.open(source) as file:
        magic = file.read(4)
        sizes = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
        content = file.read(n * int(np.prod(sizes[1:], dtype=int)))
    with gzip.open(target, "wb", compresslevel=1) as file:
        file.write(magic + struct.pack(f">{magic[3]}I", n, *sizes[1:]) + content)


def own_data(folder: Path) -> None:
    """Digits in every format of files of one's own, and targets of every form."""
    digits = load(DataConfig(source="digits"))
    x, labels = digits.train.inputs[:EXAMPLES], digits.train.targets[:EXAMPLES]
    x_test, labels_test = digits.test.inputs[:TESTS], digits.test.targets[:TESTS]
    np.savez(folder / "classes.npz", x_train=x.reshape(-1, 8, 8), y_train=labels)
    one_hot = np.eye(10, dtype=np.float32)
    for name, targets in (
        ("one-hot", one_hot),
        ("several", np.maximum(one_hot, np.roll(one_hot, 3, axis=1))),
        ("values", np.linspace(-0.9, 0.9, 20, dtype=np.float32).reshape(10, 2)),
    ):
        np.savez(
            folder / f"{name}.npz",
            x_train=x, y_train=targets[labels], x_test=x_test, y_test=targets[labels_test],
        )  # fmt: skip
    pq.write_table(pa.table({"x": list(x), "label": labels}), folder / "train.parquet")
    pq.write_table(pa.table({"x": list(x_test), "label": labels_test}), folder / "test.parquet")
    tokens = (16 * x[:, :7]).astype(np.uint8)
    following = np.roll(tokens, -1, axis=1).astype(np.int64)
    np.savez(folder / "tokens.npz", x_train=tokens, y_train=following)
    table = {"x": list(tokens), "label": list(following)}
    pq.write_table(pa.table(table), folder / "tokens.parquet")
    a, b = x[:, :40].reshape(-1, 5, 8), (255 * x[:, 40:]).astype(np.uint8)
    np.savez(folder / "columns.npz", a_train=a, b_train=b, y_train=labels)
    table = {"a": list(x[:, :40]), "b": list(b), "label": labels}
    pq.write_table(pa.table(table), folder / "columns.parquet")
    (folder / "idx").mkdir()
    arrays = (16 * x.reshape(-1, 8, 8), labels, 16 * x_test.reshape(-1, 8, 8), labels_test)
    for part, array in zip(IDX, arrays, strict=True):
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / "idx" / f"{part}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())
    shutil.copy(ROOT / "LICENSE", folder / "text.txt")

"""Data sets and weights whose files are broken, or stand for more than they hold."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.bytes import mutated
from tests.jobs import small_config

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")  # fmt: skip
SIZES = (0, 1, 2, 7, 255, 2**16, 2**31, 2**32 - 1)


def command(folder: Path, **changes: Any) -> list[str]:
    """Training on few examples of what is in a folder."""
    tree = small_config().model_dump(mode="json")
    tree["training"] |= {"epochs": 1, "examples": None, "test_examples": None, "log_every": 4}
    for key, value in changes.items():
        tree[key] = value
    (folder / "c.yaml").write_text(json.dumps(tree))
    return ["train", "c.yaml", "--run-dir", "run", "--quiet"]


def idx(rng: Random, folder: Path) -> list[str]:
    """The four files of images and labels, one of them changed."""
    images = rng.randbytes(16 * 8 * 8)
    bodies = {
        NAMES[0]: _idx((16, 8, 8), images),
        NAMES[1]: _idx((16,), bytes(n % 10 for n in range(16))),
        NAMES[2]: _idx((4, 8, 8), images[:256]),
        NAMES[3]: _idx((4,), bytes(4)),
    }
    name = rng.choice(NAMES)
    match rng.randrange(4):
        case 0:
            bodies[name] = mutated(bodies[name], rng)
        case 1:
            n_axes = 3 if "images" in name else 1
            shape = tuple(rng.choice(SIZES) for _ in range(n_axes))
            bodies[name] = _idx(shape, bytes(min(2**22, int(np.prod(shape, dtype=object)))))
    for stem, body in bodies.items():
        packed = gzip.compress(body, 1, mtime=0)
        if stem == name and rng.random() < 0.5:
            packed = mutated(packed, rng)
        plain = rng.random() < 0.3
        (folder / f"{stem}{'' if plain else '.gz'}").write_bytes(body if plain else packed)
    return command(folder, data={"source": "idx", "directory": "."})


def _idx(shape: tuple[int, ...], body: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + body


def npz(rng: Random, folder: Path) -> list[str]:
    """An archive of examples: other types, shapes and headers, or broken."""
    n = 16
    x: Any = rng.choice(_inputs(n))
    y: Any = rng.choice(_answers(n)) if rng.random() < 0.4 else np.arange(n) % 10
    if rng.random() < 0.4:
        x = np.asarray(np.random.default_rng(0).normal(size=(n, 6)))
    content = _archive({"x_train": x, "y_train": y}, rng)
    (folder / "d.npz").write_bytes(mutated(content, rng) if rng.random() < 0.5 else content)
    return command(folder, data={"source": "npz", "file": "d.npz"})


def _inputs(n: int) -> list[Any]:
    return [
        np.zeros((n, 6), np.uint8), np.ones((n, 6), ">f4"), np.ones((6, n)).T,
        np.full((n, 6), np.nan), np.full((n, 6), -np.inf), np.full((n, 6), 1e39), np.float64(3),
        np.array([{}] * n), np.array([["é"] * 3] * n), np.zeros((n, 0)), np.zeros((0, 6)),
        np.zeros(n, [("a", "f4"), ("b", "i8")]), np.zeros((n, 6), np.complex64),
        np.zeros((n, 6), np.float16), np.ones((n, 6), np.bool_), np.zeros((n, 3, 2, 2, 2)),
        np.zeros((n, 6), "M8[s]"), np.zeros((n, 6), np.longdouble), np.zeros((1, 6)),
    ]  # fmt: skip


def _answers(n: int) -> list[Any]:
    return [
        np.int64(1), np.arange(n) - 1, np.full(n, 2**31 - 1), np.full(n, 2**63, np.uint64),
        np.array(["a"] * n), np.arange(n, dtype=float), np.ones((n, 10)), np.full((n, 10), np.nan),
        np.zeros((n, 0)), np.arange(n + 1), np.eye(n), np.zeros((n, 2, 2)), np.full(n, 10**6),
    ]  # fmt: skip


def _archive(arrays: dict[str, Any], rng: Random) -> bytes:
    packed = io.BytesIO()
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    method = rng.choice(methods)
    with zipfile.ZipFile(packed, "w") as file:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=True)
            body = member.getvalue()
            if rng.random() < 0.3:
                body = _with_header(body, rng)
            name = (name if rng.random() < 0.05 else f"{name}.npy")[:10_000]  # ZIP takes 65,535
            info = zipfile.ZipInfo(name)  # of 1980
            file.writestr(info, body, method)
    content = bytearray(packed.getvalue())
    if rng.random() < 0.1:  # as if encrypted
        for mark, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
            content[content.index(mark) + offset] |= 1
    return bytes(content)


def _with_header(body: bytes, rng: Random) -> bytes:
    """An array whose header says something else."""
    texts = (
        "((((" * 500, "{" * 3000, "{'descr': '<f8', 'fortran_order': False, 'shape': (10**12, 4)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 4), }",
        "{'descr': '<f8', 'fortran_order': True, 'shape': (-1, 4), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (16, 6), }",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (16, 6), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", "", "x", "L" * 9999, "[1, 2]",
        "{'descr': [('a', '<f8', (99999, 99999))], 'fortran_order': False, 'shape': (16, ), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 6), }",
    )  # fmt: skip
    text = rng.choice(texts).encode()
    start = body.index(b"{")
    version = rng.choice([1, 1, 2, 3, 9])
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + body[start + 100 :]


def parquet(rng: Random, folder: Path) -> list[str]:
    """A table of other types, or broken."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 16
    columns: dict[str, Any] = {"a": np.arange(n, dtype=float), "label": np.arange(n) % 10}
    others = (
        pa.array([None] * n, pa.float64()), pa.array(["é"] * n), pa.array([[1, 2]] * n),
        pa.array([[k] * (k % 3) for k in range(n)]), pa.array([[[1.0]]] * n),
        pa.array([{"a": 1}] * n), pa.array([1.5] * n, pa.float16()), pa.array([2**63] * n, "u8"),
        pa.array([[0, 255]] * n, pa.list_(pa.uint8(), 2)), pa.nulls(n), pa.array([b"x"] * n),
        pa.array([float("nan")] * n), pa.array([1] * n, pa.decimal128(9, 2)), pa.array([[]] * n,
        pa.list_(pa.float32())), pa.array([True] * n), pa.array([10**6] * n),
    )  # fmt: skip
    if rng.random() < 0.7:
        columns[rng.choice(["x", "label", "target", "a", "b", "x" * 70_000])] = rng.choice(others)
    path = folder / "d.parquet"
    pq.write_table(pa.table(columns), path, compression=rng.choice(["none", "snappy", "zstd"]),
                   row_group_size=rng.choice([5, 100]))  # fmt: skip
    if rng.random() < 0.6:
        path.write_bytes(mutated(path.read_bytes(), rng))
    return command(folder, data={"source": "parquet", "file": "d.parquet"})


def text(rng: Random, folder: Path) -> list[str]:
    """A text of any bytes."""
    content = rng.choice([b"abcdefgh" * 40, "äöü€😀\u0301".encode() * 30, bytes(400), b"a" * 300,
                          b"\r\n" * 200, b"", b"\xef\xbb\xbf" + b"ab" * 100])  # fmt: skip
    if rng.random() < 0.6:
        content = mutated(content, rng)
    is_packed = rng.random() < 0.3
    name = f"t.txt{'.gz' * is_packed}"
    packed = gzip.compress(content, mtime=0) if is_packed else content
    (folder / name).write_bytes(mutated(packed, rng) if rng.random() < 0.2 else packed)
    network = [{"kind": "embedding", "width": 4}, {"kind": "lstm", "outputs": 4},
               {"kind": "linear", "outputs": 30, "activation": "softmax"}]  # fmt: skip
    return command(folder, data={"source": "text", "file": name, "steps": 8}, network=network)


def weights(rng: Random, folder: Path) -> list[str]:
    """Weights that do not fit, or are broken."""
    sizes = (64, 16, 9, 10)
    arrays: dict[str, Any] = {}
    for k in range(3):
        arrays[f"linear{k}.weight"] = np.zeros((sizes[k + 1], sizes[k]), np.float32)
        arrays[f"linear{k}.bias"] = np.zeros(sizes[k + 1])
    if rng.random() < 0.6:
        name = rng.choice([*arrays, "é" * 70_000, "other"])
        arrays[name] = rng.choice([*_inputs(16), *_answers(16)])
    content = _archive(arrays, rng)
    (folder / "w.npz").write_bytes(mutated(content, rng) if rng.random() < 0.5 else content)
    arguments = command(folder, weights="w.npz")
    return [*arguments, "--examples", "8", "--set", "training.test_examples=4"]

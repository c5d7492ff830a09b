"""Checkpoints of 100 million weights by two actors, against one file of as many bytes."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, figure, ratios, take_turns
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.engines import create
from crossmesh.emulator.executors.executor import Executor

PART_BYTES = 1 << 20
QUICK = ("network=[{kind: linear, outputs: 4096, activation: tanh},"
         "{kind: linear, outputs: 10, activation: softmax}]",)  # fmt: skip


def checkpoints(rounds: int, *, quick: bool) -> Iterator[Figure]:
    """Writing through to the disk, and reading what the system has forgotten."""
    job = prepare(load_config("synthetic-100m", QUICK if quick else ()))
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".crossmesh-") as scratch:
        folder, plain = Path(scratch) / "step", Path(scratch) / "plain"
        with closing(create(job)) as executor:
            executor.write_initial_weights()
            files = _saved(executor, folder)
            n_bytes = sum(path.stat().st_size for path in folder.iterdir())
            turns: dict[str, Callable[[], object]] = {
                "plain write": lambda: _write(plain, n_bytes),
                "save": lambda: _saved(executor, folder),
                "plain read": lambda: _read(plain),
                "load": lambda: executor.load(str(folder), files),
            }
            seconds = take_turns(turns, rounds, before=lambda: _forget(Path(scratch)))
    what = f"{n_bytes / 1e6:,.0f} MB, {len(job.program.blocks)} tiles"
    for name, plain_name in (("save", "plain write"), ("load", "plain read")):
        rates = [n_bytes / 1e6 / s for s in seconds[plain_name]]
        yield figure("checkpoints", f"{plain_name}, one file, {what}", rates, "MB/s", better="high")
        shares = ratios(seconds, plain_name, name)
        yield figure(
            "checkpoints", f"{name} / {plain_name}, bandwidth, {what}", shares, "ratio",
            aim=0.5, better="high",
        )  # fmt: skip


def _saved(executor: Executor, folder: Path) -> dict[str, str]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return executor.save(str(folder))


def _write(path: Path, n_bytes: int) -> None:
    part = np.random.default_rng(0).bytes(PART_BYTES)
    with path.open("wb") as file:
        for _ in range(n_bytes // PART_BYTES):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(PART_BYTES):
            pass


def _forget(folder: Path) -> None:
    """Have the system forget what it holds of files, so that reads come from the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            number = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(number)

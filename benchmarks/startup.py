"""Seconds from the command to the first trained example."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, figure

ONE_EXAMPLE = ("--examples", "1", "--epochs", "1", "--set", "training.test_examples=1")


def startup(rounds: int) -> Iterator[Figure]:
    """The command ``crossmesh train digits``, with kernels in the cache and without."""
    for engine in ("local", "ray"):
        _until_trained(engine, os.environ)  # fills the cache
        warm = [_until_trained(engine, os.environ) for _ in range(rounds)]
        yield figure("startup", f"{engine}, kernels in the cache", warm, "s")
    cold = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="crossmesh-") as cache:
            cold.append(_until_trained("local", {**os.environ, "XDG_CACHE_HOME": cache}))
    yield figure("startup", "local, first time on a machine", cold, "s")


def _until_trained(engine: str, environment: "os._Environ[str] | dict[str, str]") -> float:
    """Seconds until the command says that its only epoch, of one example, is done."""
    with tempfile.TemporaryDirectory(prefix="crossmesh-") as folder:
        options = ("--engine", engine, "--run-dir", str(Path(folder) / "run"))
        command = (sys.executable, "-m", "crossmesh", "train", "digits", *options, *ONE_EXAMPLE)
        started = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        ) as run:
            assert run.stderr is not None
            lines = []
            for line in run.stderr:
                lines.append(line)
                if line.startswith("epoch 1:"):
                    seconds = time.perf_counter() - started
            if run.wait() != 0:
                raise RuntimeError(f"{' '.join(command)} failed: {''.join(lines)}")
    return seconds

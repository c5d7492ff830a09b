"""Seconds from the command to the first trained example, beside those of Ray alone."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.figures import Figure, figure, ratios

ONE_EXAMPLE = ("--examples", "1", "--epochs", "1", "--set", "training.test_examples=1")
SLACK_S = 1.0  # that crossmesh may take more than Ray with one actor
AIM_S = 3.5  # or so long in all, where that is more
FIRST_AIM_S = 7.0  # the first time on a machine
# What any program on Ray pays whose actors compile: an instance of its own, and one actor.
BARE = """
import ray
ray.init(address="local", log_to_driver=False)
@ray.remote(num_cpus=0)
class Actor:
    def __init__(self):
        import numba
    def answer(self):
        return 1
ray.get(Actor.remote().answer.remote())
print("ready", flush=True)
"""


def startup(rounds: int) -> Iterator[Figure]:
    """The command ``crossmesh train digits``, with kernels in the cache and without."""
    turns: dict[str, Callable[[], float]] = {
        "local": lambda: _until_trained("local", os.environ),
        "bare": _until_ready,
        "ray": lambda: _until_trained("ray", os.environ),
    }
    for work in turns.values():
        work()  # fills the cache
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, work in turns.items():
            seconds[name].append(work())
    yield figure("startup", "local, kernels in the cache", seconds["local"], "s")
    yield figure("startup", "ray.init alone, one actor that imports numba", seconds["bare"], "s")
    aim = max(AIM_S, statistics.median(seconds["bare"]) + SLACK_S)
    yield figure("startup", "ray, kernels in the cache", seconds["ray"], "s", aim=aim)
    shares = ratios(seconds, "ray", "bare")
    yield figure("startup", "ray, kernels in the cache / ray.init alone", shares, "ratio")
    for engine in ("local", "ray"):
        cold = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="crossmesh-") as cache:
                cold.append(_until_trained(engine, {**os.environ, "XDG_CACHE_HOME": cache}))
        yield figure("startup", f"{engine}, first time on a machine", cold, "s", aim=FIRST_AIM_S)


def _until_ready() -> float:
    """Seconds until an actor of a bare instance of Ray has answered."""
    return _until("ready", (sys.executable, "-c", BARE), os.environ)


def _until_trained(engine: str, environment: Mapping[str, str]) -> float:
    """Seconds until the command says that its only epoch, of one example, is done."""
    with tempfile.TemporaryDirectory(prefix="crossmesh-") as folder:
        options = ("--engine", engine, "--run-dir", str(Path(folder) / "run"))
        command = (sys.executable, "-m", "crossmesh", "train", "digits", *options, *ONE_EXAMPLE)
        return _until("epoch 1:", command, environment)


def _until(beginning: str, command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds until a command writes a line that begins so."""
    started, seconds = time.perf_counter(), float("nan")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as run:
        assert run.stdout is not None
        lines = []
        for line in run.stdout:
            lines.append(line)
            if line.startswith(beginning):
                seconds = time.perf_counter() - started
        if run.wait() != 0:
            raise RuntimeError(f"{' '.join(command)} failed: {''.join(lines)}")
    return seconds

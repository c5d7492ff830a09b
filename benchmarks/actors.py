"""What many actors cost the control plane: empty ones, as many as memory allows."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, figure
from crossmesh.common import free_memory
from crossmesh.emulator.config.engine import Engine

COUNTS = {False: (16, 64, 128), True: (2, 4)}  # by --quick
ACTOR_BYTES = 150 << 20  # that are free for each, or there are fewer
CALLS = 5
WANTED = 1000  # actors to which the last figures are extrapolated


def actors(*, quick: bool) -> Iterator[Figure]:
    """Start, call and memory of many actors on this machine."""
    from crossmesh.emulator.executors import environment

    environment.prepare(None)
    from crossmesh.emulator.executors.instance import connect, disconnect

    connect(Engine(), 256 << 20)
    try:
        for n in COUNTS[quick]:
            free = free_memory.free_bytes()
            if free is not None and n * ACTOR_BYTES > free:
                break
            with closing(_Actors()) as there:
                yield from _figures(n, there)
    finally:
        disconnect()


def _figures(n: int, there: "_Actors") -> Iterator[Figure]:
    start_s = there.start(n)
    calls = [there.call_s() for _ in range(CALLS)]
    memory = there.pss_bytes() / n
    scale = WANTED / n
    names = (
        (f"{n} actors: start", [start_s], "s", f"{WANTED} at this rate: {start_s * scale:,.0f} s"),
        (f"{n} actors: a call to all", calls, "s",
         f"{WANTED} at this rate: {min(calls) * scale:.2g} s"),
        (f"{n} actors: memory of one", [memory / (1 << 20)], "MiB",
         f"{WANTED}: {memory * WANTED / (1 << 30):,.0f} GiB"),
    )  # fmt: skip
    for name, values, unit, remark in names:
        yield figure("actors", name, values, unit, remark=remark)


class _Empty:
    """An actor that has loaded what a tile host loads, and holds nothing."""

    def __init__(self) -> None:
        import crossmesh.tiles.runtime.host  # noqa: F401  because its memory is what counts

    def pid(self) -> int:
        """Its process."""
        return os.getpid()


class _Actors:
    """Empty actors on one Ray instance."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._pids: list[int] = []

    def start(self, n: int) -> float:
        """Seconds until so many actors have answered."""
        import ray

        make = ray.remote(_Empty).options(num_cpus=0)
        started = time.perf_counter()
        self._handles = [make.remote() for _ in range(n)]
        self._pids = ray.get([handle.pid.remote() for handle in self._handles])
        return time.perf_counter() - started

    def call_s(self) -> float:
        """Seconds until all have answered once."""
        import ray

        started = time.perf_counter()
        ray.get([handle.pid.remote() for handle in self._handles])
        return time.perf_counter() - started

    def pss_bytes(self) -> int:
        """Memory of all, each with its share of what they share."""
        return sum(map(_pss_bytes, self._pids))

    def close(self) -> None:
        """End them."""
        import ray

        for handle in self._handles:
            ray.kill(handle)
        deadline = time.monotonic() + 60
        while any(map(_lives, self._pids)) and time.monotonic() < deadline:
            time.sleep(0.1)


def _pss_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

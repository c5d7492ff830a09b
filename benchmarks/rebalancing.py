"""Sharing evenly: two tile hosts on a core each, of which one has to share it from some time on."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, figure
from benchmarks.growth import SETTLED_S, speed
from crossmesh.cluster.launch.local import LocalNodes
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.balance import UNEVEN, excess
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.runs.live_state import LiveState
from crossmesh.tiles.runtime.measure import Progress

EXAMPLES = {False: 131_072, True: 65_536}  # of a run, by --quick
EVERY = 1024  # examples between two moments at which tiles may move
BUSY = "while True: pass"


def rebalancing(*, quick: bool) -> Iterator[Figure]:
    """The config ``synthetic-scaling``, in a process of its own, since Ray is told where to run."""
    command = (sys.executable, "-m", "benchmarks.rebalancing", str(EXAMPLES[quick]))
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["digest"] != found["local digest"]:
        raise RuntimeError(f"rebalancing has changed the result: {found}")
    for when in ("alone", "uneven", "shared"):
        yield figure("growth", f"a core is shared: {when}", [found[when]], "examples/s")
    for when, aim in (("before", None), ("after", 100 * UNEVEN)):
        over = [100 * found[f"excess {when}"]]
        yield figure("growth", f"busiest over the mean, {when}", over, "%", aim=aim, better="low")


class Sharing(NoCallbacks):
    """Has something else run on the second core after a quarter of a run; looks at the hosts."""

    def __init__(self, directory: Path, total: int) -> None:
        self._live = directory / "live.json"
        self._quarter = total // 4
        self._began_s = self._moved_s = 0.0
        self._looks: list[tuple[float, LiveState]] = []
        self._other: subprocess.Popen[bytes] | None = None

    def note(self, text: str) -> None:
        """The line that says that tiles have moved."""
        sys.stderr.write(f"{text}\n")
        self._moved_s = time.perf_counter()

    def progress(self, progress: Progress) -> None:
        """How far it is, and how busy the hosts were."""
        if not self._live.exists():  # the first is written after this
            return
        live = LiveState.model_validate_json(self._live.read_text("utf-8"))
        self._looks.append((time.perf_counter(), live))
        if self._other is None and progress.examples > self._quarter:
            self._other = subprocess.Popen([sys.executable, "-c", BUSY])
            os.sched_setaffinity(self._other.pid, {1})
            self._began_s = time.perf_counter()

    def end(self) -> None:
        """End what shared the core."""
        if self._other is not None:
            self._other.kill()
            self._other.wait()

    def found(self) -> dict[str, float]:
        """Examples per second alone, with uneven shares and even ones; how uneven they were."""
        until = self._moved_s or float("inf")
        alone = [look for look in self._looks if look[0] < self._began_s]
        uneven = [look for look in self._looks if self._began_s + SETTLED_S < look[0] < until]
        even = [look for look in self._looks if look[0] > self._moved_s + SETTLED_S]
        return {
            "alone": _speed(alone[len(alone) // 2 :]),
            "uneven": _speed(uneven),
            "shared": _speed(even),
            "excess before": _excess(uneven),
            "excess after": _excess(even),
        }


def _speed(looks: list[tuple[float, LiveState]]) -> float:
    return speed([(at_s, live.examples) for at_s, live in looks])


def _excess(looks: list[tuple[float, LiveState]]) -> float:
    """Of the hosts' mean busy shares."""
    busy = [sorted((host.host, host.busy) for host in live.hosts) for _, live in looks]
    return excess([sum(share for _, share in each) for each in zip(*busy, strict=True)])


def main() -> None:
    """One run, and the same in this process; prints what was found as JSON."""
    total = int(sys.argv[1])
    settings = [f"data.examples={total}", f"checkpoint.every_examples={EVERY}"]
    settings += [f"training.log_every={EVERY}", "data.test_examples=64", "chip.model=packet"]
    os.sched_setaffinity(0, {0})
    with LocalNodes(1, cores=[0]) as nodes, tempfile.TemporaryDirectory() as folder:
        nodes.add(cores=[1])
        os.environ.update(nodes.environment)  # before Ray is imported
        from crossmesh.emulator.training.training import train

        directory = Path(folder) / "run"
        sharing = Sharing(directory, total)
        where = ["engine.kind=ray", f"engine.address={nodes.address}", "engine.actors=2"]
        config = load_config("synthetic-scaling", [*settings, *where])
        try:
            there = train(config, directory, callbacks=sharing)
        finally:
            sharing.end()
    local = train(load_config("synthetic-scaling", [*settings, "engine.kind=local"]))
    digests = {"digest": there.state_digest, "local digest": local.state_digest}
    sys.stdout.write(f"{json.dumps(sharing.found() | digests)}\n")


if __name__ == "__main__":
    main()

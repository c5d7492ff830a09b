"""Growth: a run on one node and core that gets a second node, on another core, in the middle."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.figures import Figure, figure
from crossmesh.cluster.launch.local import LocalNodes
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.tiles.runtime.measure import Progress

EXAMPLES = {False: 49_152, True: 24_576}  # of a run, by --quick
EVERY = 1024  # examples between two rows, and two moments at which a run may grow
SETTLED_S = 2.0  # after the growth, which do not count


def growth(*, quick: bool) -> Iterator[Figure]:
    """The config ``synthetic-scaling``, in a process of its own, since Ray is told where to run."""
    command = (sys.executable, "-m", "benchmarks.growth", str(EXAMPLES[quick]))
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if found["digest"] != found["local digest"]:
        raise RuntimeError(f"growth has changed the result: {found}")
    for when in ("before", "after"):
        yield figure("growth", f"{when} a second node", [found[when]], "examples/s")
    ratio = [found["after"] / found["before"]]
    yield figure("growth", "after / before", ratio, "ratio", aim=1.5, better="high")
    yield figure("growth", "the pause", [found["pause_s"]], "s")


class Growing(NoCallbacks):
    """Has a node join after a third of a run, and notes how fast it is before and after."""

    def __init__(self, nodes: LocalNodes, total: int) -> None:
        self._nodes = nodes
        self._third = total // 3
        self._is_due = True
        self._looks: list[tuple[float, int]] = []
        self._grown_s = 0.0
        self.pause_s = 0.0

    def note(self, text: str) -> None:
        """The line that says that it has grown."""
        sys.stderr.write(f"{text}\n")
        if text.startswith("grew"):
            self._grown_s = time.perf_counter()
            self.pause_s = float(text.split()[-2])

    def progress(self, progress: Progress) -> None:
        """How far it is."""
        self._looks.append((time.perf_counter(), progress.examples))
        if self._is_due and progress.examples > self._third:
            self._is_due = False
            self._looks_before = list(self._looks)
            self._nodes.add(cores=[1])

    @property
    def before(self) -> float:
        """Examples per second before the node was started, of the second half of that time."""
        return speed(self._looks_before[len(self._looks_before) // 2 :])

    @property
    def after(self) -> float:
        """Examples per second after the growth."""
        return speed([look for look in self._looks if look[0] > self._grown_s + SETTLED_S])


def speed(looks: list[tuple[float, int]]) -> float:
    """Examples per second between the first and the last of looks at a clock and a count."""
    (since, first), (until, last) = looks[0], looks[-1]
    return (last - first) / (until - since)


def main() -> None:
    """One run, and the same in this process; prints what was found as JSON."""
    total = int(sys.argv[1])
    settings = [f"data.examples={total}", f"checkpoint.every_examples={EVERY}"]
    settings += [f"training.log_every={EVERY}", "data.test_examples=64", "chip.model=packet"]
    os.sched_setaffinity(0, {0})
    with LocalNodes(1, cores=[0]) as nodes:
        os.environ.update(nodes.environment)  # before Ray is imported
        from crossmesh.emulator.training.training import train

        growing = Growing(nodes, total)
        where = ["engine.kind=ray", f"engine.address={nodes.address}", "engine.grow=true"]
        config = load_config("synthetic-scaling", [*settings, *where])
        grown = train(config, callbacks=growing)  # no directory, so that no checkpoints count
    local = train(load_config("synthetic-scaling", [*settings, "engine.kind=local"]))
    found = {
        "before": growing.before,
        "after": growing.after,
        "pause_s": growing.pause_s,
        "digest": grown.state_digest,
        "local digest": local.state_digest,
    }
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main()

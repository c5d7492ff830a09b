"""Runs that train on hosts, seen from outside, and the faults that befall them."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.training.training import train
from tests.hosts import Host, Hosts, Process, wait_for

# Six tiles in six actors, two on each of three hosts: layers of 1, 2, 2 and 1 tiles, so that the
# errors of a layer are added across a cable, and there are channels between any two neighbours.
_OUTPUTS = {12: "tanh", 24: "tanh", 25: "tanh", 10: "softmax"}
_LAYERS = [
    f"{{kind: linear, outputs: {outputs}, activation: {function}}}"
    for outputs, function in _OUTPUTS.items()
]
NETWORK = (
    f"network=[{', '.join(_LAYERS)}]", "tile.rows=65", "tile.cols=13", "training.baseline=false",
    "chip.model=analytic",
)  # fmt: skip
EXAMPLES = 1438  # of an epoch
DRAINED_EVERY = 700  # examples, under the schedule asynchronous
SCHEDULES = {
    "sequential": ("training.batch=8",),
    "synchronous": (
        "training.schedule=synchronous", "training.batch=32", "training.micro_batch=8",
    ),
    "asynchronous": (
        "training.schedule=asynchronous", "training.batch=8",
        f"checkpoint.every_examples={DRAINED_EVERY}",
    ),
}  # fmt: skip
ACTORS = ("engine.actors=6", "engine.timeout_s=30")
OFTEN = ("checkpoint.every_s=1",)


@cache
def undisturbed(overrides: Sequence[str]) -> str:
    """Digest of the chip that the local engine trains."""
    return train(load_config("digits", [*overrides, "engine.kind=local"])).state_digest


class Training:
    """A run on the hosts' Ray cluster.

    Attributes:
        hosts: What it runs on.
        overrides: What its config changes in ``digits``.
        path: Its run directory.
    """

    def __init__(self, hosts: Hosts, folder: Path, *overrides: str) -> None:
        self.overrides = (*NETWORK, *overrides)
        self.path = folder / "runs" / "digits"
        self.hosts = hosts
        self._folder = folder
        self.start("train", "digits", *_options(self.overrides))

    def start(self, *arguments: str, engine: str = "ray") -> None:
        """Begin a command on this run."""
        address = () if engine == "local" else ("--address", self.hosts.address)
        options = ("--engine", engine, *address, "--json")
        self.process = self.hosts.crossmesh(*arguments, *options, cwd=self._folder)

    def resume(self, engine: str = "ray", epochs: int | None = None) -> None:
        """Go on after the end of the process, perhaps to another number of epochs."""
        other = () if epochs is None else ("--epochs", str(epochs))
        self.start("resume", str(self.path), *other, engine=engine)

    # Seen while it runs

    @property
    def live(self) -> dict[str, Any]:
        """What the run says of itself now; empty before it trains."""
        try:
            return json.loads((self.path / "live.json").read_text())
        except FileNotFoundError:
            return {}

    @property
    def storage(self) -> Path:
        """Where its checkpoints lie."""
        given = [o.partition("=")[2] for o in self.overrides if o.startswith("checkpoint.storage")]
        return Path(given[0]) if given else self.path / "checkpoints"

    def checkpoints(self) -> list[int]:
        """Examples trained at each checkpoint, oldest first."""
        return sorted(int(path.name.partition("-")[2]) for path in self.storage.glob("step-*"))

    def newest(self) -> Path:
        """The folder of the newest checkpoint."""
        return sorted(self.storage.glob("step-*"))[-1]

    @property
    def notes(self) -> str:
        """What its user has read."""
        return (self._folder / "stderr").read_text()

    @property
    def last_note(self) -> str:
        """The last line of it."""
        return self.notes.splitlines()[-1]

    @property
    def all_notes(self) -> str:
        """The same, with the stack traces that it has left in files."""
        files = self.hosts[0].folder.glob("crossmesh-*.txt")
        return "\n".join([self.notes, *(path.read_text() for path in files)])

    def wait_for(self, condition: Callable[[], object], within_s: float, what: str) -> float:
        """Wait while the run goes on; the seconds it took."""

        def met() -> object:
            assert self.process.poll() is None, f"ended before {what}:\n{self.all_notes}"
            return condition()

        return wait_for(met, within_s, what)

    def wait_until_it_trains(self, beyond: int = 0) -> None:
        """Wait until there is a checkpoint, and more has been trained since."""
        self.wait_for(lambda: self.checkpoints()[-1:] > [beyond], 120, "its first checkpoint")
        done = self.checkpoints()[-1]
        self.wait_for(lambda: self.live.get("examples", 0) > done, 30, "going on from there")

    def wait_until_it_saves(self) -> None:
        """Wait until a checkpoint is being written."""
        deadline = time.monotonic() + 30
        while not list(self.storage.glob(".step-*")):  # without a pause: it takes 50 ms
            assert self.process.poll() is None, self.all_notes
            assert time.monotonic() < deadline, "no checkpoint within 30 s"

    def wait_until_recovered(self, times: int, within_s: float = 120) -> None:
        """Wait until so many recoveries have been counted."""
        self.wait_for(lambda: self.live.get("recoveries", 0) >= times, within_s, "its recovery")

    # Seen at its end

    def end(self, within_s: float = 120) -> dict[str, Any]:
        """Wait for its success; its summary."""
        assert self.stopped(within_s) == 0, self.all_notes
        return json.loads((self.path / "summary.json").read_text())

    def stopped(self, within_s: float = 60) -> int:
        """Wait for its end; its exit code."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not over within {within_s} s:\n{self.all_notes}") from None

    def recoveries(self) -> list[dict[str, Any]]:
        """Rows of its table of recoveries."""
        return pq.read_table(self.path / "recoveries.parquet").to_pylist()


def _options(overrides: Sequence[str]) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


# Faults. Each is done to a host other than the head, whose loss no run survives.


def actor_of(host: Host) -> Process:
    """A tile actor on a host; not one that was frozen before, which Ray takes its time to end."""
    return next(actor for actor in host.actors() if not actor.is_frozen)


def kill_actor(run: Training, host: Host) -> None:
    """SIGKILL of a tile actor."""
    actor_of(host).signal(signal.SIGKILL)


def freeze_actor(run: Training, host: Host) -> None:
    """SIGSTOP of a tile actor."""
    actor_of(host).signal(signal.SIGSTOP)


def kill_actor_that_saves(run: Training, host: Host) -> None:
    """SIGKILL of a tile actor while a checkpoint is written."""
    victim = actor_of(host)
    run.wait_until_it_saves()
    victim.signal(signal.SIGKILL)


def freeze_actor_that_saves(run: Training, host: Host) -> None:
    """SIGSTOP of a tile actor while a checkpoint is written."""
    victim = actor_of(host)
    run.wait_until_it_saves()
    victim.signal(signal.SIGSTOP)


def kill_actors_in_turn(run: Training, host: Host) -> None:
    """SIGKILL of a tile actor on each of two nodes, 0.7 s apart."""
    kill_actor(run, host)
    time.sleep(0.7)
    kill_actor(run, run.hosts[0])


def kill_raylet(run: Training, host: Host) -> None:
    """SIGKILL of a node's raylet."""
    host.lose_raylet(signal.SIGKILL)


def freeze_raylet(run: Training, host: Host) -> None:
    """SIGSTOP of a node's raylet."""
    host.lose_raylet(signal.SIGSTOP)


def cut_cable(run: Training, host: Host) -> None:
    """Cable cut (veth down)."""
    host.cut()


def reset_channel(run: Training, host: Host) -> None:
    """One channel between two nodes reset."""
    host.sever(run.hosts[2])


def silence_channels(run: Training, host: Host) -> None:
    """Nothing passes between two nodes any more; both still reach the head."""
    host.mislead(run.hosts[2])


Fault = Callable[[Training, Host], None]
FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_actor,
        freeze_actor,
        kill_actor_that_saves,
        freeze_actor_that_saves,
        kill_actors_in_turn,
        kill_raylet,
        freeze_raylet,
        cut_cable,
        reset_channel,
        silence_channels,
    )
}

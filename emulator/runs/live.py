"""``live.json``: progress of a run, for watching it from elsewhere."""

import time
from collections import deque
from collections.abc import Sequence

from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.history import History
from crossmesh.emulator.runs.live_state import LiveHost, LiveState
from crossmesh.tiles.runtime.measure import HostReport, Progress

EVERY_S = 1.0


class LiveFile:
    """Rewrites the file about once per second.

    Args:
        directory: The run's; None: nothing is written.
        epochs: Epochs of the run.

    Attributes:
        checkpoint: Examples trained at the newest checkpoint, if there is one.
        moves: So often tiles were put into other hosts.
    """

    def __init__(self, directory: RunDirectory | None, epochs: int) -> None:
        self._directory = directory
        self._epochs = epochs
        self._phase, self._total = "", 0
        self._due = 0.0
        self._before: dict[int, HostReport] = {}
        self._speed = _Speed()
        self.checkpoint: int | None = None
        self.moves = 0

    def phase(self, name: str, total: int) -> None:
        """A part of the run begins."""
        self._phase, self._total = name, total
        self._due, self._speed = 0.0, _Speed()

    def update(
        self, progress: Progress, history: History, hosts: Sequence[HostReport] = ()
    ) -> LiveState | None:
        """Say how far the run is, if the file is old enough; ``progress`` is that of the run.

        Returns:
            What was said; None: nothing.
        """
        now = time.monotonic()
        if now < self._due:
            return None
        self._due = now + EVERY_S
        live = LiveState(
            phase=self._phase,
            epoch=history.epoch,
            epochs=self._epochs,
            examples=progress.examples,
            total=self._total,
            examples_per_s=self._speed.of(progress.examples, now),
            loss=_known(progress.loss),
            accuracy=_known(progress.accuracy),
            updated=time.time(),
            recoveries=len(history.recoveries),
            moves=self.moves,
            checkpoint=self.checkpoint,
            hosts=tuple(map(self._shares, hosts)),
        )
        if self._directory is not None:
            self._directory.write_live(live.model_dump(by_alias=True))
        return live

    def close(self) -> None:
        """Remove the file: the run has ended."""
        if self._directory is not None:
            self._directory.remove_live()

    def _shares(self, host: HostReport) -> LiveHost:
        """Where a host is, and where its time went since the file before."""
        before = self._before.get(host.host)
        if before and before.run_s > host.run_s:  # it has joined again, after a recovery
            before = None
        self._before[host.host] = host
        spent = {
            "compute": host.compute_s - (before.compute_s if before else 0.0),
            "message": host.message_s - (before.message_s if before else 0.0),
            "wait": host.wait_s - (before.wait_s if before else 0.0),
        }
        total = sum(spent.values())
        shares = {name: max(0.0, s) / total if total > 0 else 0.0 for name, s in spent.items()}
        return LiveHost(host=host.host, node=host.node, ip=host.ip, tiles=host.tiles, **shares)


class _Speed:
    """Examples per second over the last few looks; None at first."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, float]] = deque(maxlen=10)

    def of(self, examples: int, now: float) -> float | None:
        if self._looks and examples < self._looks[-1][0]:  # after a recovery
            self._looks.clear()
        self._looks.append((examples, now))
        first, since = self._looks[0]
        return (examples - first) / (now - since) if now > since else None


def _known(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124  because only NaN differs from itself

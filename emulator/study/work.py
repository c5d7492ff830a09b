"""Task of a process of a study: a run, or a baseline."""

from collections.abc import Callable
from typing import Any

from threadpoolctl import threadpool_limits

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.training.baseline import train_baseline
from crossmesh.emulator.training.training import train
from crossmesh.tiles.runtime.measure import Progress

Tell = Callable[[dict[str, Any]], None]


class _ReportingCallbacks(NoCallbacks):
    """Callbacks that report notes and progress to the parent process."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def note(self, text: str) -> None:
        self._tell({"note": text})

    def progress(self, progress: Progress) -> None:
        self._tell({"examples": progress.examples})


def run(config: RunConfig, folder: str, tell: Tell) -> dict[str, Any]:
    """Start or resume a run; its summary."""
    return train(config, folder, _ReportingCallbacks(tell), resume=True).summary


def baseline(config: RunConfig, tell: Tell) -> float | None:
    """Accuracy of the same network in float32; None if the targets are no classes."""
    job = prepare(config)
    if not job.has_accuracy:
        return None
    step = max(1, job.n_train // 20)
    due = step

    def watch(examples: int) -> None:
        nonlocal due
        if examples >= due:
            due = examples + step
            tell({"examples": examples})

    with threadpool_limits(1):
        return train_baseline(job, watch).test().accuracy

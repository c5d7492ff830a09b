"""Task of a process of a study: a run, a baseline, or the report of a chip."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.training.baseline import train_baseline
from crossmesh.emulator.training.chips import chip_figures
from crossmesh.emulator.training.median_stop import MedianStop
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


def run(config: RunConfig, folder: str, tell: Tell, **stop: Any) -> dict[str, Any]:
    """Start or resume a run, which a ``MedianStop`` of these fields may stop; its summary."""
    during = [MedianStop(**stop)] if stop else []
    return train(config, folder, _ReportingCallbacks(tell), resume=True, during=during).summary


def chip(config: RunConfig, run: str | None, tell: Tell) -> dict[str, Any]:
    """Figures of the chip, with the pulses of a run if there is one."""
    return chip_figures(config, None if run is None else Path(run))


def baseline(config: RunConfig, _: str | None, tell: Tell) -> float | None:
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
        return train_baseline(job, watch).rows[-1].test_accuracy


WORKS: dict[str, Callable[..., Any]] = {"run": run, "baseline": baseline, "chip": chip}

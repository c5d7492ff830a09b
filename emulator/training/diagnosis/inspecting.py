"""What the newest checkpoint of a run holds: weights, conductances, confusions, cost of reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from crossmesh.emulator.chip.report import ChipReport, chip_of
from crossmesh.emulator.chip.use import uses_of
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.runs.callbacks import Callbacks
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.calibration.calibrate import calibrated
from crossmesh.emulator.training.diagnosis.limits import Finding, chance_of_failed, findings
from crossmesh.emulator.training.diagnosis.reading import ReadCosts, ReadTests
from crossmesh.emulator.training.diagnosis.views import LayerView, TileView, views_of
from crossmesh.tiles.runtime.measure import TileReport


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What the newest checkpoint of a run holds.

    Attributes:
        layers: Matrices on tiles.
        tiles: Their tiles.
        confusions: ``(classes, classes)`` test outputs by true class and by answer; None: no
            classes, or too many of them.
        costs: Test results of its weights read in several ways; None: not tested.
        findings: What limits accuracy.
        chance: Accuracy of guessing, where the run has failed although its twin has learnt.
        chip: Time, energy and area; None: it cannot be timed.
    """

    layers: tuple[LayerView, ...]
    tiles: tuple[TileView, ...]
    confusions: NDArray[np.int64] | None
    costs: ReadCosts | None
    findings: tuple[Finding, ...]
    chance: float | None
    chip: ChipReport | None


def inspect_run(
    directory: RunDirectory,
    config: RunConfig,
    callbacks: Callbacks,
    *,
    examples: int,
    results: Mapping[str, float | None],
) -> Inspection:
    """Look into the newest checkpoint of a run, in this process.

    Args:
        directory: The run.
        config: Its config.
        callbacks: Progress callbacks.
        examples: Test on the first so many examples; 0: do not.
        results: ``test_accuracy`` and ``baseline_test_accuracy`` of the run, as far as known.

    Raises:
        ConfigError: If there is no checkpoint, or it cannot be used.
        DataError: If the data cannot be had.
    """
    with threadpool_limits(1):
        callbacks.phase("reading the checkpoint", 0)
        job = prepare(calibrated(config, callbacks.note))
        executor = LocalExecutor(job)
        try:
            history = directory.restore(job, executor, callbacks.note)
            reports = executor.reports()
            tiles, layers = views_of(job, executor, reports, history.examples)
            number = max(0, history.examples - 1) // job.n_train
            n = min(examples, len(job.dataset.test))
            tests = ReadTests(job, directory, executor, n, number)
            confusions, costs = tests.results(callbacks) if n else (None, None)
        finally:
            executor.close()
    callbacks.phase("timing the chip", 0)
    accuracy, twin = (results.get(name) for name in ("test_accuracy", "baseline_test_accuracy"))
    gap = None if accuracy is None or twin is None else twin - accuracy
    return Inspection(
        layers=layers,
        tiles=tiles,
        confusions=confusions,
        costs=costs,
        findings=tuple(findings([layer.state for layer in layers], costs, gap)),
        chance=chance_of_failed(job, accuracy, twin),
        chip=_chip(job, [tile.report for tile in tiles], history.examples, callbacks.note),
    )


def _chip(
    job: Job, reports: list[TileReport], examples: int, note: Callable[[str], None]
) -> ChipReport | None:
    try:
        return chip_of(job, uses_of(reports, max(1, examples)))
    except Exception as error:  # a chip that cannot be timed must not cost the rest
        note(f"timing the chip failed ({error or type(error).__name__})")
        return None

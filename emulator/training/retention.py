"""Accuracy of a trained network on programmed memories, as time goes by."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.refusals import nearest
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.executors.engines import create
from crossmesh.emulator.executors.executor import Executor
from crossmesh.emulator.runs.callbacks import Callbacks, NoCallbacks
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.calibration.calibrate import calibrated
from crossmesh.emulator.training.tested import test_network
from crossmesh.tiles.analog.programmed import MODELS
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.runtime.measure import Progress

UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365 * 86400.0}
_LONGEST_S = 1000 * UNITS_S["y"]
_MOST_TICKS = 12  # on the axis of time
SCHEMA = pa.schema(
    [("after_s", pa.float64()), ("compensated", pa.bool_()), ("repetition", pa.int64()),
     ("test_loss", pa.float64()), ("test_accuracy", pa.float64())]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AgeRow:
    """Tests of one age: mean and standard deviation over repeated programming.

    Attributes:
        after_s: Seconds since programming.
        compensated: Whether the loss of each tile as a whole was scaled back.
        mean: Mean of the test accuracy, or of the loss where there are no classes.
        std: Standard deviation of the same; 0 for a single repetition.
    """

    after_s: float
    compensated: bool
    mean: float
    std: float


def parse_times(text: str) -> tuple[float, ...]:
    """Seconds from ``1s,1h,30d``; units are s, min, h, d and y.

    >>> parse_times("0s,1.5h")
    (0.0, 5400.0)
    """
    times = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(\w+)\s*", part)
        if not match or match[2] not in UNITS_S:
            raise ConfigError(
                "--after must be times such as 1s,1h,30d with a unit of "
                f"{', '.join(UNITS_S)}, got {part.strip() or repr(part)}"
            )
        seconds = float(match[1]) * UNITS_S[match[2]]
        if seconds > _LONGEST_S:
            raise ConfigError(f"--after must be at most 1000y, got {part.strip()}")
        times.append(seconds)
    return tuple(sorted(set(times)))


@dataclass(frozen=True, kw_only=True)
class Ages:
    """Test results of a run after ageing.

    Attributes:
        table: One row per test: ``after_s, compensated, repetition, test_loss, test_accuracy``.
        trained_accuracy: Test accuracy before programming: at the end of training, or of the
            network as it is; None for a regression.
    """

    table: pa.Table
    trained_accuracy: float | None


def age(
    directory: RunDirectory | None,
    config: RunConfig,
    after_s: Sequence[float],
    callbacks: Callbacks | None = None,
    *,
    inference: str = "pcm",
    repeats: int = 5,
) -> Ages:
    """Program the weights of a network to memories, and test it at several ages.

    Args:
        directory: The run, whose newest checkpoint is taken; None: the network as it is before
            training, such as one that was imported.
        config: Its config, perhaps with another engine.
        after_s: Seconds since programming.
        callbacks: Progress callbacks; by default none.
        inference: Name of the memories: one of ``crossmesh.tiles.analog.programmed.MODELS``.
        repeats: Number of times the weights are programmed.

    Returns:
        The tests, whose table is also written to ``after.parquet`` of a run.

    Raises:
        ConfigError: If the run has no checkpoint, or an argument makes no sense.
    """
    callbacks = callbacks or NoCallbacks()
    agings = list(_agings(after_s, inference, repeats))
    job = prepare(calibrated(config, callbacks.note))
    executor = create(job)
    try:
        if directory is None:
            executor.write_initial_weights()
            accuracy = _accuracy(job, executor)
        else:
            accuracy = directory.restore(job, executor, callbacks.note).test_accuracy
        rows = list(_tests(job, executor, agings, callbacks))
    finally:
        executor.close()
    table = pa.Table.from_pylist(rows, SCHEMA)
    if directory is not None:
        directory.write_table("after", table)
    return Ages(table=table, trained_accuracy=accuracy)


def _accuracy(job: Job, executor: Executor) -> float | None:
    """Accuracy by the config's tiles; None for a regression."""
    tested = test_network(job, executor, 0)
    return tested.accuracy if job.has_accuracy else None


def _agings(after_s: Sequence[float], inference: str, repeats: int) -> Iterator[Aging]:
    if inference not in MODELS:
        hint = nearest(inference, MODELS)
        raise ConfigError(f"inference must be of {', '.join(MODELS)}, got {inference}{hint}")
    if repeats < 1:
        raise ConfigError(f"--repeats must be at least 1, got {repeats}")
    model = MODELS[inference]
    for repetition, seconds, compensated in itertools.product(
        range(repeats), after_s, (False, True)
    ):
        yield Aging(model=model, repetition=repetition, after_s=seconds, compensated=compensated)


def _tests(
    job: Job, executor: Executor, agings: Sequence[Aging], callbacks: Callbacks
) -> Iterator[dict[str, Any]]:
    """Test at every age; the noise of reads differs from repetition to repetition."""
    n = len(job.dataset.test)
    callbacks.phase("ageing", n * len(agings))
    for done, aging in enumerate(agings):
        executor.age(aging)
        tested = test_network(job, executor, aging.repetition)
        callbacks.progress(Progress(n * (done + 1), tested.loss, tested.accuracy))
        yield {
            "after_s": aging.after_s,
            "compensated": aging.compensated,
            "repetition": aging.repetition,
            "test_loss": tested.loss,
            "test_accuracy": tested.accuracy if job.has_accuracy else None,
        }


def summed_up(table: pa.Table) -> list[AgeRow]:
    """Mean and spread over the repetitions, by age and compensation."""
    rows = table.to_pylist()
    has_classes = rows[0]["test_accuracy"] is not None
    measure = "test_accuracy" if has_classes else "test_loss"
    groups: dict[tuple[float, bool], list[float]] = {}
    for row in sorted(rows, key=lambda row: (row["after_s"], row["compensated"])):
        groups.setdefault((row["after_s"], row["compensated"]), []).append(row[measure])
    return [
        AgeRow(
            after_s=after_s,
            compensated=compensated,
            mean=float(np.mean(values)),
            std=float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        )
        for (after_s, compensated), values in groups.items()
    ]


def time_text(seconds: float) -> str:
    """A time in the largest unit in which it is at least 1.

    >>> [time_text(s) for s in (0, 90, 86400, 31536000)]
    ['0s', '1.5min', '1d', '1y']
    """
    unit, size = next(((u, s) for u, s in reversed(UNITS_S.items()) if seconds >= s), ("s", 1.0))
    return f"{seconds / size:.3g}{unit}"


def draw_ages(rows: Sequence[AgeRow], trained: float | None, title: str, path: Path) -> None:
    """Draw accuracy (or loss) against age, with and without compensation.

    Args:
        rows: Results to plot.
        trained: Accuracy before programming, or None.
        title: Title of the figure.
        path: PNG or SVG file to write.
    """
    from matplotlib.figure import Figure

    scale, label = (100, "test accuracy, %") if trained is not None else (1, "test loss")
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    styles = {
        True: ("o", "-", "#0072b2", "compensated"),
        False: ("s", (0, (5, 2)), "#d55e00", "not compensated"),
    }
    for compensated, (mark, dashes, colour, name) in styles.items():
        mine = [row for row in rows if row.compensated is compensated]
        axes.errorbar(
            [max(row.after_s, 0.1) * (1 if compensated else 1.15) for row in mine],  # apart
            [scale * row.mean for row in mine],
            [scale * row.std for row in mine],
            marker=mark, linestyle=dashes, color=colour, capsize=3, label=name,
            markerfacecolor=colour if compensated else "white",
        )  # fmt: skip
    if trained is not None:
        axes.axhline(scale * trained, color="0.35", linestyle=(0, (1, 1.5)), label="as trained")
    axes.set_xscale("log")
    times = _apart(sorted({row.after_s for row in rows}))
    axes.set_xticks([max(t, 0.1) for t in times], [time_text(t) for t in times])
    axes.minorticks_off()
    axes.set_xlabel("time since programming")
    axes.set_ylabel(label)
    axes.set_title(title, loc="left", fontsize="medium")
    axes.grid(visible=True, color="0.9")
    axes.legend(frameon=False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from None


def _apart(times: Sequence[float]) -> list[float]:
    """Those of rising times whose names have room on a logarithmic axis."""
    shown = [times[0]]
    least = max(times[-1] / max(times[0], 0.1), 1.0) ** (1 / _MOST_TICKS)
    for time in times[1:]:
        if time >= least * max(shown[-1], 0.1):
            shown.append(time)
    return shown

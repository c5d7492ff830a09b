"""Training: a run from its config to its summary, and testing what it has left."""

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.common.supervision.reports import resumable
from crossmesh.emulator.callbacks.callback import Callback
from crossmesh.emulator.callbacks.calling import CallbackCalls, checked
from crossmesh.emulator.callbacks.watching import check_stopping, stopping
from crossmesh.emulator.chip.report import check_chip
from crossmesh.emulator.compiler.boards import boards_notice, check_new_transcripts
from crossmesh.emulator.compiler.compile import reach_notice
from crossmesh.emulator.compiler.inputs import arrays_of, dataset_of, with_archive
from crossmesh.emulator.compiler.ir_drop import wires_notice
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.executors.engines import create
from crossmesh.emulator.runs.callbacks import Callbacks, NoCallbacks
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.history import History
from crossmesh.emulator.training.calibration.calibrate import calibrated
from crossmesh.emulator.training.result import Result
from crossmesh.emulator.training.tested import figures_of
from crossmesh.emulator.training.whole_run import WholeRun, joint_digest


def train(  # noqa: PLR0913  because a run has so many parts
    config: RunConfig,
    directory: RunDirectory | Path | str | None = None,
    callbacks: Callbacks | None = None,
    *,
    resume: bool = False,
    data: Any = None,
    keep_data: bool = True,
    during: Iterable[Callback] = (),
) -> Result:
    """Train a network on emulated tiles.

    Args:
        config: The run.
        directory: Run directory for results and checkpoints; by default none. It must be new or
            empty, unless a run is resumed.
        callbacks: Progress callbacks; by default none.
        resume: Whether to resume from the directory's newest checkpoint.
        data: Examples to train and test on in place of the config's data, whose section says how
            they are prepared, as ``named_arrays`` takes them.
        keep_data: Whether the directory keeps them.
        during: Callbacks of the user's program.

    Returns:
        The result.

    Raises:
        ConfigError: If config, data and directory do not fit.
        DataError: If the data cannot be had.
        RunError: If a tile or the cluster fails.
        CallbackError: If a callback failed; it holds the result.
    """
    started = time.perf_counter()
    if isinstance(directory, Path | str):
        directory = RunDirectory(directory)
    callbacks = callbacks or NoCallbacks()
    calls = CallbackCalls([*stopping(config), *checked(during)], callbacks.note)
    dataset, arrays, kept = None, None, None
    if data is not None:
        config = with_archive(config)
        arrays = arrays_of(config, data)
        dataset, kept = dataset_of(config, arrays), arrays if keep_data else {}
    config = calibrated(config, callbacks.note, arrays)
    job = prepare(config, dataset)
    check_chip(job)
    check_stopping(job)
    with contextlib.ExitStack() as stack:
        stack.callback(calls.close)
        stack.enter_context(threadpool_limits(1))
        if directory is not None:
            stack.enter_context(directory.held(new=not resume))
            if resume:
                resumable(directory.resume_command)
        if not resume:
            _check_new(job, directory)
        run = WholeRun(job, directory, callbacks, calls, kept=kept, started=started)
        try:
            return run.result()
        except RunLost as error:
            if directory is None or not directory.has_begun:
                raise
            raise RunLost(f"{error}; resume with: {directory.resume_command}") from error


def _check_new(job: Job, directory: RunDirectory | None) -> None:
    """Refuse to add a new run to what another one has left."""
    if directory is not None and directory.can_be_resumed(job.config):
        raise ConfigError(
            "checkpoint.storage must be new or empty, got one with checkpoints: "
            f"{directory.storage(job.config)}"
        )
    check_new_transcripts(job.program)


def evaluate(
    directory: RunDirectory | None,
    config: RunConfig,
    warn: Callable[[str], None],
    data: Any = None,
) -> dict[str, Any]:
    """Test the network of a run's newest checkpoint again, with the same noise as then.

    Args:
        directory: The run; None: the network as it is before training.
        config: Its config.
        warn: Called with a line about each damaged checkpoint, and what a user should know.
        data: Examples in place of the config's data, as ``train`` takes them.

    Returns:
        ``examples_trained``, ``test_examples``, ``test_loss``, ``test_accuracy``, the same of
        ``validation`` if examples are set aside, ``state_digest``.
    """
    if data is not None:
        config = with_archive(config)
    config = calibrated(config, warn, data)
    job = prepare(config, None if data is None else dataset_of(config, data))
    for line in boards_notice(job, examples=0):
        warn(line)
    executor = create(job)
    try:
        if directory is None:
            for line in (
                *wires_notice(job.program).splitlines(),
                *reach_notice(job.network, job.program, job.given),
            ):
                warn(line)
            history = History()
            executor.write_initial_weights()
        else:
            history = directory.restore(job, executor, warn)
        tested = figures_of(job, executor, max(0, history.examples - 1) // job.n_train)
        digests = executor.digests()
    finally:
        executor.close()
    return {
        "examples_trained": history.examples,
        "test_examples": len(job.dataset.test),
        **tested,
        "state_digest": joint_digest(digests),
    }

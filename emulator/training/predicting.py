"""Predictions: outputs of a run, a config or an ONNX file for given inputs."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.compile import reach_notice
from crossmesh.emulator.compiler.exact import on_exact_tiles
from crossmesh.emulator.compiler.inputs import Given, Inputs, inputs_of, known_of
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.compiler.onnx_file import config_of, ends_of, output_of
from crossmesh.emulator.config.layer import layer_name
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.executors.engines import create
from crossmesh.emulator.executors.executor import Executor
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.network.graph import INPUT
from crossmesh.emulator.runs.callbacks import Callbacks, NoCallbacks
from crossmesh.emulator.runs.directory import PREPARED, RunDirectory
from crossmesh.emulator.training.calibration.calibrate import calibrated
from crossmesh.emulator.training.export import held_by
from crossmesh.emulator.training.memories import Memories
from crossmesh.emulator.training.outputs import Prediction, best, check_name
from crossmesh.tiles.runtime.measure import Progress

MICRO_BATCH = 32  # always whole: the bits of a product depend on its number of rows
SPAN_BYTES = 32 << 20  # of outputs that come back together

Array = NDArray[np.float32]
What = Path | str | RunConfig | RunDirectory


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """What is asked for a prediction.

    Attributes:
        config: Its config.
        directory: The run whose newest checkpoint is read, if it is one.
        file: The ONNX file, if it is nothing else.
    """

    config: RunConfig
    directory: RunDirectory | None = None
    file: Path | None = None

    def inputs(self, given: Given) -> tuple[Inputs, int]:
        """Inputs as the network takes them, and how many examples it was trained on."""
        if self.file is not None:
            names = ends_of(self.file, self.config).inputs
            return inputs_of(self.config, given, names, None, MICRO_BATCH), 1
        written = self.directory.read_json(PREPARED) if self.directory else None
        known = known_of(self.config, written)
        names = [column.name for column in known.columns] or [INPUT]
        return inputs_of(self.config, given, names, known, MICRO_BATCH), known.n_train

    def output(self, job: Job) -> str:
        """What the network calls its output."""
        if self.file is not None:
            return output_of(self.file, self.config)
        return layer_name(job.layers[-1], len(job.layers) - 1)


def predict(  # noqa: PLR0913  because they are the options of the command
    what: What,
    inputs: Given,
    *,
    overrides: Iterable[str] = (),
    ideal: bool = False,
    top: int | None = None,
    memories: Memories | None = None,
    checkpoint: str | None = None,
    callbacks: Callbacks | None = None,
) -> Prediction:
    """Outputs of a network for given inputs.

    The bits of an output depend on the network, on the input and on its place among the inputs,
    which keys the noise; neither on their number nor on where the tiles run.

    Args:
        what: A run, whose newest checkpoint is taken; a config or the name of a shipped one, whose
            initial or imported weights are taken; or an ONNX file.
        inputs: An array ``(examples, ...)``, also of PyTorch or a data frame, arrays by name, or
            the path of an NPZ archive or a Parquet table with them.
        overrides: Fields of the config, as ``load_config`` takes them.
        ideal: Whether the weights are read exactly, without devices, converters and noise.
        top: How many of the largest outputs are given with their shares.
        memories: Memories that the weights are programmed to, and their ages.
        checkpoint: Name of the run's checkpoint, such as ``best``; by default its newest.
        callbacks: Progress callbacks; by default none.

    Returns:
        The outputs as the network gives them, shares where it ends in a softmax.

    Raises:
        ConfigError: If the network cannot be had, or an argument makes no sense.
        DataError: If the inputs cannot be had, or do not fit the network.
    """
    if ideal and memories is not None:
        raise ConfigError("memories must come without ideal, got both")
    callbacks = callbacks or NoCallbacks()
    opened = _opened(what, overrides, checkpoint)
    given, n_train = opened.inputs(inputs)
    config = opened.config if ideal else calibrated(opened.config, callbacks.note)
    job = prepare(config, given.dataset)
    width = _classes_of(job)
    if top is not None and not 1 <= top <= width:
        raise ConfigError(f"top must be from 1 to the {width} outputs, got {top}")
    name = opened.output(job)
    check_name(name)
    reading = _Reading(
        job=job, directory=opened.directory, n=given.n, n_train=n_train, callbacks=callbacks
    )
    rows = reading.exact() if ideal else reading.by_devices(memories)
    return _prediction(name, job, rows, top, memories)


def _opened(what: What, overrides: Iterable[str], checkpoint: str | None) -> _Opened:
    if isinstance(what, Path | str) and Path(what).is_dir():
        what = RunDirectory.existing(Path(what))
    if isinstance(what, RunDirectory):
        return _Opened(config=what.config([*overrides], checkpoint), directory=what)
    if checkpoint is not None:
        raise ConfigError(f"checkpoint must be left out but for a run, got {checkpoint}")
    if isinstance(what, RunConfig):
        return _Opened(config=what)
    path = Path(what)
    if path.suffix == ".onnx":
        return _Opened(config=config_of(path, overrides), file=path)
    return _Opened(config=load_config(what, overrides))


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """A network that is read.

    Attributes:
        job: The job, whose examples are the inputs.
        directory: The run that has its weights; None: they are the initial ones.
        n: Number of inputs.
        n_train: Examples that it was trained on.
        callbacks: Progress callbacks.
    """

    job: Job
    directory: RunDirectory | None
    n: int
    n_train: int
    callbacks: Callbacks

    def exact(self) -> Array:
        """Outputs ``(1, rows, n)`` by exact tiles, with the weights that the devices hold."""
        job, number = self.job, 0
        weights = job.given
        if self.directory is not None:
            devices = LocalExecutor(job)
            try:
                number = self._restored(devices, self.directory)
                weights = held_by(job, devices)
            finally:
                devices.close()
        exact = on_exact_tiles(job, weights)
        executor = self._started(exact)
        try:
            executor.write_initial_weights()
            return self._outputs(exact, executor, number)[np.newaxis]
        finally:
            executor.close()

    def by_devices(self, memories: Memories | None) -> Array:
        """Outputs ``(ages, rows, n)`` by the config's tiles, or by memories of every age."""
        job, number, directory = self.job, 0, self.directory
        executor = self._started(job)
        try:
            if directory is not None:
                number = self._restored(executor, directory)
            else:
                executor.write_initial_weights()
                self._warn()
            found = []
            for aging in memories or [None]:
                executor.age(aging)
                found.append(self._outputs(job, executor, number))
        finally:
            executor.close()
        return np.stack(found)

    def _started(self, job: Job) -> Executor:
        self.callbacks.phase("compiling and starting", 0)
        return create(job)

    def _restored(self, executor: Executor, directory: RunDirectory) -> int:
        """Load the run's newest checkpoint; number of its last test, which keys the noise."""
        history = directory.restore(self.job, executor, self.callbacks.note)
        return max(0, history.examples - 1) // self.n_train

    def _warn(self) -> None:
        job = self.job
        for line in reach_notice(job.network, job.program, job.given):
            self.callbacks.note(line)

    def _outputs(self, job: Job, executor: Executor, number: int) -> Array:
        """Outputs ``(examples * positions, n)``, a part of the examples at a time."""
        output, n, total = job.network.output, self.n, len(job.dataset.test)
        rows = np.empty((total * output.positions, output.width), np.float32)
        step = max(1, SPAN_BYTES // (4 * MICRO_BATCH * output.positions * output.width))
        whole = replace(job.evaluation(number), micro_batch=MICRO_BATCH, keeps_outputs=True)
        self.callbacks.phase("predicting", n)
        for first in range(0, total, step * MICRO_BATCH):
            left = min(step * MICRO_BATCH, total - first)
            span = replace(whole, n_examples=left, first=first, first_example=first)

            def watch(progress: Progress, first: int = first) -> None:
                self.callbacks.progress(Progress(min(n, first + progress.examples)))

            made = executor.run(span, watch).outputs
            assert made is not None  # which the span asks for
            rows[first * output.positions :][: len(made)] = made
        return rows[: n * output.positions]


def _prediction(
    name: str, job: Job, rows: Array, top: int | None, memories: Memories | None
) -> Prediction:
    """The outputs of every age in the network's shapes."""
    function, n_ages = job.network.output.function, len(rows)
    outputs = _shaped(rows, job, n_ages)
    shaped: dict[str, NDArray[Any]] = {"outputs": outputs}
    if top is not None:
        are_shares = function is not None and function.limits == (0.0, 1.0)
        axis = 1 + _axis_of_classes(job)
        apart = np.moveaxis(outputs, axis, -1)
        chosen = best(apart.reshape(-1, apart.shape[-1]), top, are_shares=are_shares)
        for key, array in zip(("classes", "shares"), chosen, strict=True):
            shaped[key] = np.moveaxis(array.reshape(*apart.shape[:-1], top), -1, axis)
    if memories is None:
        return Prediction(name=name, **{key: array[0] for key, array in shaped.items()})
    return Prediction(name=name, after_s=np.array(memories.after_s, np.float64), **shaped)


def _axis_of_classes(job: Job) -> int:
    """The axis of the classes in outputs ``(examples, ...)``."""
    if job.arrangement is not None:
        return job.arrangement.axis
    shape = job.network.output.shape
    return 1 if shape.image is not None else len(shape.axes)


def _classes_of(job: Job) -> int:
    """How many outputs there are to choose from: none of one number for each example."""
    if job.arrangement is not None:
        return (0, *job.arrangement.shape)[job.arrangement.axis]
    return job.network.output.width


def _shaped(rows: Array, job: Job, n_ages: int) -> Array:
    """``(ages, examples, ...)`` with the axes of the file, or of the network."""
    shape, n = job.network.output.shape, rows.shape[-1]
    if job.arrangement is not None:
        numbers = rows.reshape(-1, shape.positions * n)
        outputs = job.arrangement.of(numbers)
        return outputs.reshape(n_ages, -1, *outputs.shape[1:])
    if shape.image is not None:
        return np.moveaxis(rows.reshape(n_ages, -1, *shape.image, n), -1, 2)
    return rows.reshape(n_ages, -1, *shape.axes)

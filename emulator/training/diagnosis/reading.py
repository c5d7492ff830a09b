"""Tests of a checkpoint that is read in several ways: what noise and converters cost."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.compile import compile_program
from crossmesh.emulator.compiler.exact import on_exact_tiles
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.compiler.optimizing import rules_of
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.network.graph import Network
from crossmesh.emulator.runs.callbacks import Callbacks
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.calibration.mending import Cause, mended_read
from crossmesh.emulator.training.export import held_by
from crossmesh.tiles.runtime.measure import Progress

_MOST_CLASSES = 200  # of which confusions are counted


@dataclass(frozen=True, kw_only=True)
class ReadCosts:
    """Test accuracies of one network, read in several ways; losses where nothing is right or wrong.

    Attributes:
        examples: Test examples that they are of.
        as_read: By its tiles.
        without_noise: By tiles whose reads have no noise.
        without_converters: By tiles without DACs and ADCs.
        exact: With the same weights, multiplied exactly.
        is_accuracy: Whether they are accuracies.
    """

    examples: int
    as_read: float
    without_noise: float
    without_converters: float
    exact: float
    is_accuracy: bool

    def cost(self, better: float) -> float:
        """What is lost to a better way of reading."""
        return better - self.as_read if self.is_accuracy else self.as_read - better


class ReadTests:
    """Tests of a checkpoint, read in several ways, with the noise of the run's last test."""

    def __init__(
        self, job: Job, directory: RunDirectory, executor: LocalExecutor, n: int, number: int
    ) -> None:
        self._job, self._directory, self._executor = job, directory, executor
        self._n, self._number = n, number

    def results(self, callbacks: Callbacks) -> tuple[NDArray[np.int64] | None, ReadCosts]:
        """Confusions, and what reading costs."""
        callbacks.phase("testing", 4 * self._n)
        confusions = self._confusions()
        ways: list[Callable[[], float]] = [
            lambda: self._tested(self._job, self._executor),
            lambda: self._mended({Cause.NOISE}),
            lambda: self._mended({Cause.CONVERTERS}),
            self._exact,
        ]
        found = []
        for way in ways:
            found.append(way())
            callbacks.progress(Progress(self._n * len(found)))
        return confusions, ReadCosts(
            examples=self._n, as_read=found[0], without_noise=found[1],
            without_converters=found[2], exact=found[3], is_accuracy=self._job.has_accuracy,
        )  # fmt: skip

    def _tested(self, job: Job, executor: LocalExecutor) -> float:
        span = replace(job.evaluation(self._number), n_examples=self._n, log_every=self._n)
        row = executor.run(span, lambda progress: None).rows[-1]
        return row.accuracy if job.has_accuracy else row.loss

    def _mended(self, causes: Collection[Cause]) -> float:
        """With the same devices behind another read path."""
        job = _with_reads(self._job, causes)
        executor = LocalExecutor(job)
        try:
            self._directory.restore(job, executor, lambda text: None)
            return self._tested(job, executor)
        finally:
            executor.close()

    def _exact(self) -> float:
        job = on_exact_tiles(self._job, held_by(self._job, self._executor))
        executor = LocalExecutor(job)
        try:
            executor.write_initial_weights()
            return self._tested(job, executor)
        finally:
            executor.close()

    def _confusions(self) -> NDArray[np.int64] | None:
        job, n_classes = self._job, self._job.network.output.width
        if not job.dataset.has_classes or n_classes > _MOST_CLASSES:
            return None
        span = replace(job.evaluation(self._number), n_examples=self._n, keeps_outputs=True)
        outputs = self._executor.run(span, lambda progress: None).outputs
        assert outputs is not None  # which the span asks for
        classes = job.dataset.test.some_targets(slice(0, self._n)).reshape(-1)
        answers = outputs[: len(classes)].argmax(axis=1)
        counts = np.bincount(classes * n_classes + answers, minlength=n_classes**2)
        return counts.reshape(n_classes, n_classes)


def _with_reads(job: Job, causes: Collection[Cause]) -> Job:
    """The job with causes of error mended in the read paths of all tiles."""
    matrices = {
        name: matrix if matrix.digital else replace(
            matrix,
            holder=matrix.tile.model_copy(update={"read": mended_read(matrix.tile.read, causes)}),
        )
        for name, matrix in job.network.matrices.items()
    }  # fmt: skip
    network = Network(job.network.nodes, matrices)
    rules = rules_of(network, job.layers, job.config.training)
    program = compile_program(network, job.program.loss, job.given, job.program.outputs, rules)
    return replace(job, network=network, program=program)

"""The digital baseline: the same network, examples and initial weights in plain float32."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.compile import compile_program
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.compiler.mapping import join
from crossmesh.emulator.compiler.optimizing import rules_of_twin
from crossmesh.emulator.config.rates import EpochLoss
from crossmesh.emulator.network.graph import Matrix, Network
from crossmesh.emulator.runs.history import BaselineRow
from crossmesh.interconnect.schedule import Sequential
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import EXACT, Digital
from crossmesh.tiles.runtime.assignment import Assignment
from crossmesh.tiles.runtime.host import TileHost
from crossmesh.tiles.runtime.measure import Measurement

# A tile that takes the largest matrices whole.
WHOLE = EXACT.model_copy(update={"rows": 65536, "cols": 65536})


class FloatTwin:
    """The network of a job with numbers for weights.

    It runs the same program, on tiles as large as each matrix, whose products and updates are
    exact, with the same micro-batches, without stale weights. What is digital anyway learns by its
    optimisers, all else by that of its algorithm (hardware-aware training, mixed precision) or by
    plain SGD.

    Args:
        job: The job whose network, loss, examples and initial weights to take.

    Attributes:
        rows: Of each epoch, its losses and accuracies.
        losses: Of each epoch, where the learning rate depends on them.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        matrices = {
            name: replace(matrix, holder=_exact(matrix), replicas=1)
            for name, matrix in job.network.matrices.items()
        }
        network = Network(job.network.nodes, matrices)
        program = compile_program(
            network,
            job.program.loss,
            job.given,
            job.program.outputs,
            rules_of_twin(network, job.layers, job.config.training),
        )
        assignment = Assignment(
            program=replace(program, class_weights=job.program.class_weights),
            seed=job.config.seed,
            host_of=(0,) * len(program.blocks),
            host=0,
        )
        self._host = TileHost(assignment, job.feeds)
        self._host.write(job.initial())
        self.rows: list[BaselineRow] = []
        self.losses: list[EpochLoss] = []

    @property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Every matrix whole, the bias as its last row, and the parameters of digital memories."""
        parts = ((tile.block, tile.weights) for tile in self._host.tiles.values())
        return join(parts, self._job.network.matrices)

    def train(self, epoch: int, watch: Callable[[int], None] | None = None) -> None:
        """Train an epoch, and test.

        Args:
            epoch: Its number.
            watch: Called after every batch with the examples of the epoch done so far.
        """
        span = self._job.epoch(epoch, self.losses)
        if span.schedule.round is None:  # a pipeline that never drains is what a chip adds
            span = replace(span, schedule=Sequential())
        done = 0

        def count() -> None:
            nonlocal done
            done = min(done + span.micro_batch, span.n_examples)
            if watch is not None:
                watch(done)

        self._measure(epoch, self._host.run(span, count).rows)

    def _measure(self, epoch: int, rows: Sequence[Measurement]) -> None:
        """Keep what an epoch came to, of which ``rows`` are the training's."""
        sizes = np.diff([row.examples for row in rows], prepend=0)
        loss, accuracy = (float(np.average([getattr(row, name) for row in rows], weights=sizes))
                          for name in ("loss", "accuracy"))  # fmt: skip
        tested, has_accuracy = self.test(), self._job.has_accuracy
        accuracies = (accuracy, tested.accuracy) if has_accuracy else (None, None)
        self.rows.append(BaselineRow(epoch + 1, loss, accuracies[0], tested.loss, accuracies[1]))
        if self._job.config.training.watches_losses:
            aside = self.test("validation").loss if self._job.dataset.validation else None
            self.losses.append(EpochLoss(loss, tested.loss, aside))

    def test(self, on: str = "test") -> Measurement:
        """Loss and accuracy on the test set, or on another."""
        return self._host.run(self._job.evaluation(0, on)).rows[-1]


def _exact(matrix: Matrix) -> TileConfig | Digital:
    """A tile of exact numbers, with the bias where it lies on the chip."""
    if matrix.digital:
        return matrix.holder
    return WHOLE.model_copy(update={"bias": matrix.tile.bias})


def train_baseline(
    job: Job,
    watch: Callable[[int], None] = lambda examples: None,
    epochs: int | None = None,
) -> FloatTwin:
    """Train the network digitally, on the job's examples in the job's order.

    Args:
        job: The job.
        watch: Called after every micro-batch with the examples done so far.
        epochs: Number of epochs; by default as the config says.
    """
    twin = FloatTwin(job)
    for epoch in range(epochs or job.config.training.epochs):
        before = epoch * job.n_train
        twin.train(epoch, lambda examples, before=before: watch(before + examples))  # type: ignore[misc]  # a default binds the loop's value
    return twin

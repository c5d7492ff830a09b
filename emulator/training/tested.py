"""Tests of a network on the examples that it is not trained on."""

from dataclasses import dataclass

from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.executor import Executor


@dataclass(frozen=True, kw_only=True)
class TestFigures:
    """Loss and accuracy on a set of examples."""

    loss: float
    accuracy: float


def test_network(job: Job, executor: Executor, number: int) -> TestFigures:
    """Test a network; ``number`` keys the noise of the reads."""
    return _tested(job, executor, number, "test")


def _tested(job: Job, executor: Executor, number: int, on: str) -> TestFigures:
    rows = executor.run(job.evaluation(number, on), lambda progress: None).rows
    return TestFigures(loss=rows[-1].loss, accuracy=rows[-1].accuracy)


def figures_of(job: Job, executor: Executor, number: int) -> dict[str, float | None]:
    """Loss and accuracy on every set but that which is trained on.

    Returns:
        ``test_loss``, ``test_accuracy``, and ``validation_loss``, ``validation_accuracy`` if there
        is such a set; an accuracy is None where outputs are neither right nor wrong.
    """
    figures: dict[str, float | None] = {}
    for name in job.dataset.sets:
        if name != "train":
            tested = _tested(job, executor, number, name)
            accuracy = tested.accuracy if job.has_accuracy else None
            figures |= {f"{name}_loss": tested.loss, f"{name}_accuracy": accuracy}
    return figures

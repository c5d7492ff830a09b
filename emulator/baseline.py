"""The digital baseline: the same network, examples and initial weights in plain float32 NumPy."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from emulator.job import Job
from emulator.network import INPUT, Node
from tiles.digital import ACTIVATIONS, LOSSES, count_correct

Array = NDArray[np.float32]


class FloatNetwork:
    """A network whose weights are numbers, trained by plain SGD.

    Args:
        job: The job whose network, loss and initial weights to take.
    """

    def __init__(self, job: Job) -> None:
        self._network = job.network
        self._loss = LOSSES[job.config.loss]
        self.weights = {
            node.name: job.weights(
                node.name, (0, 0), (job.network.by_name[node.input].width + node.bias, node.width)
            )
            for node in job.network.linear
        }

    def forward(self, x: Array) -> dict[str, Array]:
        """Activations of every node, each with a last column of ones.

        Args:
            x: ``(examples, inputs + 1)``, the last column 1.
        """
        values = {INPUT: x}
        for node in self._network.nodes[1:]:
            before = values[node.input]
            out = np.empty((x.shape[0], node.width + 1), np.float32)
            out[:, node.width] = 1
            if node.is_linear:
                w = self.weights[node.name]
                np.matmul(before[:, : w.shape[0]], w, out=out[:, : node.width])
            else:
                ACTIVATIONS[node.function or ""].forward(before[:, :-1], out[:, :-1])
            values[node.name] = out
        return values

    def step(self, x: Array, targets: NDArray[np.generic], rate: float) -> float:
        """One update from the examples of a batch; returns the sum of their losses."""
        values = self.forward(x)
        output = self._network.output
        loss, error = self._loss.evaluate(values[output.name][:, :-1], targets)
        judged = output.input if self._loss.name == "cross_entropy" else output.name
        errors = {judged: error}
        for node in reversed(self._network.nodes[1:]):
            if node.name in errors and self._network.learns[node.input]:
                back = self._back(node, errors[node.name], values)
                known = errors.get(node.input)
                errors[node.input] = back if known is None else known + back
        for node in self._network.linear:
            w = self.weights[node.name]
            w += np.float32(rate) * (values[node.input][:, : w.shape[0]].T @ errors[node.name])
        return loss

    def _back(self, node: Node, error: Array, values: dict[str, Array]) -> Array:
        if node.is_linear:
            width = self._network.by_name[node.input].width
            return error @ self.weights[node.name][:width].T
        return ACTIVATIONS[node.function or ""].backward(error, values[node.name][:, :-1])


def train_baseline(job: Job, watch: Callable[[int], None] = lambda examples: None) -> FloatNetwork:
    """Train the network digitally, on the job's examples in the job's order.

    Args:
        job: The job.
        watch: Called after every batch with the examples done so far.
    """
    network = FloatNetwork(job)
    feed, training = job.feeds["train"], job.config.training
    for epoch in range(training.epochs):
        for start in range(0, job.n_train, training.batch):
            stop = min(start + training.batch, job.n_train)
            x, targets = feed.inputs(epoch, start, stop), feed.targets(epoch, start, stop)
            network.step(x, targets, training.rate(epoch))
            watch(epoch * job.n_train + stop)
    return network


def accuracy(job: Job, network: FloatNetwork) -> float:
    """Share of the test examples whose class the network gets right."""
    feed, n = job.feeds["test"], len(job.dataset.test)
    outputs = network.forward(feed.inputs(0, 0, n))[job.network.output.name][:, :-1]
    return count_correct(outputs, feed.targets(0, 0, n)) / n

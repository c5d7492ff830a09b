"""A chain of linear layers and activations in plain NumPy: what the emulation is compared with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.job import Job
from crossmesh.tiles.digital import ACTIVATIONS, Call, Function

Array = NDArray[np.float32]
_CALL = Call()


@dataclass
class _Layer:
    weights: Array  # (inputs + 1, outputs)
    function: Function


class PlainNetwork:
    """A network whose weights are numbers, trained by plain SGD.

    Args:
        job: Its network must be a chain of linear layers with bias and one activation each.
    """

    def __init__(self, job: Job) -> None:
        self._loss = job.program.loss
        self.layers: dict[str, _Layer] = {}
        for node in job.network.nodes[1:]:
            if node.matrix is not None:
                matrix = job.network.matrices[node.matrix]
                weights = job.weights(matrix.name, (0, 0), (matrix.rows, matrix.outputs))
                self.layers[node.name] = _Layer(weights, ACTIVATIONS["identity"])
            else:
                assert node.function is not None
                self.layers[node.inputs[0].node].function = node.function

    @property
    def weights(self) -> dict[str, Array]:
        """Matrices by layer."""
        return {name: layer.weights for name, layer in self.layers.items()}

    def step(self, x: Array, targets: NDArray[np.generic], rate: float) -> float:
        """One update from the examples of a batch; returns the sum of their losses.

        Args:
            x: ``(examples, inputs + 1)``, the last column 1.
            targets: Class numbers or values.
            rate: Of every example's outer product.
        """
        layers, values = list(self.layers.values()), [x]
        for layer in layers:
            out = np.ones((len(x), layer.weights.shape[1] + 1), np.float32)
            layer.function.forward([values[-1] @ layer.weights], out[:, :-1], _CALL)
            values.append(out)
        loss, d = self._loss.evaluate(values[-1][:, :-1], targets)
        looks_through = self._loss.behind is not None
        for i in range(len(layers) - 1, -1, -1):
            layer, before = layers[i], values[i]
            if not (looks_through and i == len(layers) - 1):
                d = layer.function.backward(d, 0, (), values[i + 1][:, :-1], _CALL)
            back = d @ layer.weights[:-1].T if i else d
            layer.weights += np.float32(rate) * (before.T @ d)
            d = back
        return loss

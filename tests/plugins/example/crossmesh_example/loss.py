"""Huber's loss: squared near the target, linear far from it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crossmesh.kinds import Loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Huber(Loss):
    """Mean over the outputs of Huber's function of target minus output, with a bend at 1."""

    name: ClassVar[str] = "example.huber"

    def _of_values(self, y: Any, wanted: Any) -> tuple[float, Any]:
        distance = wanted - y
        size = np.abs(distance)
        losses = np.where(size < 1, 0.5 * distance * distance, size - 0.5)
        d = np.clip(distance, -1, 1) * np.float32(1 / y.shape[1])
        return float(losses.sum(dtype=np.float64)) / y.shape[1], d.astype(np.float32)


HUBER = Huber()

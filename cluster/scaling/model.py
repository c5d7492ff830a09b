"""A cost model of tile hosts: what a read, an update, a step, a message and a byte cost.

Prices are fitted to the measured seconds of hosts by least squares of relative errors, none of them
negative.
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from crossmesh.cluster.scaling.load import Load

COMPUTE = ("read", "updated", "operations")
MESSAGES = ("messages", "bytes")


@dataclass(frozen=True, kw_only=True)
class HostCost:
    """Work of a host in a span, and the time it took.

    Attributes:
        load: How much.
        compute_s: Seconds without messages.
        message_s: Seconds of sending and receiving, without waiting.
    """

    load: Load
    compute_s: float
    message_s: float

    @property
    def busy_s(self) -> float:
        """Seconds without waiting."""
        return self.compute_s + self.message_s


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Prices, in seconds.

    Attributes:
        read_s: Seconds to read a crosspoint for an example, forward or backward.
        update_s: Seconds to update a crosspoint for an example.
        operation_s: Seconds of any step, whatever its size.
        message_s: Seconds to send a message, or to receive one.
        byte_s: Seconds per byte of its payload, at each end.
    """

    read_s: float
    update_s: float
    operation_s: float
    message_s: float
    byte_s: float

    def seconds(self, load: Load) -> float:
        """Predicted seconds for a load."""
        return float(np.dot(astuple(self), load))


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Relative errors of predictions, without sign.

    Attributes:
        median: Their median.
        largest: Their largest.
        n: Number of predictions.
    """

    median: float
    largest: float
    n: int


def fit(rows: Sequence[HostCost]) -> CostModel:
    """The costs that fit the rows best; a cost that no row depends on is 0."""
    loads = np.array([row.load for row in rows], np.float64)
    compute = _priced(loads, COMPUTE, np.array([row.compute_s for row in rows]))
    message = _priced(loads, MESSAGES, np.array([row.message_s for row in rows]))
    return CostModel(
        read_s=compute[0],
        update_s=compute[1],
        operation_s=compute[2],
        message_s=message[0],
        byte_s=message[1],
    )


def _priced(
    loads: NDArray[np.float64], names: tuple[str, ...], seconds: NDArray[np.float64]
) -> list[float]:
    """Prices of some columns of ``loads``, ``(rows, amounts)``, from the rows that have any."""
    columns = loads[:, [Load._fields.index(name) for name in names]]
    measured = columns.any(axis=1) & (seconds > 0)
    if not measured.any():
        return [0.0] * len(names)
    relative = columns[measured] / seconds[measured, None]
    return list(map(float, nonnegative(relative, np.ones(len(relative)))))


def nonnegative(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least-squares solution of ``a x = b`` without negative values, by trying every subset.

    The solution is that of a plain problem over the columns that are not zero in it, so among all
    subsets whose plain solution has no negative value, the best is the one.

    Args:
        a: ``(rows, columns)``, of a few columns.
        b: ``(rows,)``.

    Returns:
        ``(columns,)``

    >>> nonnegative(np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([2.0, 1.0]))
    array([1.5, 0. ])
    """
    sizes = np.linalg.norm(a, axis=0)
    best, least = np.zeros(a.shape[1]), float(b @ b)
    columns = np.flatnonzero(sizes)
    for n in range(1, len(columns) + 1):
        for subset in map(list, itertools.combinations(columns, n)):
            x = np.linalg.lstsq(a[:, subset] / sizes[subset], b, rcond=None)[0]
            rest = float(np.sum((a[:, subset] / sizes[subset] @ x - b) ** 2))
            if (x >= 0).all() and rest < least * (1 - 1e-12):
                best, least = np.zeros(a.shape[1]), rest
                best[subset] = x / sizes[subset]
    return best


def errors(predicted: Sequence[float], measured: Sequence[float]) -> Errors | None:
    """Relative errors of predictions; None if there are none."""
    off = [abs(p / m - 1) for p, m in zip(predicted, measured, strict=True)]
    if not off:
        return None
    return Errors(median=statistics.median(off), largest=max(off), n=len(off))

"""Arrays behind wires, exactly: the node voltages of every crosspoint, solved line by line.

Word lines are driven at their left end, bit lines are sensed at virtual ground at their bottom
end, and a segment of wire lies between two crosspoints and between the first and the driver. If
the voltages of the bit lines were known, every word line would be a chain of resistors by itself,
which two passes along it solve; and the other way round. Both are therefore solved in turns. The
turns converge as fast as the Chebyshev polynomials say (Golub & Varga 1961, doi 10.1007/BF01386013:
the cyclic semi-iterative method), so their number follows from a bound on the spectrum, and a read
is linear in its vector whatever other vectors are read with it.

Everything is computed as what wires take off, in which no digits cancel.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.compiled import kernel

Array = NDArray[np.float32]
TOLERANCE = 1e-5  # of the voltages that wires take off
MOST_SOLVES = 10_000  # of a read, at full scale
_ROUNDING = 1e-12
_FEWEST = 3  # word lines, bit lines, and word lines once more
_BLOCK = 16  # rows and columns that are transposed together, a cache line each


class Chain(NamedTuple):
    """Lines of one direction, each a chain of resistors if those that cross it are at ground.

    Attributes:
        g: ``(segments, lines)`` conductances, from the driver on, relative to full scale.
        kept: ``(segments, lines)`` voltage after a segment over that before it.
        resistance: Of a segment, times the conductance of full scale.
    """

    g: Array
    kept: Array
    resistance: np.float32


class Drives(NamedTuple):
    """Voltages of the drivers; a crosspoint sees the sum of both.

    Attributes:
        along: ``(segments,)`` of the lines that cross.
        across: ``(lines,)`` of the lines themselves.
    """

    along: Array
    across: Array


class ChainRoom(NamedTuple):
    """Room for a solve of lines.

    Attributes:
        inflow: ``(segments, lines)`` voltage that currents from a segment on add to it.
        carry: ``(lines,)``.
    """

    inflow: Array
    carry: Array


@kernel
def eliminate(
    g: NDArray[np.float32],  # (segments, lines) conductances, from the driver on
    resistance: np.float32,
    kept: NDArray[np.float32],  # (segments, lines), written: voltage after a segment over before
) -> None:
    """What each segment of the lines leaves of the voltage before it, the other lines at ground."""
    one = np.float32(1)
    beyond = np.zeros(g.shape[1], np.float32)  # conductance of the rest of the line
    for i in range(g.shape[0] - 1, -1, -1):
        for j in range(g.shape[1]):
            load = resistance * g[i, j] + beyond[j]
            kept[i, j] = one / (one + load)
            beyond[j] = load * kept[i, j]


@kernel
def transpose(a: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """``out[:] = a.T``, block by block."""
    for i in range(0, a.shape[0], _BLOCK):
        for j in range(0, a.shape[1], _BLOCK):
            for k in range(i, min(i + _BLOCK, a.shape[0])):
                for m in range(j, min(j + _BLOCK, a.shape[1])):
                    out[m, k] = a[k, m]


@kernel
def relax(
    drop: NDArray[np.float32],  # (segments, lines) below the driver's voltage, changed in place
    other: NDArray[np.float32],  # (segments, lines) the same of the lines that cross
    drives: Drives,
    chain: Chain,
    factor: np.float32,  # how far to go towards the solution
    room: ChainRoom,
) -> None:
    """Solve all lines, given the voltages of those that cross them, and go towards that."""
    g, kept, resistance = chain
    along, across = drives
    inflow, carry = room
    carry[:] = 0
    for i in range(g.shape[0] - 1, -1, -1):
        for j in range(g.shape[1]):
            current = resistance * g[i, j] * (along[i] + across[j] - other[i, j])
            carry[j] = (current + carry[j]) * kept[i, j]
            inflow[i, j] = carry[j]
    carry[:] = 0
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            carry[j] = inflow[i, j] + kept[i, j] * carry[j]
            drop[i, j] += factor * (carry[j] - drop[i, j])


@kernel
def lose(
    x: NDArray[np.float32],  # (vectors, driven lines)
    driven: Chain,  # lines that are driven
    sensed: Chain,  # lines that cross them
    factors: NDArray[np.float32],  # (solves,) of driven and sensed lines in turn
    lost: NDArray[np.float32],  # (vectors, sensed lines), written
) -> None:
    """Currents that wires take off every sensed line."""
    g = sensed.g
    n_driven, n_sensed = g.shape
    none = np.zeros(n_sensed, np.float32)
    drop, turned = np.empty_like(driven.g), np.empty_like(driven.g)
    rise, other = np.empty_like(g), np.empty_like(g)
    room = ChainRoom(np.empty_like(driven.g), np.empty(n_driven, np.float32))
    room_across = ChainRoom(np.empty_like(g), np.empty(n_sensed, np.float32))
    for e in range(x.shape[0]):
        drop[:], rise[:] = 0, 0
        for t in range(len(factors)):
            if t % 2 == 0:
                transpose(rise, turned)
                relax(drop, turned, Drives(none, x[e]), driven, factors[t], room)
            else:
                transpose(drop, other)
                relax(rise, other, Drives(x[e], none), sensed, factors[t], room_across)
        transpose(drop, other)
        lost[e] = 0
        for i in range(n_driven):
            for j in range(n_sensed):
                lost[e, j] += g[i, j] * (other[i, j] + rise[i, j])


def spectrum(shape: tuple[int, int], load: float) -> float:
    """A bound on what two solves leave of an error, for devices of at most a load.

    The largest eigenvalue of ``(L + D)^-1 D`` of each direction, L being the matrix of a line of
    wire and D the loads on it, is at most that for equal loads.

    Args:
        shape: Rows and columns.
        load: Largest conductance times the resistance of a segment.
    """
    if load == 0:
        return 0.0
    bound = 1.0
    for n in shape:
        smallest = 4 * math.sin(math.pi / (4 * n + 2)) ** 2  # eigenvalue of L
        bound *= 1 / (1 + smallest / load)
    return bound


def needed_solves(shape: tuple[int, int], load: float) -> int:
    """Solves of all lines of one direction, after which a read is exact within ``TOLERANCE``.

    Args:
        shape: Rows and columns.
        load: Largest conductance times the resistance of a segment.

    >>> needed_solves((256, 256), 1e-4)
    15
    """
    bound = spectrum(shape, load)
    if bound == 0:
        return _FEWEST
    rate = math.acosh(max(1 / math.sqrt(bound), 1 + _ROUNDING))
    return max(_FEWEST, math.ceil(math.acosh(1 / TOLERANCE) / rate))


class WireNetwork:
    """One array of devices and the wires that lead to them, at one state.

    Args:
        g: ``(rows, cols)`` conductances, 0 or more, relative to full scale.
        resistance: Resistance of a segment, times the conductance of full scale.
    """

    def __init__(self, g: Array, resistance: float) -> None:
        self._shape = rows, cols = g.shape[0], g.shape[1]
        largest = float(g.max(initial=0))
        load = resistance * largest if math.isfinite(largest) else 0.0  # else NaN comes out
        n = min(needed_solves((rows, cols), load), 2 * MOST_SOLVES)
        self._factors = _factors(n, spectrum((rows, cols), load))
        upwards = np.ascontiguousarray(g[::-1], np.float32)  # bit lines, from where they are sensed
        self._bit = _chain(upwards, resistance)
        self._word = _chain(np.ascontiguousarray(upwards.T), resistance)

    def lost(self, x: Array) -> Array:
        """Currents ``(vectors, cols)`` that wires take off, word lines at ``(vectors, rows)``."""
        turned = np.ascontiguousarray(x[:, ::-1], np.float32)
        return self._lost(turned, self._word, self._bit)

    def lost_backward(self, d: Array) -> Array:
        """Currents ``(vectors, rows)``, bit lines driven from below at ``(vectors, cols)``."""
        lost = self._lost(np.ascontiguousarray(d, np.float32), self._bit, self._word)
        return lost[:, ::-1]

    def matrix(self) -> Array:
        """``(rows, cols)``: what each word line loses on each bit line per unit of voltage."""
        rows, cols = self._shape
        if rows <= cols:
            return self.lost(np.eye(rows, dtype=np.float32))
        return self.lost_backward(np.eye(cols, dtype=np.float32)).T

    def _lost(self, x: Array, driven: Chain, sensed: Chain) -> Array:
        lost = np.empty((len(x), sensed.g.shape[1]), np.float32)
        lose(x, driven, sensed, self._factors, lost)
        return lost


def _chain(g: Array, resistance: float) -> Chain:
    kept = np.empty_like(g)
    eliminate(g, np.float32(resistance), kept)
    return Chain(g, kept, np.float32(resistance))


def _factors(n: int, bound: float) -> Array:
    """The relaxation of each solve."""
    factors = [1.0, 1 / (1 - bound / 2)]
    while len(factors) < n:
        factors.append(1 / (1 - bound * factors[-1] / 4))
    return np.array(factors[:n], np.float32)

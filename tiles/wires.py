"""Resistance of the wires: what an array passes less, to first order.

Word lines are driven at their left end, bit lines are sensed at virtual ground at their bottom end.
A segment of wire lies before every crosspoint of a word line and behind every crosspoint of a bit
line. Currents that the ideal array would draw make voltages drop on the segments they share, and
every device passes as much less. A resistive network answers linearly, so the result is an array
of smaller conductances; driven and sensed the other way round it is the transposed one.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
LARGEST_LOSS = 0.5  # of a conductance; beyond it, the first order says nothing


def effective(g: Array, resistance: float) -> Array:
    """Conductances as they act behind their wires.

    The error is of second order: about the square of the largest relative loss.

    Args:
        g: ``(rows, cols)`` conductances, 0 or more, relative to full scale.
        resistance: Of a segment, times the conductance of full scale.

    Raises:
        ValueError: A device would lose more than half of its current.
    """
    if not resistance:
        return g
    loss = np.float32(resistance) * (_shared(g) + _shared(g[::-1].T)[:, ::-1].T)
    largest = float(loss.max(initial=0, where=g > 0))
    if largest > LARGEST_LOSS:
        raise ValueError(
            f"read.wire_resistance must leave every device at least {LARGEST_LOSS:.0%} of its "
            f"current, got {resistance:g}, which takes {largest:.0%} from one; smaller tiles help"
        )
    return g * (1 - loss)


def _shared(g: Array) -> Array:
    """Per crosspoint, the currents of its line, each times the segments that both share.

    ``sum_l (min(j, l) + 1) * g[i, l]``, lines along the second axis, driven at their start.
    """
    number = np.arange(1, g.shape[1] + 1, dtype=np.float32)
    before = np.cumsum(g * number, axis=1)
    up_to = np.cumsum(g, axis=1)
    return before + number * (up_to[:, -1:] - up_to)

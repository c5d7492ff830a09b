"""Progress of a span: whether it has stalled, and its latest figures."""

import math
import time

from crossmesh.common.errors import HostLost
from crossmesh.tiles.runtime.measure import Outcome


def latest(outcome: Outcome) -> tuple[float, float]:
    """Loss and accuracy of the last examples of a span, as far as they are known."""
    loss, correct, n = outcome.rest
    if n:
        return loss / n, correct / n
    if outcome.rows:
        return outcome.rows[-1].loss, outcome.rows[-1].accuracy
    return math.nan, math.nan


class Stall:
    """Notices a span that no longer moves."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._examples = -1
        self._since = time.monotonic()

    def check(self, examples: int) -> None:
        """Raise if the number of examples has not changed for too long."""
        if examples != self._examples:
            self._examples, self._since = examples, time.monotonic()
        elif time.monotonic() - self._since > self._timeout_s:
            raise HostLost(
                f"no micro-batch was completed within engine.timeout_s ({self._timeout_s:g} s), "
                f"after {examples} examples; raise engine.timeout_s if one micro-batch takes longer"
            )

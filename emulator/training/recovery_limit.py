"""How often a run may recover."""

import time
from collections import deque

from crossmesh.common.errors import HostLost, RunLost

_HOUR_S = 3600.0


class RecoveryLimit:
    """Ends a run whose hosts are lost too often.

    Args:
        per_hour: So many recoveries within an hour are allowed.
    """

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._times: deque[float] = deque()

    def count(self, error: HostLost) -> None:
        """One more loss; raises what ends the run if it is one too many."""
        now = time.monotonic()
        while self._times and now - self._times[0] > _HOUR_S:
            self._times.popleft()
        if len(self._times) >= self._per_hour:
            raise RunLost(
                f"{error} (after {len(self._times)} recoveries within an hour; "
                "engine.recoveries_per_hour allows no more)"
            )
        self._times.append(now)

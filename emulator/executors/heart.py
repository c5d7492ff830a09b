"""Whether actors live that are at work."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from crossmesh.common.errors import HostLost
from crossmesh.tiles.runtime.measure import HostReport, Progress

BEAT_S = 0.5  # between two looks whether actors live
SILENCE_S = 10.0  # an actor that does not say that it lives by then counts as lost


class Heart:
    """Notices actors that no longer answer although their process is there, such as frozen ones.

    Args:
        actors: All of them.
        futures: A call of each; those that have answered it are not asked.
        statuses: Takes what they say.
        name: What to call an actor.
    """

    def __init__(
        self,
        actors: list[Any],
        futures: list[Any],
        statuses: dict[int, tuple[Progress, HostReport]],
        name: Callable[[int], str],
    ) -> None:
        self._actors = actors
        self._futures = futures
        self._statuses = statuses
        self._name = name
        self._asked: dict[int, tuple[Any, float]] = {}
        self._due = time.monotonic() + BEAT_S

    def beat(self) -> None:
        """Ask those that are working, once a second, and hear what they say.

        Raises:
            HostLost: If one has not answered for too long.
        """
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + BEAT_S
        _, working = ray.wait(self._futures, num_returns=len(self._futures), timeout=0)
        for host, future in enumerate(self._futures):
            if future in set(working):
                self._hear(host, now)

    def _hear(self, host: int, now: float) -> None:
        if host not in self._asked:
            self._asked[host] = (self._actors[host].status.remote(), now)
            return
        asked, since = self._asked[host]
        if ray.wait([asked], timeout=0)[0]:
            del self._asked[host]
            with contextlib.suppress(RayError):  # the call itself meets the failure and names it
                self._statuses[host] = ray.get(asked)
        elif now - since > SILENCE_S:
            raise HostLost(f"{self._name(host)} has not answered for {SILENCE_S:g} s")

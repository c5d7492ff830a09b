"""Actors of an arrangement that is to come, made on their nodes while the training goes on."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.executors.arrangement import Arrangement
from crossmesh.emulator.executors.calls import Failure
from crossmesh.emulator.executors.instance import check_version, different_arithmetic
from crossmesh.emulator.executors.making import Maker
from crossmesh.emulator.executors.nodes import Reservations
from crossmesh.emulator.executors.placement import Machine, Placement
from crossmesh.tiles.runtime.actor import Spot

READY_S = 60.0  # longest wait for actors to be made


class NotComing(Exception):  # noqa: N818  because it names what happened
    """The actors cannot be had; the message says why, and is empty if others took the CPUs.

    Attributes:
        nodes: Nodes to leave alone for a while.
    """

    def __init__(self, message: str, nodes: set[str]) -> None:
        super().__init__(message)
        self.nodes = nodes


class Newcomers:
    """Actors of an arrangement that there are none for yet.

    Args:
        arranged: The arrangement that is to come.
        kept: Present number of each actor that stays, by its number in the arrangement.
        machines: Nodes that it is for.
        maker: Maker of actors.
        reservations: CPUs and memory on the nodes.
        spots: Where the present actors are, whose type of processor those that come must have.
    """

    def __init__(
        self,
        arranged: Arrangement,
        kept: Mapping[int, int],
        machines: Sequence[Machine],
        maker: Maker,
        reservations: Reservations,
        spots: Sequence[Spot | None],
    ) -> None:
        self._spots = spots
        self.arranged = arranged
        self.kept = kept
        self._maker = maker
        self._reservations = reservations
        self._groups = reservations.ask(arranged.reserved(machines))
        self._is_made = False
        self._actors: dict[int, Any] = {}
        self._joining: list[Any] = []
        self._since = time.monotonic()

    def arrived(self) -> dict[int, Any] | None:
        """The actors by host, once all of them are ready; None before.

        Raises:
            NotComing: If they cannot be had.
        """
        if not self._is_made:
            if all(group.wait(0.01) for group in self._groups.values()):
                self._make()
            elif time.monotonic() - self._since > READY_S:
                raise NotComing("", set())
            return None
        if not self._joining:  # hosts of before have more CPUs, and that is all
            return {}
        ready, pending = ray.wait(self._joining, num_returns=len(self._joining), timeout=0)
        nodes = {self.arranged.placement.node_of[host] for host in self._actors}
        reason = self._why_not(ready)
        if pending and time.monotonic() - self._since > READY_S:
            reason = f"no actor could be made there within {READY_S:g} s"
        if reason:
            raise NotComing(reason, nodes)
        return None if pending else self._actors

    def _why_not(self, joined: list[Any]) -> str:
        """Why actors that have joined, or could not, are none for this run; empty if they are."""
        try:
            spots = ray.get(joined)
            check_version(spots)
        except RayError as error:
            return str(Failure({0: error}).reason(lambda _: "an actor on a node that joined"))
        except ConfigError as error:
            return str(error)
        return different_arithmetic([*self._spots, *spots])

    def _make(self) -> None:
        self._is_made = True
        hosts = set(range(self.arranged.placement.n_hosts)) - self.kept.keys()
        self._actors = {host: self._maker.make(self.arranged, host) for host in sorted(hosts)}
        capacity = self.arranged.capacity
        self._joining = [actor.join.remote(0, capacity) for actor in self._actors.values()]

    def drop(self) -> None:
        """End them, and give back what was reserved for them."""
        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                ray.kill(actor)
        self._reservations.give_back(self._groups)


def grown(before: Placement, after: Placement) -> str:
    """What to say of a run that has grown."""
    n_nodes = len(set(after.node_of))
    where = f"on {n_nodes} node{'' if n_nodes == 1 else 's'}"
    if before.n_hosts == after.n_hosts:
        return f"spread {after.n_hosts} tile hosts over more CPUs, {where}"
    return f"grew from {before.n_hosts} to {after.n_hosts} tile hosts, {where}"

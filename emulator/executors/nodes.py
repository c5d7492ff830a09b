"""The nodes of the cluster: what they have, and CPUs and memory reserved on them."""

import time
from collections.abc import Mapping, Sequence

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from crossmesh.common.errors import RunLost
from crossmesh.common.supervision import interrupts
from crossmesh.common.supervision.reports import RAY_S, renew, within
from crossmesh.emulator.executors.calls import POLL_S
from crossmesh.emulator.executors.placement import Machine
from crossmesh.emulator.executors.ray_internals import free_resources

_GIB = 1 << 30


def machines() -> list[Machine]:
    """Nodes that are alive and have CPUs, this one first, the others by address."""
    here = ray.get_runtime_context().get_node_id()
    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    found = [
        Machine(
            node=node["NodeID"],
            ip=node["NodeManagerAddress"],
            cpus=int(node["Resources"]["CPU"]),
            memory_bytes=int(node["Resources"].get("memory", 0)),
        )
        for node in alive
    ]
    return sorted(found, key=lambda machine: (machine.node != here, machine.ip, machine.node))


def await_machines(wanted: int | None, timeout_s: float) -> list[Machine]:
    """``machines``, once there are as many as are wanted.

    Raises:
        RunLost: If they do not come in time.
    """
    deadline = time.monotonic() + timeout_s
    with interrupts.deferred(), within(RAY_S, "Ray's list of nodes"):
        found = machines()
        while len(found) < (wanted or 1):
            if time.monotonic() > deadline:
                there = ", ".join(machine.ip for machine in found) or "none"
                raise RunLost(
                    f"{wanted or 1} nodes with CPUs (engine.nodes) must join the cluster within "
                    f"engine.timeout_s ({timeout_s:g} s), got {len(found)}: {there}"
                )
            time.sleep(POLL_S)
            interrupts.check()
            renew()
            found = machines()
    return found


class Reservations:
    """CPUs and memory that are kept for tile hosts, by one placement group on each node."""

    def __init__(self) -> None:
        self._groups: dict[str, PlacementGroup] = {}

    def take(self, wanted: Mapping[str, Mapping[str, float]], timeout_s: float) -> None:
        """Reserve resources on nodes; those that have a reservation keep it.

        Args:
            wanted: Amount of each resource by node.
            timeout_s: Longest wait.

        Raises:
            RunLost: If a node does not have them in time; the message says what is missing.
        """
        new = [node for node in wanted if node not in self._groups]
        with interrupts.deferred(), within(RAY_S, "a reservation by Ray"):
            self._reserve(new, wanted, timeout_s)

    def _reserve(
        self, new: Sequence[str], wanted: Mapping[str, Mapping[str, float]], timeout_s: float
    ) -> None:
        for node in new:
            self._groups[node] = placement_group(
                [dict(wanted[node])],
                strategy="PACK",
                bundle_label_selector=[{"ray.io/node-id": node}],
            )
        deadline = time.monotonic() + timeout_s
        for node in new:
            while not self._groups[node].wait(POLL_S):
                interrupts.check()
                renew()
                if time.monotonic() > deadline:
                    raise RunLost(_missing(node, wanted[node], timeout_s))

    def on(self, node: str) -> PlacementGroupSchedulingStrategy:
        """How an actor is put into the reservation on a node."""
        return PlacementGroupSchedulingStrategy(self._groups[node], placement_group_bundle_index=0)

    def keep(self, nodes: set[str]) -> None:
        """Give back all but those on some nodes."""
        for node in set(self._groups) - nodes:
            remove_placement_group(self._groups.pop(node))


def _missing(node: str, wanted: Mapping[str, float], timeout_s: float) -> str:
    """What a node lacks, in words."""
    free = free_resources(node)
    ip = next((machine.ip for machine in machines() if machine.node == node), "that has left")
    parts = [
        _amount(name, amount, free.get(name, 0.0))
        for name, amount in wanted.items()
        if free.get(name, 0.0) < amount
    ]
    return (
        f"node {ip} must have {' and '.join(parts) or 'room for tile hosts'} within "
        f"engine.timeout_s ({timeout_s:g} s): other jobs use the rest"
    )


def _amount(name: str, wanted: float, free: float) -> str:
    if name == "memory":
        return f"{wanted / _GIB:.1f} GiB of memory free (got {free / _GIB:.1f})"
    return f"{wanted:g} {name}s free (got {free:g})"

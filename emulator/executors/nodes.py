"""The nodes of the cluster: what they have, and CPUs and memory reserved on them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

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


def free_machines(held: Callable[[str], Mapping[str, float]]) -> list[Machine]:
    """``machines``, with what others leave of them.

    Args:
        held: What a node keeps for us, which counts as free.
    """
    found, left = [], free_resources()
    for machine in machines():
        free, ours = left.get(machine.node, {}), held(machine.node)
        there = {name: free.get(name, 0.0) + ours.get(name, 0.0) for name in ("CPU", "memory")}
        cpus = min(machine.cpus, int(there["CPU"]))
        memory = min(machine.memory_bytes, int(there["memory"]))
        if cpus >= 1:
            found.append(replace(machine, cpus=cpus, memory_bytes=memory))
    return found


def await_machines(
    wanted: int | None, timeout_s: float, look: Callable[[], list[Machine]] = machines
) -> list[Machine]:
    """What ``look`` finds, once there are as many as are wanted.

    Raises:
        RunLost: If they do not come in time.
    """
    deadline = time.monotonic() + timeout_s
    with interrupts.deferred(), within(RAY_S, "Ray's list of nodes"):
        found = look()
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
            found = look()
    return found


class _Reserved(NamedTuple):
    group: PlacementGroup
    amounts: Mapping[str, float]


class Reservations:
    """CPUs and memory that are kept for tile hosts, by placement groups of one node each."""

    def __init__(self) -> None:
        self._reserved: dict[str, list[_Reserved]] = {}

    def held(self, node: str) -> Mapping[str, float]:
        """What is kept on a node."""
        sums: dict[str, float] = {}
        for reserved in self._reserved.get(node, []):
            for name, amount in reserved.amounts.items():
                sums[name] = sums.get(name, 0.0) + amount
        return sums

    def take(self, wanted: Mapping[str, Mapping[str, float]], timeout_s: float) -> None:
        """Reserve resources on nodes; those that have a reservation keep it.

        Args:
            wanted: Amount of each resource by node.
            timeout_s: Longest wait.

        Raises:
            RunLost: If a node does not have them in time; the message says what is missing.
        """
        new = {node: amounts for node, amounts in wanted.items() if node not in self._reserved}
        with interrupts.deferred(), within(RAY_S, "a reservation by Ray"):
            groups = self.ask(new)
            deadline = time.monotonic() + timeout_s
            for node, group in groups.items():
                while not group.wait(POLL_S):
                    interrupts.check()
                    renew()
                    if time.monotonic() > deadline:
                        raise RunLost(_missing(node, wanted[node], timeout_s))

    def ask(self, wanted: Mapping[str, Mapping[str, float]]) -> dict[str, PlacementGroup]:
        """Ask for more resources on nodes than are kept there, and do not wait for them.

        Args:
            wanted: Amount of each resource by node, with what is kept.

        Returns:
            What was asked for, by node.
        """
        groups = {}
        for node, amounts in wanted.items():
            held = self.held(node)
            more = {name: n - held.get(name, 0.0) for name, n in amounts.items()}
            more = {name: n for name, n in more.items() if n > 0}
            if not more:
                continue
            group = placement_group(
                [more], strategy="PACK", bundle_label_selector=[{"ray.io/node-id": node}]
            )
            self._reserved.setdefault(node, []).append(_Reserved(group, more))
            groups[node] = group
        return groups

    def on(self, node: str) -> PlacementGroupSchedulingStrategy:
        """How an actor is put into the reservation on a node."""
        group = self._reserved[node][0].group
        return PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)

    def give_back(self, groups: Mapping[str, PlacementGroup]) -> None:
        """Give back what ``ask`` gave."""
        for node, group in groups.items():
            remove_placement_group(group)
            left = [reserved for reserved in self._reserved[node] if reserved.group is not group]
            self._reserved[node] = left
            if not left:
                del self._reserved[node]

    def keep(self, nodes: set[str]) -> None:
        """Give back all but those on some nodes."""
        for node in set(self._reserved) - nodes:
            for reserved in self._reserved.pop(node):
                remove_placement_group(reserved.group)


def _missing(node: str, wanted: Mapping[str, float], timeout_s: float) -> str:
    """What a node lacks, in words."""
    free = free_resources().get(node, {})
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

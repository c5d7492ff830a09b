"""Where the tiles of a job lie, and what follows from it: channels, memory, who needs examples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from crossmesh.emulator.compiler.activations import activations_of, notice
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.links import capacity, pairs
from crossmesh.emulator.executors.placement import (
    PROCESS_BYTES,
    Machine,
    Needs,
    Placement,
    assigned,
    most_to_build,
    packed,
    put,
    tile_sizes,
)
from crossmesh.tiles.analog.block import Block


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Placement of a job's tiles.

    Attributes:
        placement: Host of each tile, and node of each host.
        capacity: Messages queued per channel.
        pairs: Source and target of every channel.
        fed: Hosts that need examples.
        judge: The host that computes the loss.
        host_bytes: Memory of each actor with its tiles and activations.
    """

    placement: Placement
    capacity: int
    pairs: set[tuple[int, int]]
    fed: set[int]
    judge: int
    host_bytes: tuple[int, ...]

    def on(self, node_of: Sequence[str]) -> "Arrangement":
        """The same tiles in the same hosts, on other nodes."""
        return replace(self, placement=replace(self.placement, node_of=tuple(node_of)))

    def reserved(self, machines: Sequence[Machine]) -> dict[str, dict[str, float]]:
        """CPUs and memory that its hosts need on each node."""
        node_of, cpus = self.placement.node_of, {each.node: each.cpus for each in machines}
        wanted: dict[str, dict[str, float]] = {}
        for host, node in enumerate(node_of):
            amounts = wanted.setdefault(node, {"CPU": 0.0, "memory": 0.0})
            amounts["CPU"] = min(amounts["CPU"] + 1, cpus.get(node, 1))
            amounts["memory"] += self.host_bytes[host]
        return wanted


class Arranger:
    """Finds arrangements of a job.

    Attributes:
        sizes: Bytes of each tile.
        units: The tile that each block is, or lies beside.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.sizes = tile_sizes(job)
        self.units = job.program.units
        self._needs = Needs(
            sizes=self.sizes,
            process_bytes=PROCESS_BYTES + most_to_build(job),
            activations=partial(activations_of, job),
            units=self.units,
        )

    def n_hosts(self, n_cpus: int) -> int:
        """Number of hosts on so many CPUs."""
        return packed(self.sizes, self._job.config.engine, n_cpus)[0][-1] + 1

    def fresh(self, machines: Sequence[Machine], work: Sequence[int] | None = None) -> Arrangement:
        """Tiles on as many hosts as the config asks for.

        Args:
            machines: Nodes to put them on.
            work: Work of each tile; by default its bytes.

        Raises:
            ConfigError: If the nodes have no room.
        """
        assignment = assigned(work or self.sizes, self._job.config.engine, machines)
        return self._arranged(put(*assignment, machines, self._needs))

    def shifted(
        self, before: Arrangement, machines: Sequence[Machine], of_tile: tuple[int, ...]
    ) -> Arrangement:
        """The hosts of an arrangement with other tiles in them.

        Raises:
            ConfigError: If a node has no room for its share.
        """
        return self._arranged(put(of_tile, before.placement.node_of, "", machines, self._needs))

    def notice(self, placement: Placement) -> str:
        """What a user should know of a placement, in lines."""
        assert placement.activations is not None
        lines = placement.notice, notice(self._job, placement.activations)
        return "\n".join(filter(None, lines))

    def _arranged(self, placement: Placement) -> Arrangement:
        job, host_of, needs = self._job, placement.host_of, self._needs
        assert placement.activations is not None
        host_bytes = [needs.process_bytes + stored for stored in placement.activations.most]
        for block in job.program.crossbars:
            host_bytes[host_of[block.tile]] += self.sizes[self.units[block.tile]]
        operations = job.program.operations
        return Arrangement(
            placement=placement,
            capacity=capacity(job, host_of),
            pairs=pairs(job, host_of),
            fed={host_of[op.tile] for op in operations if op.kind in ("input", "loss")},
            judge=next(host_of[op.tile] for op in operations if op.kind == "loss"),
            host_bytes=tuple(host_bytes),
        )


def staying(before: Placement, after: Placement, blocks: Sequence[Block]) -> dict[int, int]:
    """Present number of each host that stays where it is, by its number in another placement.

    Of the hosts of a node, those stay that have most in common with what they become.

    Args:
        before: The present placement.
        after: The other one.
        blocks: What is placed.
    """
    common: dict[tuple[int, int], int] = {}
    for block, *hosts in zip(blocks, after.host_of, before.host_of, strict=True):
        new, old = hosts
        if after.node_of[new] == before.node_of[old]:
            common[new, old] = common.get((new, old), 0) + math.prod(block.shape)
    kept: dict[int, int] = {}
    for new, old in sorted(common, key=lambda hosts: (-common[hosts], hosts)):
        if new not in kept and old not in kept.values():
            kept[new] = old
    for new, node in enumerate(after.node_of):  # those that have nothing in common
        there = [old for old, its in enumerate(before.node_of) if its == node]
        free = [old for old in there if old not in kept.values()]
        if new not in kept and free:
            kept[new] = free[0]
    return kept

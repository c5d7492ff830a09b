"""Which actor hosts which tile, and which node which actor. Never changes a bit of the result.

Tiles are numbered layer by layer, and row of blocks by row of blocks, so consecutive tiles are
neighbours: partial sums of one layer meet in few processes, and layers that follow each other lie
on the same node, or on two that follow each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crossmesh.common.errors import ConfigError, RunLost
from crossmesh.emulator.compiler.activations import Activations
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.engine import Engine
from crossmesh.tiles.analog.footprint import build_bytes
from crossmesh.tiles.runtime.holders import holder_bytes

# Tiles are packed where there would be more actors than this: each costs 60-180 MB of memory and
# 0.4 s of start-up (measured with Ray 2.60 on two cores).
ACTORS_PER_CPU = 8
PROCESS_BYTES = 180 << 20  # of an actor, without its tiles (measured: 155 to 180 MiB)
_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A node that tile hosts can be put on.

    Attributes:
        node: Its name in the cluster.
        ip: Its address.
        cpus: Tile hosts that run there at once.
        memory_bytes: Memory for them.
    """

    node: str
    ip: str
    cpus: int
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Placement of tiles on hosts, and of hosts on nodes.

    Attributes:
        host_of: Host of each block: of each tile, and of each digital memory.
        node_of: Node of each host.
        notice: A remark for the user; may be empty.
        activations: Memory of the activations of each host, if it was computed.
    """

    host_of: tuple[int, ...]
    node_of: tuple[str, ...]
    notice: str = ""
    activations: Activations | None = None

    @property
    def n_hosts(self) -> int:
        """Number of tile hosts."""
        return len(self.node_of)


def tile_sizes(job: Job) -> list[int]:
    """Bytes that each tile of the chip keeps, with the digital memories that are placed at it.

    Its work is about proportional to them.
    """
    program = job.program
    sizes = [0] * len(program.crossbars)
    known: dict[tuple[object, ...], int] = {}  # most tiles are alike
    for holder, block in zip(program.holders, program.blocks, strict=True):
        kind = (id(holder), block.shape, id(program.rule(block.tile)))
        if kind not in known:
            known[kind] = holder_bytes(program, block.tile, job.backend)
        sizes[program.units[block.tile]] += known[kind]
    return sizes


def most_to_build(job: Job) -> int:
    """Bytes that a process needs besides, while it builds its largest tile."""
    return max(build_bytes(block.shape) for block in job.program.blocks)


def place(
    sizes: Sequence[int],
    engine: Engine,
    machines: Sequence[Machine],
    process_bytes: int = PROCESS_BYTES,
    activations: Callable[[tuple[int, ...]], Activations] | None = None,
    units: Sequence[int] | None = None,
) -> Placement:
    """Put tiles into hosts and hosts onto nodes.

    Args:
        sizes: Memory of each tile in bytes, to which its work is about proportional.
        engine: Settings that say how many tiles share an actor.
        machines: Nodes, of which neighbours in the list are neighbours.
        process_bytes: Memory of an actor without its tiles.
        activations: What the values between tiles take, from the host of each block; by default
            nothing.
        units: The tile that each block is, or is placed at; by default every block is one.

    Raises:
        ConfigError: If there are too few tiles, CPUs or bytes; the message says what is missing.
    """
    needs = Needs(sizes=sizes, process_bytes=process_bytes, activations=activations, units=units)
    return put(*assigned(sizes, engine, machines), machines, needs)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Memory that the tiles of a job need; see ``place``."""

    sizes: Sequence[int]
    process_bytes: int = PROCESS_BYTES
    activations: Callable[[tuple[int, ...]], Activations] | None = None
    units: Sequence[int] | None = None


def assigned(
    work: Sequence[int], engine: Engine, machines: Sequence[Machine]
) -> tuple[tuple[int, ...], tuple[str, ...], str]:
    """Host of each tile, node of each host, and a remark, given the work of each tile.

    Raises:
        ConfigError: If there are too few tiles or CPUs.
    """
    n_cpus = sum(machine.cpus for machine in machines)
    if not n_cpus:
        raise ConfigError("no node of the cluster has a CPU for tile hosts")
    of_tile, notice = packed(work, engine, n_cpus)
    numbers = spread(of_tile[-1] + 1, [machine.cpus for machine in machines])
    return of_tile, tuple(machines[number].node for number in numbers), notice


def put(
    of_tile: tuple[int, ...],
    nodes: tuple[str, ...],
    notice: str,
    machines: Sequence[Machine],
    needs: Needs,
) -> Placement:
    """The placement with given tiles in each host, on given nodes.

    Raises:
        ConfigError: If a node has too few bytes.
    """
    load = [0] * len(nodes)
    for tile, host in enumerate(of_tile):
        load[host] += needs.sizes[tile]
    host_of = of_tile if needs.units is None else tuple(of_tile[unit] for unit in needs.units)
    stored = needs.activations(host_of) if needs.activations else None
    parts = {"its tiles": load, "activations": stored.most if stored else [0] * len(load)}
    _check_memory(parts, nodes, machines, needs.process_bytes)
    return Placement(host_of=host_of, node_of=nodes, notice=notice, activations=stored)


def packed(sizes: Sequence[int], engine: Engine, n_cpus: int) -> tuple[tuple[int, ...], str]:
    """Host of each tile, consecutive tiles together, and what a user should know of it.

    >>> packed([1] * 5, Engine(tiles_per_actor=2), n_cpus=2)
    ((0, 0, 1, 1, 2), '')
    """
    n_tiles, wanted = len(sizes), engine.tiles_per_actor
    if engine.actors is not None and engine.actors > n_tiles:
        raise ConfigError(
            f"engine.actors must be at most {n_tiles}, the number of tiles, got {engine.actors}"
        )
    if engine.grow:
        return balanced(sizes, min(n_tiles, n_cpus, engine.actors or n_tiles)), ""
    if engine.actors is not None:
        return balanced(sizes, engine.actors), ""
    if wanted == "all":
        return (0,) * n_tiles, ""
    if wanted == "auto":
        room = ACTORS_PER_CPU * n_cpus
        if n_tiles <= room:
            return tuple(range(n_tiles)), ""
        return balanced(sizes, n_cpus), (
            f"{n_tiles} tiles are packed into {n_cpus} actors, one per CPU: there may be at most "
            f"{room}; override with engine.tiles_per_actor or engine.actors"
        )
    return tuple(tile // int(wanted) for tile in range(n_tiles)), ""


def balanced(sizes: Sequence[int], n_parts: int) -> tuple[int, ...]:
    """Part of each item, consecutive items together, so that the largest part is smallest.

    Args:
        sizes: Size of each item.
        n_parts: Number of parts, none of them empty; at most as many as items.

    >>> balanced([4, 1, 1, 1, 1], 2)
    (0, 1, 1, 1, 1)
    """
    low, high = max(sizes), sum(sizes)
    while low < high:
        middle = (low + high) // 2
        if _filled(sizes, middle, n_parts)[-1] < n_parts:
            high = middle
        else:
            low = middle + 1
    return tuple(_filled(sizes, low, n_parts))


def _filled(sizes: Sequence[int], most: int, n_parts: int) -> list[int]:
    """Part of each item if a part takes items up to ``most``, or fewer so that none stays empty."""
    parts, part, size = [], 0, 0
    for i, item in enumerate(sizes):
        is_full = size + item > most
        is_needed = len(sizes) - i < n_parts - part  # by the parts that have nothing yet
        if size and (is_full or is_needed):
            part, size = part + 1, 0
        parts.append(part)
        size += item
    return parts


def spread(n_hosts: int, cpus: Sequence[int]) -> tuple[int, ...]:
    """Number of each host's machine, consecutive hosts together.

    While there is a CPU for every host, machines are filled one after the other, so that neighbours
    share one; beyond that, each gets its share.

    >>> spread(3, [2, 2]), spread(6, [2, 1])
    ((0, 0, 1), (0, 0, 0, 0, 1, 1))
    """
    total, numbers = sum(cpus), []
    for number in range(len(cpus)):
        before, until = sum(cpus[:number]), sum(cpus[: number + 1])
        if n_hosts > total:
            before, until = round(n_hosts * before / total), round(n_hosts * until / total)
        numbers += [number] * (min(until, n_hosts) - min(before, n_hosts))
    return tuple(numbers)


def replaced(
    lost: Mapping[int, int],
    node_of: Sequence[str],
    machines: Sequence[Machine],
    used: Mapping[str, int],
) -> dict[int, str]:
    """A node for every lost host: of those with memory for it, that with most CPUs to spare.

    Args:
        lost: Memory of each host that is lost, in bytes.
        node_of: Node on which each host was.
        machines: Nodes that are left.
        used: Memory that the other hosts take on each node.

    Raises:
        RunLost: If there is none.
    """
    hosts = {machine.node: 0 for machine in machines}
    taken = {machine.node: used.get(machine.node, 0) for machine in machines}
    for host, node in enumerate(node_of):
        if host not in lost and node in hosts:
            hosts[node] += 1
    found = {}
    for host, needed in lost.items():
        fit = [m for m in machines if taken[m.node] + needed <= m.memory_bytes]
        if not fit:
            raise RunLost(
                f"no node has {needed / _GIB:.1f} GiB of memory left for tiles of the lost node: "
                f"{', '.join(m.ip for m in machines) or 'none'} remain"
            )
        best = max(fit, key=lambda machine: machine.cpus - hosts[machine.node])
        hosts[best.node] += 1
        taken[best.node] += needed
        found[host] = best.node
    return found


def _check_memory(
    parts: Mapping[str, Sequence[int]],
    nodes: Sequence[str],
    machines: Sequence[Machine],
    process_bytes: int,
) -> None:
    """Refuse nodes without memory for what is put on them: of each host, by what it is."""
    on: dict[str, list[int]] = {}
    for host, node in enumerate(nodes):
        on.setdefault(node, []).append(host)
    for machine in machines:
        there = on.get(machine.node, [])
        sums = {what: sum(sizes[host] for host in there) for what, sizes in parts.items()}
        needed = sum(sums.values()) + process_bytes * len(there)
        if needed > machine.memory_bytes:
            uses = (f"{what} ({size / _GIB:.1f})" for what, size in sums.items() if size)
            raise ConfigError(
                f"node {machine.ip} must have {needed / _GIB:.1f} GiB of memory for "
                f"{', '.join(uses)} and {len(there)} processes, got "
                f"{machine.memory_bytes / _GIB:.1f}; more nodes, or fewer actors, need less of each"
            )

"""Where the links are and which way a packet goes: no latency of routers, no numbers of packets.

A router's ports are numbered; port p leads to ``neighbors[router, p]``, whose own port
``entries[router, p]`` it enters. Behind the last of them lies one more port, the tile's own, which
packets enter and leave the network by. Routes never turn back into a dimension that they have
left, so they cannot wait for each other in a circle.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

MOST_ROUTERS = 1 << 20
MOST_PRIVATE = 1_024  # nodes that have a private link to every other: a million links


class Topology(ABC):
    """Routers, the directed links between them, and the routes."""

    name: ClassVar[str]
    link_cycles: int

    @property
    @abstractmethod
    def n_nodes(self) -> int:
        """Places for tiles, which are numbered from 0."""

    @property
    def n_routers(self) -> int:
        """Routers: one at each place, and behind these any that no tile sits at."""
        return self.n_nodes

    @property
    @abstractmethod
    def diameter(self) -> int:
        """Links of the longest route."""

    @property
    @abstractmethod
    def neighbors(self) -> Integers:
        """``(routers, ports)``: where each port leads, -1 where nowhere."""

    @property
    @abstractmethod
    def entries(self) -> Integers:
        """``(routers, ports)``: which port of the neighbor it enters."""

    @abstractmethod
    def step(self, here: Integers, destination: Integers) -> Integers:
        """Port by which a packet for ``destination`` leaves ``here``, for arrays of both.

        ``here`` must differ from ``destination``.
        """

    def crosses(self, source: Integers, destination: Integers, port: Integers) -> NDArray[np.bool_]:
        """Whether a route crosses the seam of the ring that ``port`` belongs to.

        Such packets use the upper half of a link's virtual channels and the others the lower
        half, without which packets of a ring could wait for each other in a circle.
        """
        return np.zeros(np.broadcast(source, destination, port).shape, np.bool_)

    @property
    def has_rings(self) -> bool:
        """Whether some routes cross a seam."""
        return False

    @property
    def n_ports(self) -> int:
        """Most ports of a router, its tile's own left out."""
        return int(self.neighbors.shape[1])

    @cached_property
    def links(self) -> Integers:
        """``(links, 2)``: the routers that each directed link leads from and to."""
        routers, ports = np.nonzero(self.neighbors >= 0)
        return np.stack([routers, self.neighbors[routers, ports]], axis=1)

    @cached_property
    def link_numbers(self) -> Integers:
        """``(routers, ports)``: number of the link behind each port, -1 where there is none."""
        numbers = np.full(self.neighbors.shape, -1)
        there = self.neighbors >= 0
        numbers[there] = np.arange(np.count_nonzero(there))
        return numbers

    def route(self, source: int, destination: int) -> list[int]:
        """Numbers of the links from ``source`` to ``destination``; empty if they are the same."""
        path, here = [], source
        while here != destination:
            port = int(self.step(np.array(here), np.array(destination)))
            path.append(int(self.link_numbers[here, port]))
            here = int(self.neighbors[here, port])
        return path


def _whole(owner: object, name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        law = f"a whole number in [{least}, {most}]"
        raise ValueError(f"{type(owner).__name__}.{name} must be {law}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Mesh(Topology):
    """A 2-D mesh with dimension-order routing: x first, then y.

    Attributes:
        width: Routers in a row; router ``x + width * y`` lies at column x of row y.
        height: Rows.
        link_cycles: Cycles that a flit spends on a link.
    """

    name: ClassVar[str] = "mesh"
    width: int
    height: int
    link_cycles: int = 1

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            _whole(self, name, getattr(self, name), 1, MOST_ROUTERS)
        _whole(self, "link_cycles", self.link_cycles, 1, 1_000)
        if self.n_nodes > MOST_ROUTERS:
            law = f"must have at most {MOST_ROUTERS} routers"
            raise ValueError(f"{type(self).__name__} {law}, got {self.n_nodes}")

    @property
    def n_nodes(self) -> int:
        """One place per router."""
        return self.width * self.height

    @property
    def diameter(self) -> int:
        """From corner to corner."""
        return self.width + self.height - 2

    @cached_property
    def neighbors(self) -> Integers:
        """Ports 0 to 3 lead to x + 1, x - 1, y + 1 and y - 1."""
        x, y = self._coordinates(np.arange(self.n_nodes))
        steps = [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]
        return np.stack([self._there(*there) for there in steps], axis=1)

    @cached_property
    def entries(self) -> Integers:
        """A packet that goes on in its direction leaves by the port opposite its entry."""
        return np.where(self.neighbors >= 0, [1, 0, 3, 2], -1)

    def step(self, here: Integers, destination: Integers) -> Integers:
        """First along x, then along y."""
        dx, dy = self._differences(here, destination)
        along_x = np.where(dx > 0, 0, 1)
        return np.where(dx != 0, along_x, np.where(dy > 0, 2, 3))

    def _coordinates(self, node: Integers) -> tuple[Integers, Integers]:
        return node % self.width, node // self.width

    def _there(self, x: Integers, y: Integers) -> Integers:
        inside = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
        return np.where(inside, x + self.width * y, -1)

    def _differences(self, here: Integers, destination: Integers) -> tuple[Integers, Integers]:
        (x, y), (to_x, to_y) = self._coordinates(here), self._coordinates(destination)
        return to_x - x, to_y - y


@dataclass(frozen=True, kw_only=True)
class CircuitMesh(Mesh):
    """A mesh whose transfers reserve their whole path: no flits of others in between.

    As on IBM's chip for inference (Ambrogio et al., Nature 620, 768, 2023), where vectors travel
    as durations. Paths are granted in order of request.
    """

    name: ClassVar[str] = "circuit_mesh"


@dataclass(frozen=True, kw_only=True)
class Torus(Mesh):
    """A folded 2-D torus with dimension-order routing, the shorter way round each ring.

    Of two ways of equal length, packets from even columns or rows go up and those from odd ones
    down. Rings have their seam between the last router and the first.

    Attributes:
        width: Routers in a row.
        height: Rows.
        link_cycles: Cycles that a flit spends on a link: two in a folded torus, whose neighbors
            lie two places apart.
    """

    name: ClassVar[str] = "torus"
    link_cycles: int = 2

    @property
    def diameter(self) -> int:
        """Half way round both rings."""
        return self.width // 2 + self.height // 2

    @property
    def has_rings(self) -> bool:
        """Rows and columns are rings."""
        return True

    def crosses(self, source: Integers, destination: Integers, port: Integers) -> NDArray[np.bool_]:
        """Whether the way along the port's dimension passes its seam."""
        (x, y), (to_x, to_y) = self._coordinates(source), self._coordinates(destination)
        along_x = port < 2
        start, end = np.where(along_x, x, y), np.where(along_x, to_x, to_y)
        return np.where(port % 2 == 0, end < start, end > start)

    def _there(self, x: Integers, y: Integers) -> Integers:
        there = x % self.width + self.width * (y % self.height)
        here = np.arange(self.n_nodes)
        return np.where(there == here, -1, there)  # a ring of one router has no links

    def _differences(self, here: Integers, destination: Integers) -> tuple[Integers, Integers]:
        start = self._coordinates(here)
        rings = zip(start, self._coordinates(destination), (self.width, self.height), strict=True)
        dx, dy = (_shorter_way(a, b, size) for a, b, size in rings)
        return dx, dy


def _shorter_way(start: Integers, end: Integers, size: int) -> Integers:
    """Signed steps from start to end of a ring."""
    up = (end - start) % size
    goes_up = (2 * up < size) | ((2 * up == size) & (start % 2 == 0))
    return np.where(goes_up, up, up - size)


@dataclass(frozen=True, kw_only=True)
class Tree(Topology):
    """Tiles at the leaves of a tree of routers, as behind an H-tree; up, then down.

    Attributes:
        leaves: Places for tiles.
        arity: Branches of a router.
        link_cycles: Cycles that a flit spends on a link.
    """

    name: ClassVar[str] = "tree"
    leaves: int
    arity: int = 4
    link_cycles: int = 1

    def __post_init__(self) -> None:
        _whole(self, "leaves", self.leaves, 1, MOST_ROUTERS)
        _whole(self, "arity", self.arity, 2, 32)
        _whole(self, "link_cycles", self.link_cycles, 1, 1_000)

    @property
    def n_nodes(self) -> int:
        """One place per leaf."""
        return self.leaves

    @property
    def diameter(self) -> int:
        """Up to the root and down."""
        return 2 * (len(self._levels) - 1)

    @cached_property
    def _levels(self) -> list[int]:
        """Routers of each level, from the leaves to the root."""
        levels = [self.leaves]
        while levels[-1] > 1:
            levels.append(-(-levels[-1] // self.arity))
        return levels

    @cached_property
    def _parents(self) -> tuple[Integers, Integers]:
        """Each router's parent (-1 for the root), and its rank among the parent's children."""
        starts = np.cumsum([0, *self._levels])
        ranks = [np.arange(n) for n in self._levels]
        above = [starts[level + 1] + rank // self.arity for level, rank in enumerate(ranks[:-1])]
        parents = np.concatenate([*above, np.array([-1])])
        return parents, np.concatenate(ranks) % self.arity

    @property
    def n_routers(self) -> int:
        """The leaves, and behind them the levels up to the root."""
        return sum(self._levels)

    @cached_property
    def neighbors(self) -> Integers:
        """Port 0 leads up, the others down."""
        parents, ranks = self._parents
        table = np.full((self.n_routers, 1 + self.arity), -1)
        table[:, 0] = parents
        child = np.flatnonzero(parents >= 0)
        table[parents[child], 1 + ranks[child]] = child
        return table

    @cached_property
    def entries(self) -> Integers:
        """Whoever goes down enters by port 0."""
        _, ranks = self._parents
        table = np.where(self.neighbors >= 0, 0, -1)
        table[:, 0] = np.where(self.neighbors[:, 0] >= 0, 1 + ranks, -1)
        return table

    def step(self, here: Integers, destination: Integers) -> Integers:
        """Down to the child above the destination if there is one, otherwise up."""
        parents, ranks = self._parents
        here, destination = np.broadcast_arrays(here, destination)
        port, below = np.zeros(here.shape, np.int64), destination.copy()
        for _ in self._levels[1:]:
            above = parents[below]
            found = (above == here) & (port == 0)
            port[found] = 1 + ranks[below[found]]
            below = np.where(above >= 0, above, below)
        return port


@dataclass(frozen=True, kw_only=True)
class PointToPoint(Topology):
    """A private link from every tile to every other: what wires alone would allow.

    Attributes:
        nodes: Places for tiles.
        link_cycles: Cycles that a flit spends on a link.
    """

    name: ClassVar[str] = "point_to_point"
    nodes: int
    link_cycles: int = 1

    def __post_init__(self) -> None:
        _whole(self, "nodes", self.nodes, 1, MOST_PRIVATE)
        _whole(self, "link_cycles", self.link_cycles, 1, 1_000)

    @property
    def n_nodes(self) -> int:
        """As asked for."""
        return self.nodes

    @property
    def diameter(self) -> int:
        """Every other node is next door."""
        return min(1, self.nodes - 1)

    @cached_property
    def neighbors(self) -> Integers:
        """Port p leads to node p, or to node p + 1 from p on."""
        ports = np.arange(self.nodes - 1)
        return ports + (ports >= np.arange(self.nodes)[:, None])

    @cached_property
    def entries(self) -> Integers:
        """The port that leads back."""
        here = np.arange(self.nodes)[:, None]
        return here - (here > self.neighbors)

    def step(self, here: Integers, destination: Integers) -> Integers:
        """The private link."""
        return np.asarray(destination - (destination > here))


TOPOLOGIES: dict[str, type[Topology]] = {
    cls.name: cls for cls in (Mesh, Torus, Tree, PointToPoint, CircuitMesh)
}

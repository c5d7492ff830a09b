"""Routers, links and routes of a network on chip; latency and traffic are elsewhere.

A router's ports are numbered; port p leads to ``neighbors[router, p]``, whose own port
``entries[router, p]`` it enters. Behind the last of them lies one more port, the tile's own, which
packets enter and leave the network by. Routes never turn back into a dimension that they have
left, so they cannot deadlock.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

MOST_ROUTERS = 1 << 20


class FloorPlan(NamedTuple):
    """Where tiles lie, and the parameters that a topology may take.

    Attributes:
        width: Tiles in a row.
        height: Rows.
        arity: Branches of a router, where routers make a tree.
        link_cycles: Cycles that a flit spends on a link; None: as the topology has it.
    """

    width: int
    height: int
    arity: int = 4
    link_cycles: int | None = None

    @property
    def n_places(self) -> int:
        """Places for tiles."""
        return self.width * self.height

    @property
    def link(self) -> dict[str, int]:
        """The time on a link as an argument, if it is given."""
        return {} if self.link_cycles is None else {"link_cycles": self.link_cycles}


class Topology(ABC):
    """Routers, the directed links between them, and the routes.

    Attributes:
        name: Name in configs.
        is_grid: Whether places that are near on the floor plan are near on the way.
        reserves_paths: Whether a transfer holds its whole path, as circuits do.
        least_virtual_channels: Virtual channels of a link without which packets could deadlock.
        router_area: Area and leakage of what routes at one place, in routers of the chip's table.
        router_energy: Energy of a bit in one router, in that of the table.
        link_cycles: Cycles that a flit spends on a link.
    """

    name: ClassVar[str]
    is_grid: ClassVar[bool] = True
    reserves_paths: ClassVar[bool] = False
    least_virtual_channels: ClassVar[int] = 1
    router_area: ClassVar[float] = 1
    router_energy: ClassVar[float] = 1
    link_cycles: int

    @classmethod
    @abstractmethod
    def on(cls, floor: FloorPlan) -> Self:
        """The topology for a floor plan.

        Args:
            floor: Width and height in tiles; a topology takes of its other fields what it has.

        Raises:
            ValueError: If there are too many.
        """

    def link_lengths(self, width: int) -> NDArray[np.float64]:
        """``(links,)`` length of each link in tile pitches, on a floor ``width`` tiles wide."""
        ends = self.links
        steps = np.abs(ends[:, 0] % width - ends[:, 1] % width)
        return np.asarray(steps + np.abs(ends[:, 0] // width - ends[:, 1] // width), np.float64)

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
        """``(routers, ports)``: number of the router that each port leads to, -1 for none."""

    @property
    @abstractmethod
    def entries(self) -> Integers:
        """``(routers, ports)``: the neighbor's port at the other end of each link, -1 for none."""

    @abstractmethod
    def step(self, here: Integers, destination: Integers) -> Integers:
        """Routing function: the port by which a packet leaves a router.

        Args:
            here: Routers, an int64 array of any shape.
            destination: Nodes, of the same shape; each must differ from ``here``.

        Returns:
            Port numbers, of the same shape.
        """

    def crosses(self, source: Integers, destination: Integers, port: Integers) -> NDArray[np.bool_]:
        """Whether a route crosses the dateline of the ring that a port belongs to.

        Such packets use the upper half of a link's virtual channels and the others the lower
        half; without that, packets in a ring could deadlock.

        Args:
            source: Nodes, an int64 array of any shape.
            destination: Nodes, of the same shape.
            port: Ports, of the same shape.

        Returns:
            Bools, of the same shape.
        """
        return np.zeros(np.broadcast(source, destination, port).shape, np.bool_)

    @property
    def has_rings(self) -> bool:
        """Whether ``crosses`` can be true."""
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


def check_whole(owner: object, name: str, value: object, least: int, most: int) -> None:
    """Refuse a field that is no whole number within bounds."""
    if type(value) is not int or not least <= value <= most:
        rule = f"a whole number in [{least}, {most}]"
        raise ValueError(f"{type(owner).__name__}.{name} must be {rule}, got {value!r}")

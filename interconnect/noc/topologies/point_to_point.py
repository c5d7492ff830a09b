"""A private link between every two tiles."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from crossmesh.interconnect.noc.topology import FloorPlan, Integers, Topology, check_whole

MOST_PRIVATE = 1_024  # nodes that have a private link to every other: a million links


@dataclass(frozen=True, kw_only=True)
class PointToPoint(Topology):
    """A private link from every tile to every other: what wires alone would allow.

    Attributes:
        nodes: Places for tiles.
        link_cycles: Cycles that a flit spends on a link.
    """

    name: ClassVar[str] = "point_to_point"
    is_grid: ClassVar[bool] = False
    nodes: int
    link_cycles: int = 1

    def __post_init__(self) -> None:
        check_whole(self, "nodes", self.nodes, 1, MOST_PRIVATE)
        check_whole(self, "link_cycles", self.link_cycles, 1, 1_000)

    @classmethod
    def on(cls, floor: FloorPlan) -> Self:
        """A node at every place."""
        return cls(nodes=floor.n_places, **floor.link)

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

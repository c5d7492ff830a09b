"""A tree of routers above the tiles."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from crossmesh.interconnect.noc.topology import (
    MOST_ROUTERS,
    FloorPlan,
    Integers,
    Topology,
    check_whole,
)


@dataclass(frozen=True, kw_only=True)
class Tree(Topology):
    """Tiles at the leaves of a tree of routers, as behind an H-tree; up, then down.

    Attributes:
        leaves: Places for tiles.
        arity: Branches of a router.
        link_cycles: Cycles that a flit spends on a link.
    """

    name: ClassVar[str] = "tree"
    is_grid: ClassVar[bool] = False
    leaves: int
    arity: int = 4
    link_cycles: int = 1

    def __post_init__(self) -> None:
        check_whole(self, "leaves", self.leaves, 1, MOST_ROUTERS)
        check_whole(self, "arity", self.arity, 2, 32)
        check_whole(self, "link_cycles", self.link_cycles, 1, 1_000)

    @classmethod
    def on(cls, floor: FloorPlan) -> Self:
        """A leaf at every place."""
        return cls(leaves=floor.n_places, arity=floor.arity, **floor.link)

    def link_lengths(self, width: int) -> NDArray[np.float64]:
        """As in an H-tree: each level is the root of the arity longer than the one below."""
        level = np.concatenate([np.full(n, i) for i, n in enumerate(self._levels)])
        lower = level[self.links.min(axis=1)]
        return np.asarray(np.sqrt(self.arity) ** lower)

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
        """A packet that goes down enters by port 0."""
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

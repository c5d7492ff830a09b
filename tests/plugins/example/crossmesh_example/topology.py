"""Routers in a line."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from crossmesh.kinds import FloorPlan, Topology


@dataclass(frozen=True, kw_only=True)
class Line(Topology):
    """Each router is joined to the one before and the one behind.

    Attributes:
        nodes: Places for tiles.
        link_cycles: Cycles that a flit spends on a link.
    """

    name: ClassVar[str] = "example.line"
    nodes: int
    link_cycles: int = 1

    @classmethod
    def on(cls, floor: FloorPlan) -> Self:
        """Row by row."""
        return cls(nodes=floor.n_places, **floor.link)

    @property
    def n_nodes(self) -> int:
        """As asked for."""
        return self.nodes

    @property
    def diameter(self) -> int:
        """From end to end."""
        return self.nodes - 1

    @cached_property
    def neighbors(self) -> Any:
        """Port 0 leads to the router behind, port 1 to the one before."""
        here = np.arange(self.nodes)
        behind = np.where(here + 1 < self.nodes, here + 1, -1)
        return np.stack([behind, here - 1], axis=1)

    @cached_property
    def entries(self) -> Any:
        """The port that leads back."""
        return np.where(self.neighbors >= 0, [1, 0], -1)

    def step(self, here: Any, destination: Any) -> Any:
        """Towards the destination."""
        return np.where(destination > here, 0, 1)

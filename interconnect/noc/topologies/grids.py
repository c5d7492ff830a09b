"""Routers in rows and columns: mesh, mesh of circuits, torus."""

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
            check_whole(self, name, getattr(self, name), 1, MOST_ROUTERS)
        check_whole(self, "link_cycles", self.link_cycles, 1, 1_000)
        if self.n_nodes > MOST_ROUTERS:
            rule = f"must have at most {MOST_ROUTERS} routers"
            raise ValueError(f"{type(self).__name__} {rule}, got {self.n_nodes}")

    @classmethod
    def on(cls, floor: FloorPlan) -> Self:
        """A router at every place."""
        return cls(width=floor.width, height=floor.height, **floor.link)

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
        """A packet that keeps its direction leaves by the port opposite its entry."""
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
    reserves_paths: ClassVar[bool] = True


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
    least_virtual_channels: ClassVar[int] = 2
    link_cycles: int = 2

    @property
    def diameter(self) -> int:
        """Half way round both rings."""
        return self.width // 2 + self.height // 2

    def link_lengths(self, width: int) -> NDArray[np.float64]:
        """Two tile pitches, where the torus is folded."""
        return np.minimum(super().link_lengths(width), 2)

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

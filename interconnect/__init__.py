"""What lies between tiles: topologies, routers, schedules and timing; messages and channels."""

from interconnect.router import Router
from interconnect.simulate import Packets, Run, simulate
from interconnect.topology import (
    TOPOLOGIES,
    CircuitMesh,
    Mesh,
    PointToPoint,
    Topology,
    Torus,
    Tree,
)

__all__ = [
    "TOPOLOGIES", "CircuitMesh", "Mesh", "Packets", "PointToPoint", "Router", "Run", "Topology",
    "Torus", "Tree", "simulate",
]  # fmt: skip

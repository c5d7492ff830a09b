"""The network on chip: topologies, routers, flits, packets, and the timing of pipelines."""

from crossmesh.interconnect.noc.costs import link_price, router_price
from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.simulate import Packets, Run, simulate
from crossmesh.interconnect.noc.topologies import (
    TOPOLOGIES,
    CircuitMesh,
    Mesh,
    PointToPoint,
    Torus,
    Tree,
)
from crossmesh.interconnect.noc.topology import FloorPlan, Topology

__all__ = [
    "TOPOLOGIES", "CircuitMesh", "FloorPlan", "Mesh", "Packets", "PointToPoint", "Router",
    "Run", "Topology", "Torus", "Tree", "link_price", "router_price", "simulate",
]  # fmt: skip

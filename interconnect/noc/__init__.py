"""The network on chip: topologies, routers, flits, packets, and the timing of pipelines."""

from crossmesh.interconnect.noc.grids import CircuitMesh, Mesh, Torus
from crossmesh.interconnect.noc.point_to_point import PointToPoint
from crossmesh.interconnect.noc.router import Router
from crossmesh.interconnect.noc.simulate import Packets, Run, simulate
from crossmesh.interconnect.noc.topologies import TOPOLOGIES
from crossmesh.interconnect.noc.topology import FloorPlan, Topology
from crossmesh.interconnect.noc.tree import Tree

__all__ = [
    "TOPOLOGIES", "CircuitMesh", "FloorPlan", "Mesh", "Packets", "PointToPoint", "Router",
    "Run", "Topology", "Torus", "Tree", "simulate",
]  # fmt: skip

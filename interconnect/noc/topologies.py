"""Topologies by the name that a config uses."""

from crossmesh.common.registry import Registry
from crossmesh.interconnect.noc.grids import CircuitMesh, Mesh, Torus
from crossmesh.interconnect.noc.point_to_point import PointToPoint
from crossmesh.interconnect.noc.topology import Topology
from crossmesh.interconnect.noc.tree import Tree

_OWN: tuple[type[Topology], ...] = (Mesh, Torus, Tree, PointToPoint, CircuitMesh)


def _check(kind: type[Topology]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Topology)):
        raise TypeError("must be a subclass of crossmesh.interconnect.noc.Topology")


TOPOLOGIES = Registry("crossmesh.topologies", {cls.name: cls for cls in _OWN}, _check)

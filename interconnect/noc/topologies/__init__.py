"""Topologies by the name that a config uses: every class in a module here that has one."""

from crossmesh.common.discovery import classes_in
from crossmesh.common.registry import Registry
from crossmesh.interconnect.noc.topologies.grids import CircuitMesh, Mesh, Torus
from crossmesh.interconnect.noc.topologies.point_to_point import PointToPoint
from crossmesh.interconnect.noc.topologies.tree import Tree
from crossmesh.interconnect.noc.topology import Topology


def _check(kind: type[Topology]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Topology)):
        raise TypeError("must be a subclass of crossmesh.interconnect.noc.Topology")


_OWN: dict[str, type[Topology]] = {
    cls.name: cls for cls in classes_in(__name__, Topology) if "name" in vars(cls)
}
TOPOLOGIES = Registry("crossmesh.topologies", _OWN, _check)

__all__ = ["TOPOLOGIES", "CircuitMesh", "Mesh", "PointToPoint", "Torus", "Tree"]

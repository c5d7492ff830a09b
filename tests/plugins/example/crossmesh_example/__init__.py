"""A device, an algorithm, a layer, a loss and a topology of a package that is not crossmesh."""

from crossmesh_example.algorithm import Partners
from crossmesh_example.device import CurvedStep
from crossmesh_example.layer import ScaleLayer
from crossmesh_example.loss import HUBER
from crossmesh_example.topology import Line

__all__ = ["HUBER", "CurvedStep", "Line", "Partners", "ScaleLayer"]

"""Kinds of this package, held to the rules of crossmesh: see ``crossmesh.testing``."""

from crossmesh_example.algorithm import Partners
from crossmesh_example.device import CurvedStep
from crossmesh_example.layer import Scale, ScaleLayer
from crossmesh_example.loss import HUBER
from crossmesh_example.topology import Line

from crossmesh.kinds import DataConfig
from crossmesh.testing import (
    AlgorithmTests,
    DeviceTests,
    FunctionTests,
    LayerTests,
    LossTests,
    SourceTests,
    TopologyTests,
)


class TestCurvedStep(DeviceTests):
    device = CurvedStep(step=0.01)


class TestPartners(AlgorithmTests):
    algorithm = Partners()


class TestScale(FunctionTests):
    function = Scale(factor=-2.5)


class TestScaleLayer(LayerTests):
    layer = ScaleLayer(factor=1.5)


class TestHuber(LossTests):
    loss = HUBER


class TestRings(SourceTests):
    data = DataConfig(source="example.rings", classes=3, options={"noise": 0.05})


class TestLine(TopologyTests):
    topology = Line(nodes=7)

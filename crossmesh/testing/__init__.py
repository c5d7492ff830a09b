"""Suites that a kind of another package must pass, as ours do: subclass one in a test file.

    from crossmesh.testing import DeviceTests

    class TestMyDevice(DeviceTests):
        device = MyDevice(step=0.01)

pytest collects it. Every suite says in its class attributes what it needs, and a failing test says
which value broke which rule. Those that start Ray are named ``test_actors_give_the_same_bits``.
"""

from importlib.util import find_spec

if find_spec("pytest"):  # which then shows the values in a failing assertion, as of a test file
    import pytest

    pytest.register_assert_rewrite(
        *(
            f"{__name__}.{suite}"
            for suite in ("boards", "cells", "circuits", "digital", "interconnect", "networks")
        )
    )

from crossmesh.testing.boards import BoardTests
from crossmesh.testing.cells import AlgorithmTests, CellTests, DeviceTests
from crossmesh.testing.circuits import AdcTests, DacTests, MemoryTests
from crossmesh.testing.digital import FunctionTests, LearnedTests, LossTests
from crossmesh.testing.interconnect import ScheduleTests, TopologyTests
from crossmesh.testing.networks import BackendTests, LayerTests, SourceTests

__all__ = [
    "AdcTests",
    "AlgorithmTests",
    "BackendTests",
    "BoardTests",
    "CellTests",
    "DacTests",
    "DeviceTests",
    "FunctionTests",
    "LayerTests",
    "LearnedTests",
    "LossTests",
    "MemoryTests",
    "ScheduleTests",
    "SourceTests",
    "TopologyTests",
]

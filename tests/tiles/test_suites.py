"""Our own kinds of tiles, held to the rules that kinds of other packages are held to."""

import pytest
from pydantic import TypeAdapter

from crossmesh.testing import AlgorithmTests, CellTests, DeviceTests, LossTests
from crossmesh.tiles.analog.algorithms import AnyAlgorithm
from crossmesh.tiles.analog.cells import CELLS as UNIT_CELLS
from crossmesh.tiles.analog.devices import DEVICES, Device, LinearStep, Pcm, SoftBounds
from crossmesh.tiles.digital import LOSSES
from tests.emulator.training.algorithm_kinds import KINDS
from tests.tiles.analog.test_conformance import EVERY

ALONE = {name: cell for name, cell in EVERY.items() if isinstance(cell, Device)} | {
    "pcm alone": Pcm(),
    "one way": SoftBounds(step=0.01, one_way=True),
    "steep": LinearStep(gamma_up=0.3, gamma_down=0.5, step=0.01),
}
IN_CELLS = {name: cell for name, cell in EVERY.items() if not isinstance(cell, Device)}


def test_every_kind_is_held_to_the_rules():
    assert {device.kind for device in ALONE.values()} == set(DEVICES)
    assert {cell.kind for cell in IN_CELLS.values()} == set(UNIT_CELLS)


class TestDevices(DeviceTests):
    # tests/emulator/executors/test_executors.py compares actors for every cell.
    test_actors_give_the_same_bits = None

    @pytest.fixture(autouse=True, params=ALONE)
    def example(self, request):
        self.device = ALONE[request.param]


class TestCells(CellTests):
    test_actors_give_the_same_bits = None

    @pytest.fixture(autouse=True, params=IN_CELLS)
    def example(self, request):
        self.cell = IN_CELLS[request.param]
        # A short retention acts at the end of a call.
        self.ignores_calls = request.param != "shared_reference"


class TestAlgorithms(AlgorithmTests):
    # tests/emulator/training/test_algorithms.py compares actors for every algorithm.
    test_actors_give_the_same_bits = None

    @pytest.fixture(autouse=True, params=KINDS)
    def example(self, request):
        self.algorithm = TypeAdapter(AnyAlgorithm).validate_python(KINDS[request.param])


class TestLosses(LossTests):
    @pytest.fixture(autouse=True, params=LOSSES)
    def example(self, request):
        self.loss = LOSSES[request.param]

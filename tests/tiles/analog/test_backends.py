"""Tiles that are not emulated by our kernels: wrapped ones, and a plain class over NumPy."""

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.common.registry import Registry
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.placement import tile_sizes
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.training import train
from crossmesh.testing import BackendTests
from crossmesh.testing.runs import small_run
from crossmesh.tiles.analog import backends
from crossmesh.tiles.analog.array import state_digest
from crossmesh.tiles.analog.backends import BACKENDS, EMULATION
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.runtime.warm_up import warm_up_program


class Wrapped:
    """What another package may put around a tile of ours, with no class of ours above it."""

    def __init__(self, tile):
        self._tile = tile

    def __getattr__(self, name):
        if name == "_tile":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self._tile, name)


class Wrapping:
    def make(self, config, block, scale, seed, vectors=1):
        return Wrapped(EMULATION.make(config, block, scale, seed, vectors))

    def warm_up(self, config):
        EMULATION.warm_up(config)

    def tile_bytes(self, config, shape):
        return 3 * EMULATION.tile_bytes(config, shape)


class NumpyTile:
    """An exact tile, whose state is one array."""

    pulses = 0

    def __init__(self, block, scale):
        self.block, self.scale = block, scale
        self.weights = np.zeros(block.shape, np.float32)

    def begin(self, evaluation, examples_per_update=1):
        pass

    def forward(self, x, first_example):
        return x @ self.weights

    def backward(self, d, first_example):
        return d @ self.weights.T

    def update(self, x, d, rate, first_example):
        self.weights = self.weights + np.float32(rate) * (x.T @ d)

    def write(self, weights):
        self.weights = weights.copy()

    def state(self):
        return {"weights": self.weights}

    def load(self, state):
        self.weights = state["weights"].copy()

    def age(self, aging):
        pass

    def digest(self):
        return state_digest(self.state())


class NumpyBackend:
    warmed = 0

    def make(self, config, block, scale, seed, vectors=1):
        return NumpyTile(block, scale)

    def warm_up(self, config):
        type(self).warmed += 1

    def tile_bytes(self, config, shape):
        return 4 * shape[0] * shape[1]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """As entry points would be."""
    monkeypatch.setitem(BACKENDS._kinds, "wrapping", Wrapping())
    monkeypatch.setitem(BACKENDS._kinds, "numpy", NumpyBackend())


class TestEmulated(BackendTests):
    backend = "emulated"
    test_actors_give_the_same_bits = None  # as the tests of executors show for every cell


class TestNoisyEmulated(BackendTests):
    backend = "emulated"
    config = TileConfig(rows=20, cols=10)
    accuracy = 0.5
    test_actors_give_the_same_bits = None


class TestWrapping(BackendTests):
    backend = "wrapping"

    @pytest.mark.slow
    @pytest.mark.ray
    def test_actors_give_the_same_bits(self):
        super().test_actors_give_the_same_bits()


class TestNumpy(BackendTests):
    backend = "numpy"

    @pytest.mark.slow
    @pytest.mark.ray
    def test_actors_give_the_same_bits(self):
        super().test_actors_give_the_same_bits()


def run(backend, epochs=1, **engine):
    return small_run(epochs, engine={"backend": backend, **engine})


def test_wrapped_tiles_give_the_bits_of_those_within():
    digests = {train(run(backend)).state_digest for backend in ("emulated", "wrapping")}
    assert len(digests) == 1


@pytest.mark.slow
@pytest.mark.ray
def test_wrapped_tiles_give_the_bits_of_those_within_on_actors():
    there = train(run("wrapping", kind="ray", actors=2))
    assert there.state_digest == train(run("emulated")).state_digest


def test_a_backend_is_asked_to_warm_up_and_what_tiles_take():
    job, before = prepare(run("numpy")), NumpyBackend.warmed
    warm_up_program(job.program, job.backend)
    assert NumpyBackend.warmed > before

    ours, theirs = (sum(tile_sizes(prepare(run(name)))) for name in ("emulated", "wrapping"))
    shapes = [block.shape for block in job.program.blocks if block.home is None]
    assert theirs - ours == 2 * sum(EMULATION.tile_bytes(job.config.tile, s) for s in shapes)


def test_an_unknown_backend_is_refused_with_those_that_exist():
    wanted = r"^engine\.backend must be 'emulated', 'wrapping' or 'numpy', got 'magic'$"
    with pytest.raises(ConfigError, match=wanted):
        load_config("digits", ["engine.backend=magic"])


@pytest.mark.parametrize("wrong", [Wrapping, object()])
def test_what_is_no_maker_of_tiles_is_refused(wrong):
    class Point:
        name, dist, value = "wrong", None, "wrong:kind"

        def load(self):
            return wrong

    registry = Registry("crossmesh.none", {}, backends._check)
    with pytest.raises(Exception, match="must be an object with make, warm_up and tile_bytes"):
        registry._loaded(Point())


def test_a_run_is_not_resumed_on_another_backend(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    train(run("emulated"), directory)
    wanted = r"^engine\.backend must be emulated, whose tiles wrote step-0+64, got wrapping$"
    with pytest.raises(ConfigError, match=wanted):
        train(run("wrapping", 2), directory, resume=True)

    there = RunDirectory(tmp_path / "there")
    train(run("wrapping"), there)
    with pytest.raises(ConfigError, match=r"^engine\.backend must be wrapping, .* got emulated$"):
        train(run("emulated", 2), there, resume=True)

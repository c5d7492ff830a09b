"""Bit lines with scales of their own: the network sees the same tile, the devices other weights."""

import numpy as np
import pytest

from crossmesh.tiles.analog.algorithms import HardwareAware
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.devices import ConstantStep
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import AwareTile, GradientDescent, Rule

EXACT = ReadConfig(noise_management="none", bound_management="none", dac=None, adc=None,
                   output_noise=0.0)  # fmt: skip
SCALES = (2.0, 0.25, 1.0, 0.5, 4.0)
rng = np.random.default_rng(1)
W, X, D = (rng.normal(size=s).astype(np.float32) for s in ((6, 3), (4, 6), (4, 3)))


def tile_with(cell=None, read=EXACT, scales=SCALES, scale=0.5):
    """The tile of the bit lines 1 to 3 of a matrix of five."""
    config = TileConfig(cell=cell or Ideal(), read=read, line_scales=scales)
    tile = Tile(config, Block(tile=2, layer="a", row=0, col=1, shape=W.shape), scale, 7)
    tile.write(W)
    return tile


def test_the_network_sees_its_weights_in_all_three_cycles():
    tile = tile_with()
    np.testing.assert_allclose(tile.weights, W, rtol=1e-6)
    np.testing.assert_allclose(tile.crossbar.weights, W / 0.5 / np.float32(SCALES[1:4]), rtol=1e-6)
    np.testing.assert_allclose(tile.forward(X, 0), X @ W, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tile.backward(D, 0), D @ W.T, rtol=1e-5, atol=1e-6)
    tile.update(X, D, 0.1, 0)
    np.testing.assert_allclose(tile.weights, W + 0.1 * X.T @ D, rtol=1e-5, atol=1e-6)


def test_scales_of_one_change_no_bit():
    cell, read = ConstantStep(), ReadConfig()
    one, other = tile_with(cell, read, (1.0,) * 5), tile_with(cell, read, None)
    for tile in (one, other):
        tile.update(X, D, 0.1, 0)
    assert one.digest() == other.digest()
    np.testing.assert_array_equal(one.forward(X, 0), other.forward(X, 0))
    np.testing.assert_array_equal(one.backward(D, 0), other.backward(D, 0))


def test_pulses_move_weights_of_a_small_scale_by_more_of_them():
    """A step is a smaller change of the weight there, so that the mean change is the same."""
    cell = ConstantStep(device_noise=0, cycle_noise=0, upper_device_noise=0, lower_device_noise=0,
                        upper=50, lower=-50)  # fmt: skip
    x, d = np.full((400, 6), 0.1, np.float32), np.full((400, 3), 0.1, np.float32)
    tile = tile_with(cell)
    before = tile.weights
    tile.update(x, d, 0.05, 0)
    np.testing.assert_allclose(tile.weights - before, np.full((6, 3), 0.2), rtol=0.1)


def test_hardware_aware_training_goes_through_them():
    rule = Rule(optimizer=GradientDescent(), learned_rows=99, decayed_rows=99,
                aware=HardwareAware(weight_noise=0.0))  # fmt: skip
    config = TileConfig(cell=Ideal(), read=EXACT, line_scales=SCALES)
    tile = AwareTile(config, Block(tile=2, layer="a", row=0, col=1, shape=W.shape), 0.5, 7, rule)
    tile.write(W)
    tile.begin(None)
    np.testing.assert_allclose(tile.backward(D, 0), D @ W.T, rtol=1e-5, atol=1e-6)
    tile.update(X, D, 0.1, 0)
    tile.step(0.1)
    np.testing.assert_allclose(tile.weights, W + 0.1 * X.T @ D, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scales", [(0.0, 1.0), (-1.0,)])
def test_a_scale_is_above_zero(scales):
    with pytest.raises(ValueError, match="greater than 0"):
        TileConfig(line_scales=scales)

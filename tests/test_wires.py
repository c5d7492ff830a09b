"""Wire resistance to first order, against Kirchhoff's laws on small arrays."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from emulator.errors import RunError
from emulator.training import train
from tests import naive
from tests.jobs import CELLS, small_config
from tiles.crossbar import build
from tiles.random import Stream
from tiles.read import ReadConfig
from tiles.tile import Block, Tile, TileConfig
from tiles.update import UpdateConfig
from tiles.wires import effective

SHAPES = [(8, 8), (16, 12), (5, 20)]
PERFECT = {"noise_management": "none", "bound_management": "none", "dac": None, "adc": None,
           "output_noise": 0.0}  # fmt: skip
rng = np.random.default_rng(8)


def array_of(shape):
    return rng.random(shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_order_is_that_of_kirchhoffs_laws(shape):
    """Half the resistance leaves a quarter of the error."""
    g, x = array_of(shape), rng.random(shape[0])
    errors = []
    for resistance in (4e-4, 2e-4, 1e-4):
        exact = naive.currents(g.astype(float), resistance, x)
        errors.append(np.abs(x @ effective(g, resistance) - exact).max())

    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_left_out_is_the_square_of_what_is_taken_off(shape):
    g, x = array_of(shape), rng.random(shape[0])
    resistance = 2e-4
    exact, ideal = naive.currents(g.astype(float), resistance, x), x @ g
    loss = np.abs(exact / ideal - 1).max()
    error = np.abs(x @ effective(g, resistance) / exact - 1).max()

    assert 0.005 < loss < 0.1
    assert error < 1.5 * loss**2


@pytest.mark.parametrize("shape", SHAPES)
def test_backwards_the_array_is_the_transposed_one(shape):
    g, d = array_of(shape), rng.random(shape[1])
    g = g * 0.9 + 0.1 * (rng.random(shape) > 0.5).astype(np.float32)
    resistance = 1e-4
    exact = naive.currents(g.astype(float), resistance, d, backward=True)

    np.testing.assert_allclose(effective(g, resistance) @ d, exact, rtol=2e-3)


@pytest.mark.parametrize("kind", CELLS)
def test_a_cells_arrays_add_up_to_its_weights(kind):
    tile = TileConfig.model_validate({"rows": 9, "cell": CELLS[kind]})
    crossbar = build(tile.cell, (9, 70), Stream(seed=2, owner=1), UpdateConfig())
    crossbar.write(rng.uniform(-0.3, 0.3, (9, 70)).astype(np.float32))
    for e in range(40):
        x, d = rng.random((1, 9), np.float32), rng.normal(0, 0.1, (1, 70)).astype(np.float32)
        crossbar.update(x, d, 0.05, e)

    total = sum(factor * g for factor, g in crossbar.arrays())
    np.testing.assert_allclose(total, crossbar.weights, atol=2e-6)


def tile_of(resistance, shape=(12, 16)):
    read = ReadConfig(**PERFECT, wire_resistance=resistance)
    cell = {"kind": "pair", "device": {"kind": "constant_step", "lower": 0, "upper": 1}}
    config = TileConfig.model_validate({"cell": cell, "read": read.model_dump()})
    return Tile(config, Block(tile=0, layer="", row=0, col=0, shape=shape), 1.0, 0)


def test_a_tile_reads_both_of_its_arrays_behind_their_wires():
    tile = tile_of(1e-4)
    weights = rng.uniform(-0.5, 0.5, (12, 16)).astype(np.float32)
    tile.write(weights)
    x, d = rng.random((1, 12), np.float32), rng.random((1, 16), np.float32)
    plus, minus = (np.maximum(sign * tile.weights, 0).astype(float) for sign in (1, -1))

    for drives, read, backward in ((x, tile.forward, False), (d, tile.backward, True)):
        exact = sum(
            sign * naive.currents(g, 1e-4, drives[0], backward=backward)
            for sign, g in ((1, plus), (-1, minus))
        )
        np.testing.assert_allclose(read(drives, 0)[0], exact, atol=2e-4)


def test_what_is_read_follows_updates_and_states():
    tile, other = tile_of(1e-3), tile_of(1e-3)
    x = np.ones((1, 12), np.float32)
    tile.write(np.full((12, 16), 0.2, np.float32))
    before = tile.forward(x, 0)

    tile.update(x, np.ones((1, 16), np.float32), 0.01, 0)
    other.load(tile.state())

    assert np.all(tile.forward(x, 1) > before)
    np.testing.assert_array_equal(tile.forward(x, 1), other.forward(x, 1))


def test_wires_slow_learning_only_as_far_as_they_matter():
    """A whole training runs, and without resistance it is the one without wires."""
    without = train(small_config("soft_bounds"))
    none, some = (
        train(small_config("soft_bounds", tile={"read": {"wire_resistance": resistance}}))
        for resistance in (0.0, 1e-3)
    )

    assert none.state_digest == without.state_digest
    assert some.state_digest != without.state_digest


def test_wires_that_take_more_than_half_are_refused():
    law = r"read.wire_resistance must leave every device at least 50% of its current, got 0.1, "
    with pytest.raises(RunError, match=re.escape(law)):
        train(small_config("soft_bounds", tile={"read": {"wire_resistance": 0.1}}))


def test_a_negative_resistance_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        ReadConfig(wire_resistance=-1)

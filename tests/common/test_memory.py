"""What a tile keeps is what its config says, before it is built."""

import gc
import tracemalloc

import numpy as np
import pytest
from pydantic import TypeAdapter

from crossmesh.common.random import CHUNK
from crossmesh.tiles.analog.algorithms import AnyAlgorithm
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.footprint import OBJECT_BYTES, build_bytes, tile_bytes
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from tests.emulator.training.algorithm_kinds import KINDS
from tests.jobs import CELLS

SHAPE = (100, 150)
MORE = {
    "stuck": {"kind": "constant_step", "device_noise": 0.0, "stuck": {"fraction": 0.01}},
    "alike": {
        "kind": "constant_step", "device_noise": 0.0, "asymmetry_device_noise": 0.0,
        "upper_device_noise": 0.0, "lower_device_noise": 0.0,
    },
    "one_way": {"kind": "constant_step", "one_way": True, "lower": 0.0},
    "referenced": {"kind": "linear_step", "symmetry_referenced": True, "write_noise": 1.0},
    "alike_retention": {"kind": "constant_step", "retention": {"time_s": 1e-4}},
    "retention": {"kind": "constant_step", "retention": {"time_s": 1e-4, "device_noise": 0.3}},
    "all_of_pcm": {
        "kind": "pcm", "retention": {"time_s": 1e-4}, "stuck": {"fraction": 0.1},
        "write_noise": 1.0, "reference_noise": 0.1,
    },
    "all_of_table": {
        "kind": "jump_table", "retention": {"time_s": 1e-4}, "write_noise": 1.0,
        "stuck": {"fraction": 0.1}, "reference_noise": 0.1,
    },
    "pcm_alone": {"kind": "pcm", "device_noise": 0.1},
    "quiet_2018": {
        "kind": "pcm_3t1c", "pcm": {"read_noise_siemens": 0.0, "read_noise_slope": 0.0},
        "capacitor": {"leak_s": None}, "transfer": {"every": 30},
    },
}  # fmt: skip
ALL = {**CELLS, "pcm_3t1c": {"kind": "pcm_3t1c", "transfer": {"every": 30}}, **MORE}


def config_of(cell, **changes):
    parsed = TypeAdapter(Cell).validate_python(ALL[cell])
    return TileConfig.model_validate({"rows": 512, "cols": 512, "cell": parsed, **changes})


def tile_of(config, number=0, shape=SHAPE):
    return Tile(config, Block(tile=number, layer="a", row=0, col=0, shape=shape), 1.0, seed=1)


def weights():
    return np.random.default_rng(0).uniform(-0.3, 0.3, SHAPE).astype(np.float32)


def used(tile):
    """The tile after all that may make it keep something."""
    rng = np.random.default_rng(0)
    tile.write(weights())
    for first in range(0, 48, 8):
        x, d = (rng.normal(0, 0.3, (8, n)).astype(np.float32) for n in SHAPE)
        tile.forward(x, first)
        tile.backward(d, first)
        tile.update(x, d, 0.01, first)
    tile.forward(x, 48)
    return tile


def arrays(*roots):
    """Every array that can be reached, views by what they look into."""
    found, seen, ahead = {}, set(), list(roots)
    while ahead:
        thing = ahead.pop()
        if id(thing) in seen or isinstance(thing, type) or callable(thing):
            continue
        seen.add(id(thing))
        if isinstance(thing, np.ndarray):
            while isinstance(thing.base, np.ndarray):
                thing = thing.base
            found[id(thing)] = thing
        else:
            ahead.extend(gc.get_referents(thing))
    return found.values()


@pytest.mark.parametrize("cell", ALL)
@pytest.mark.parametrize("wires", [0.0, 1e-7])
def test_a_tile_keeps_what_its_config_says(cell, wires):
    config = config_of(cell, read={"wire_resistance": wires})
    one, two = used(tile_of(config)), used(tile_of(config, number=1))
    kept = sum(a.nbytes for a in arrays(one, two)) - sum(a.nbytes for a in arrays(two))

    counted = tile_bytes(config, SHAPE) - OBJECT_BYTES

    assert counted == SHAPE[0] * SHAPE[1] * (config.cell.cell_bytes + 4 * bool(wires))
    assert counted <= kept <= counted + 24 * SHAPE[0] + 1024  # numbers per line, and keys


@pytest.mark.parametrize("cell", ["soft_bounds", "pcm", "pcm_3t1c"])
@pytest.mark.parametrize("algorithm", KINDS)
def test_a_tile_that_is_trained_by_an_algorithm_keeps_what_its_config_says(algorithm, cell):
    plain, kind = config_of(cell), TypeAdapter(AnyAlgorithm).validate_python(KINDS[algorithm])
    if cell == "pcm_3t1c" and kind.kind != "mixed_precision":
        pytest.skip("refused")
    config = plain.model_copy(update={"cell": kind.cell(plain.cell)})
    one, two = used(tile_of(config)), used(tile_of(config, number=1))
    kept = sum(a.nbytes for a in arrays(one, two)) - sum(a.nbytes for a in arrays(two))

    counted = tile_bytes(config, SHAPE) - OBJECT_BYTES

    assert counted <= kept <= counted + 64 * sum(SHAPE) + 4096  # numbers per line, and keys


@pytest.mark.parametrize("cell", ALL)
def test_what_a_tile_needs_beside_its_arrays_is_small(cell):
    config, shape = config_of(cell), (1, CHUNK)
    tile_of(config, shape=shape)
    tracemalloc.start()
    tiles = [tile_of(config, number, shape) for number in range(10)]
    held = tracemalloc.get_traced_memory()[0] / len(tiles)
    tracemalloc.stop()

    assert held <= tile_bytes(config, shape)


@pytest.mark.parametrize("cell", ALL)
def test_building_a_tile_takes_no_more_than_its_config_says(cell):
    config = config_of(cell)
    used(tile_of(config))  # kernels are compiled
    tracemalloc.start()
    tile = tile_of(config)
    tile.write(weights())
    tile.load({name: array.copy() for name, array in tile.state().items()})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak <= tile_bytes(config, SHAPE) + build_bytes(SHAPE)


def test_tiles_of_a_thread_share_what_a_call_needs():
    config = config_of("constant_step")
    one, two = used(tile_of(config)), used(tile_of(config, number=1))

    large = [a for a in arrays(one, two) if a.size >= SHAPE[0] * SHAPE[1]]

    assert sorted(a.dtype.name for a in large) == ["float32", "float32", "uint16", "uint16"]

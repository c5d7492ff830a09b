"""Noise never begins again: examples and draws are counted in 64 bits.

Every purpose whose numbers depend on an example goes through the compiled kernels that draw them,
below and above 2**32, and across it within one micro-batch.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.common.random import CHUNK, Purpose, fill_normals
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import SoftBounds
from crossmesh.tiles.analog.parameters import Parameters
from crossmesh.tiles.analog.read import Cells, Converter, ReadConfig, Reader
from crossmesh.tiles.analog.update import UpdateConfig
from crossmesh.tiles.analog.write_verify import (
    PairSide,
    RefreshSettings,
    Reset,
    pulse_to,
    rewrite_full,
)
from crossmesh.tiles.digital.base import Call
from crossmesh.tiles.digital.dropout import Dropout
from tests import naive
from tests.common.test_random import STREAM, assert_uncorrelated
from tests.jobs import CELLS
from tests.tiles.analog.test_conformance import EVERY
from tests.tiles.analog.test_update import EXACT, trains

TURN = 2**32  # where a counter of 32 bits would begin again
ROWS, COLS = 3, 70
PLAIN = ReadConfig(dac=None, adc=None, output_noise=0.0)
KEYS = np.stack([STREAM.key(Purpose.FORWARD_INPUT), STREAM.key(Purpose.FORWARD_OUTPUT)])


def same(seed, n, width):
    """``n`` times the same vector: only the noise differs from example to example."""
    row = np.random.default_rng(seed).uniform(0.2, 1, width).astype(np.float32)
    return np.tile(row, (n, 1))


def train(side):
    def drawn(first, n):
        x, d = same(0, n, ROWS), same(1, n, COLS)
        device = SoftBounds(**EXACT)
        return trains(STREAM, device, UpdateConfig(), x, d, 0.01, first)[side]

    return drawn


def read(**changes):
    def drawn(first, n):
        reader = Reader(PLAIN.model_copy(update=changes), forward=True)
        weights = same(2, ROWS, COLS)
        return reader.product(same(3, n, ROWS), Cells(weights), first, KEYS)

    return drawn


def one_by_one(cell, **changes):
    """A crossbar's weights after an update by each example, from the same state."""

    def drawn(first, n):
        result = np.empty((n, ROWS, COLS), np.float32)
        for example, weights in enumerate(result, first):
            crossbar = build(cell, (ROWS, COLS), STREAM, UpdateConfig(**changes))
            crossbar.write(same(4, ROWS, COLS) - np.float32(0.5))
            crossbar.update(same(0, 1, ROWS), same(1, 1, COLS), 0.05, example)
            weights[:] = crossbar.weights
        return result.reshape(n, -1)

    return drawn


def counted(draw):
    def drawn(first, n):
        return np.stack([draw(number).ravel() for number in range(first, first + n)])

    return drawn


def rewritten(*, full):
    """Devices that are written pulse by pulse, by each example, from the same state."""
    device = SoftBounds(**{**EXACT, "step": 0.05, "cycle_noise": 0.3, "lower": 0.0})
    parameters = Parameters.packed(device.sample((ROWS, COLS), STREAM, 0))
    none, key = np.zeros((0, 0), np.float32), STREAM.key(Purpose.REWRITE)

    def draw(example):
        plus, minus, wanted = same(5, ROWS, COLS), same(6, ROWS, COLS), same(7, ROWS, COLS)
        if full:
            settings = RefreshSettings(
                saturation=0.1, difference=2.0, reset=0.01, reset_noise=0.1, fresh_history=0.0,
                max_pulses=31, smaller=-1.0, is_exact=False,
            )  # fmt: skip
            rewrite_full(
                PairSide(plus, none, parameters), PairSide(minus, none, parameters),
                device.constants(), settings, np.ones(ROWS, np.bool_), example, key,
            )  # fmt: skip
        else:
            pulse_to(
                wanted, plus, none, parameters, device.constants(), Reset(False, 0.0), 31,
                example, key,
            )  # fmt: skip
        return plus

    return counted(draw)


def dropped(first, n):
    out = np.empty((2 * n, 100), np.float32)
    call = Call(first_example=first, is_training=True, seed=7)
    Dropout(rate=0.5, number=1, positions=2).forward([np.ones_like(out)], out, call)
    return out.reshape(n, -1)


EVEN = {"trains": "deterministic"}  # so that nothing but the pulses themselves is drawn
NOISY = {
    "row trains": train(0),
    "column trains": train(1),
    "input noise": read(input_noise=0.1),
    "output noise": read(output_noise=0.1),
    "weight noise": read(weight_noise=0.1),
    "repeated reads": read(output_noise=0.01, adc=Converter(bits=9, range=0.5)),
    "cycle noise": one_by_one(SoftBounds(**{**EXACT, "cycle_noise": 0.3}), **EVEN),
    "write noise": one_by_one(SoftBounds(**EXACT, write_noise=2.0), **EVEN),
    "rewriting full pairs": rewritten(full=True),
    "writing by pulses": rewritten(full=False),
    "dropout": dropped,
    "draws of normals": counted(lambda n: STREAM.normal(Purpose.TRANSFER, (2, 9), draw=n)),
    "draws of uniforms": counted(lambda n: STREAM.uniform(Purpose.TRANSFER, (2, 9), draw=n)),
}
noisy = pytest.mark.parametrize("drawn", NOISY.values(), ids=NOISY)


@noisy
def test_examples_are_not_those_of_32_bits_before(drawn):
    numbers = [0, 5, TURN - 1, TURN, TURN + 5, 2 * TURN + 5, 2**52 + 5, 2**62 + 5]
    rows = [drawn(number, 1)[0].tobytes() for number in numbers]
    assert len(set(rows)) == len(numbers)
    np.testing.assert_array_equal(drawn(TURN + 5, 1), drawn(TURN + 5, 1))


@noisy
def test_a_micro_batch_crosses_the_turn_as_its_examples_do(drawn):
    whole = drawn(TURN - 2, 5)
    for row, number in zip(whole, range(TURN - 2, TURN + 3), strict=True):
        np.testing.assert_array_equal(row, drawn(number, 1)[0])


@pytest.mark.parametrize("name", sorted(CELLS.keys() - {"ideal"}))
def test_no_kind_of_cell_is_updated_as_32_bits_before(name):
    drawn = one_by_one(EVERY[name])
    assert not np.array_equal(drawn(5, 1), drawn(TURN + 5, 1))


@given(
    example=st.integers(0, 2**63 - 1) | st.integers(TURN - 3, TURN + 3),
    row=st.integers(0, 2**20),
    draw=st.integers(0, 2**16),
)
def test_an_example_is_half_counter_and_half_key(example, row, draw):
    """Below 2**32 nothing but the counter: these are the numbers that runs have always had."""
    k0, k1 = (int(word) for word in STREAM.key(Purpose.CYCLE_NOISE))
    out, words = np.empty(CHUNK, np.float32), np.empty(CHUNK // 2, np.uint32)
    fill_normals(out, words, 0, row, example, draw, np.uint32(k0), np.uint32(k1))

    counter = (0, row, example % TURN, draw)
    expected = naive.philox(counter, (k0, k1 ^ (example // TURN)))
    assert [int(word) for word in words[::8]] == list(expected)


def test_examples_are_independent_of_those_of_32_bits_before():
    key = STREAM.key(Purpose.CYCLE_NOISE)
    words = np.empty(CHUNK // 2, np.uint32)
    early, late = (np.empty((4096, CHUNK), np.float32) for _ in range(2))
    for rows, first in ((early, 0), (late, TURN)):
        for example, out in enumerate(rows, first):
            fill_normals(out, words, 0, 0, example, 0, key[0], key[1])

    assert_uncorrelated(early.astype(float), late.astype(float))


def test_no_kernel_cuts_the_number_of_an_example():
    """``of_example`` alone splits it, so that its upper half is never lost."""
    tiles = Path(__file__).parents[2] / "tiles"
    cut = re.compile(r"uint32\((first_|last_)?(example|number)")
    found = [path.name for path in tiles.rglob("*.py") if cut.search(path.read_text("utf-8"))]
    assert found == []

"""The update adds ``rate * x.T @ d`` by coincident pulses, one example after the other.

Bounds of statistical tests are in standard errors; seeds are fixed or are tried beforehand by
Hypothesis, for which 6 of them make a false alarm rarer than once in a hundred thousand runs.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossmesh.common.random import CHUNK, Purpose, Stream
from crossmesh.tiles.analog.cells import Pair
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import ConstantStep, ExpStep, JumpTable, LinearStep, SoftBounds
from crossmesh.tiles.analog.update import MAX_PULSES, TrainSettings, UpdateConfig, make_trains
from tests import naive
from tests.jobs import TABLES

STEP = 2.0**-10
PLAIN = {"update_management": False, "length_management": False}
EXACT = {
    "step": STEP,
    "device_noise": 0.0,
    "cycle_noise": 0.0,
    "asymmetry_device_noise": 0.0,
    "upper_device_noise": 0.0,
    "lower_device_noise": 0.0,
}
COUNTER = ConstantStep(upper=100, lower=-100, **EXACT)  # its weights count coincidences exactly
# Every rule, with devices that differ from each other and no cycle noise.
QUIET = {
    "constant_step": ConstantStep(cycle_noise=0),
    "linear_step": LinearStep(cycle_noise=0, gamma_up=0.3, gamma_down=0.7, step=0.01),
    "soft_bounds": SoftBounds(cycle_noise=0, step=0.01),
    "exp_step": ExpStep(cycle_noise=0, step=0.01),
    "jump_table": JumpTable(tables=TABLES, cycle_noise=0),
}
quiet = pytest.mark.parametrize("device", QUIET.values(), ids=QUIET)
configs = st.builds(
    UpdateConfig,
    trains=st.sampled_from(["stochastic", "deterministic"]),
    length=st.integers(1, MAX_PULSES),
    update_management=st.booleans(),
    length_management=st.booleans(),
)


def draw(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def trains(stream, device, config, x, d, rate, first_example=0):
    """The row and column trains that a crossbar of one device per cell is given."""
    rows = np.zeros((len(x), x.shape[1]), np.uint32)
    columns = np.zeros((len(x), -(-d.shape[1] // CHUNK) * CHUNK), np.uint32)
    keys = np.stack([stream.key(Purpose.ROW_TRAIN), stream.key(Purpose.COLUMN_TRAIN)])
    settings = TrainSettings.of(config)
    pulses = make_trains(
        x, d, rate, device.granularity, *settings, first_example, keys, rows, columns
    )
    assert not columns[:, d.shape[1] :].any()
    return rows, columns[:, : d.shape[1]], pulses


def repeats(cell, config, x, d, rate, n=2000, seed=1):
    """Changes of ``n`` updates from zero, each with random numbers of its own."""
    crossbar = build(cell, (len(x), len(d)), Stream(seed=seed, owner=0), config)
    zero = np.zeros_like(crossbar.weights)
    changes = np.empty((n, *zero.shape), np.float32)
    for k in range(n):
        crossbar.write(zero)
        crossbar.update(x[None], d[None], rate, k)
        changes[k] = crossbar.weights
    return changes


# The mean rule


@pytest.mark.parametrize("update_management", [True, False])
@pytest.mark.parametrize("length_management", [True, False])
@pytest.mark.parametrize("length", [7, MAX_PULSES])
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95))
@settings(max_examples=3, derandomize=True)
def test_mean_of_the_update_is_the_outer_product(
    update_management, length_management, length, seed, share
):
    """For 2,000 repeats and a rate at which no probability saturates.

    ``share`` is the largest product relative to what a train of full length can hold. Without
    update management each side's own largest value sets the limit: 1 here, as is d's.
    """
    config = UpdateConfig(
        length=length, update_management=update_management, length_management=length_management
    )
    x, d = draw(seed, 5), draw(seed + 1, 70)
    x, d = x / abs(x).max(), d / abs(d).max()
    rate = share * length * STEP

    changes = repeats(COUNTER, config, x, d, rate, seed=seed)

    expected = rate * np.outer(x, d)
    p = np.abs(expected) / (STEP * length)
    error = np.maximum(changes.std(axis=0), STEP * np.sqrt(length * p * (1 - p)) / 2)
    deviation = np.abs(changes.mean(axis=0) - expected)
    assert np.all(deviation <= 6 * error / math.sqrt(len(changes)) + 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_spread_of_the_update_is_binomial(seed):
    """Coincidences in 31 slots: variance 31 p (1 - p) within 6 of its standard errors."""
    config = UpdateConfig(**PLAIN)
    x, d = draw(seed, 8), draw(seed + 100, 32)
    rate = 0.7 * MAX_PULSES * STEP

    counts = repeats(COUNTER, config, x, d, rate) / STEP

    p = 0.7 * np.abs(np.outer(x, d))
    variance = MAX_PULSES * p * (1 - p)
    fourth = variance * (1 + 3 * (1 - 2 / MAX_PULSES) * variance) - 6 * variance * p * (1 - p)
    error = np.sqrt((fourth - variance**2) / len(counts))
    assert np.all(np.abs(counts.var(axis=0) - variance) < 6 * error + 1e-3)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5, derandomize=True)
def test_mean_of_a_pair_is_the_outer_product(seed):
    x, d = draw(seed, 4), draw(seed + 1, 20)
    rate = 0.01

    changes = repeats(Pair(device=COUNTER), UpdateConfig(), x, d, rate)

    error = np.maximum(changes.std(axis=0), STEP / 4) / math.sqrt(len(changes))
    assert np.all(np.abs(changes.mean(axis=0) - rate * np.outer(x, d)) < 6 * error)


def test_slots_and_examples_are_independent():
    """Counts of two examples, and of two slots of a train, do not know of each other."""
    stream, config = Stream(seed=4, owner=0), UpdateConfig(**PLAIN)
    x, d = np.full((20_000, 2), 0.5, np.float32), np.full((20_000, 2), 0.5, np.float32)
    rows, columns, _ = trains(stream, COUNTER, config, x, d, MAX_PULSES * STEP)
    slots = np.concatenate(
        [(words[:, :, None] >> np.arange(31)) & 1 for words in (rows, columns)], axis=1
    ).astype(float).reshape(len(x), -1)  # fmt: skip
    n, n_bits = slots.shape
    centred = slots - 0.5

    assert np.abs(slots.mean(axis=0) - 0.5).max() < 5 * 0.5 / math.sqrt(n)
    products = centred.T @ centred / n - np.eye(n_bits) / 4
    assert np.abs(products).max() < 6 * 0.25 / math.sqrt(n)
    later = centred[1:].T @ centred[:-1] / n
    assert np.abs(later).max() < 6 * 0.25 / math.sqrt(n)


@pytest.mark.parametrize("p", [2**-31, 1e-4, 0.001, 1 / 3, 0.5, 0.99, 1.0])
def test_bits_are_set_with_their_probability(p):
    stream, config = Stream(seed=4, owner=0), UpdateConfig(**PLAIN)
    x = np.full((1000, 100), p, np.float32)

    rows, _, pulses = trains(stream, COUNTER, config, x, x[:, :1].copy(), MAX_PULSES * STEP)

    n = x.size * MAX_PULSES
    count = np.bitwise_count(rows).sum()
    assert abs(count - n * p) < 5 * math.sqrt(n * p * (1 - p)) + 1e-6 * n * p + 1
    assert count <= pulses


# Deterministic trains


@given(length=st.integers(1, MAX_PULSES), seed=st.integers(0, 1000))
def test_deterministic_trains_coincide_as_often_as_they_should(length, seed):
    """Counts n and m, themselves rounded, give round(n * m / length) coincidences."""
    config = UpdateConfig(trains="deterministic", length=length, **PLAIN)
    x, d = draw(seed, 1, 6), draw(seed + 1, 1, 40)
    # Values of which one in three is outside the range, where counts end at the train's length.
    x, d = 1.5 * x, 1.5 * d

    rows, columns, pulses = trains(Stream(seed=0, owner=0), COUNTER, config, x, d, length * STEP)

    n, m = (np.rint(length * np.minimum(1, np.abs(v[0].astype(float)))).astype(int) for v in (x, d))
    np.testing.assert_array_equal(np.bitwise_count(rows[0] & 0x7FFFFFFF), n)
    np.testing.assert_array_equal(np.bitwise_count(columns[0] & 0x7FFFFFFF), m)
    assert pulses == n.sum() + m.sum()
    for i, j in np.ndindex(6, 40):
        together = naive.coincidences(rows[0, i], columns[0, j])
        assert together == math.floor(n[i] * m[j] / length + 0.5)


@given(config=configs, seed=st.integers(0, 1000), rate=st.floats(1e-5, 0.1))
def test_deterministic_updates_are_within_the_resolution_of_trains(config, seed, rate):
    """Half a pulse on each side and half a coincidence: of what is asked for, up to saturation."""
    config = config.model_copy(update={"trains": "deterministic", "update_management": True})
    x, d = draw(seed, 1, 6), draw(seed + 1, 1, 40)
    needed = rate * abs(x).max() * abs(d).max() / STEP
    crossbar = build(COUNTER, (6, 40), Stream(seed=0, owner=0), config)

    crossbar.update(x, d, rate, 0)

    if needed <= config.length:
        assert np.abs(crossbar.weights / STEP - rate * x.T @ d / STEP).max() <= 1.5 + 1e-3
    assert np.abs(crossbar.weights / STEP).max() <= config.length


# Trains


@given(config=configs, seed=st.integers(0, 1000), rate=st.floats(1e-5, 1))
def test_trains_are_within_their_length_and_carry_the_signs(config, seed, rate):
    x, d = draw(seed, 3, 6), draw(seed + 1, 3, 70)
    x[:, 2] = d[:, 5] = 0

    rows, columns, pulses = trains(Stream(seed=seed, owner=0), COUNTER, config, x, d, rate)

    assert pulses == sum(
        int(np.bitwise_count(words & 0x7FFFFFFF).sum()) for words in (rows, columns)
    )
    for words, values in ((rows, x), (columns, d)):
        driven = words != 0
        np.testing.assert_array_equal((words >> 31 == 1)[driven], (values < 0)[driven])
        assert not (words & 0x7FFFFFFF & ~np.uint32(2**config.length - 1)).any()
        assert not words[values == 0].any()


@pytest.mark.parametrize(("share", "length"), [(0.5, 1), (2.4, 3), (26.4, 27), (40, 31)])
def test_length_management_uses_no_more_slots_than_needed(share, length):
    """All bits of the largest product are then nearly certain."""
    x = np.ones((200, 1), np.float32)
    rows, columns, _ = trains(Stream(seed=0, owner=0), COUNTER, UpdateConfig(), x, x, share * STEP)

    used = int(np.bitwise_or.reduce(rows[:, 0]) | np.bitwise_or.reduce(columns[:, 0]))
    assert used == 2**length - 1


def test_update_management_balances_the_sides():
    x, d = np.full((500, 1), 1.0, np.float32), np.full((500, 1), 0.01, np.float32)
    config = UpdateConfig(length_management=False)
    rows, columns, _ = trains(Stream(seed=0, owner=0), COUNTER, config, x, d, 0.3)

    p = math.sqrt(0.3 * 0.01 / STEP / MAX_PULSES)
    n = 500 * MAX_PULSES
    for words in (rows, columns):
        count = np.bitwise_count(words & 0x7FFFFFFF).sum()
        assert abs(count - n * p) < 5 * math.sqrt(n * p * (1 - p))


def test_too_large_products_clip_the_errors_and_never_the_inputs():
    """With update management: inputs keep their proportion, errors saturate."""
    x = np.tile(np.linspace(0, 1, 5, dtype=np.float32), (400, 1))
    d = np.tile(np.linspace(0, 1, 5, dtype=np.float32), (400, 1))
    rate = 4 * MAX_PULSES * STEP
    rows, columns, _ = trains(Stream(seed=0, owner=0), COUNTER, UpdateConfig(), x, d, rate)

    n = 400 * MAX_PULSES
    for words, p in ((rows, np.linspace(0, 1, 5)), (columns, np.minimum(1, np.linspace(0, 4, 5)))):
        counts = np.bitwise_count(words & 0x7FFFFFFF).sum(axis=0)
        assert np.all(np.abs(counts - n * p) <= 5 * np.sqrt(n * p * (1 - p)) + 1)


@pytest.mark.parametrize("trains", ["stochastic", "deterministic"])
@pytest.mark.parametrize("length_management", [True, False])
def test_a_larger_rate_never_moves_less(trains, length_management):
    """And from the rate that fills a train on, it moves by all of its pulses."""
    config = UpdateConfig(trains=trains, length_management=length_management)
    x, d = np.ones(1, np.float32), np.ones(200, np.float32)
    moved = []
    for power in range(-3, 31):
        crossbar = build(COUNTER, (1, 200), Stream(seed=0, owner=0), config)
        crossbar.update(x[None], d[None], 10.0**power, 0)
        moved.append(crossbar.weights.mean(dtype=float) / STEP)

    assert np.all(np.diff(moved) >= 0)
    np.testing.assert_array_equal(moved[4:], MAX_PULSES)


@pytest.mark.parametrize("trains", ["stochastic", "deterministic"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["x", "d"])
@pytest.mark.parametrize("device", [COUNTER, Pair(device=COUNTER)], ids=["single", "pair"])
def test_what_is_not_finite_is_refused(trains, value, side, device):
    """Bounded devices would hide it."""
    crossbar = build(device, (3, 70), Stream(seed=0, owner=0), UpdateConfig(trains=trains))
    x, d = draw(0, 2, 3), draw(1, 2, 70)
    (x if side == "x" else d)[1, 2] = value

    with pytest.raises(ValueError, match="inputs, errors and rate of an update must be finite"):
        crossbar.update(x, d, 0.1, 0)

    assert not crossbar.weights.any()


def test_an_infinite_rate_is_refused():
    crossbar = build(COUNTER, (1, 1), Stream(seed=0, owner=0), UpdateConfig())
    one = np.ones((1, 1), np.float32)

    with pytest.raises(ValueError, match="rate of an update must be finite"):
        crossbar.update(one, one, math.inf, 0)


# What trains do


@quiet
@given(
    config=configs, seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 5), cols=st.integers(1, 70),
    examples=st.integers(1, 10), rate=st.floats(1e-3, 0.5),
)  # fmt: skip
@settings(max_examples=15)
def test_kernel_equals_the_oracle(device, config, seed, rows, cols, examples, rate):
    stream = Stream(seed=seed, owner=2)
    crossbar = build(device, (rows, cols), stream, config)
    parameters = naive.parameters_of(device, (rows, cols), stream)
    x, d = draw(seed, examples, rows), draw(seed + 1, examples, cols)
    crossbar.write(draw(seed + 2, rows, cols))
    start = crossbar.weights.copy()

    crossbar.update(x, d, rate, 17)

    row_trains, column_trains, pulses = trains(stream, device, config, x, d, rate, 17)
    expected = naive.apply_trains(device, parameters, start, row_trains, column_trains)
    assert crossbar.pulses == pulses
    np.testing.assert_allclose(crossbar.weights, expected, atol=5e-6, rtol=1e-5)


ALL_CELLS = {
    **QUIET,
    **{f"noisy {name}": device.model_copy(update={"cycle_noise": 0.3})
       for name, device in QUIET.items()},
    "pair": Pair(device=SoftBounds()),
    "ideal": Ideal(),
}  # fmt: skip
every_cell = pytest.mark.parametrize("cell", ALL_CELLS.values(), ids=ALL_CELLS)
ROWS = arrays(bool, 6)
COLS = arrays(bool, 70)


@every_cell
@given(seed=st.integers(0, 1000), silent_rows=ROWS, silent_cols=COLS)
@settings(max_examples=15)
def test_silent_lines_change_nothing(cell, seed, silent_rows, silent_cols):
    crossbar = build(cell, (6, 70), Stream(seed=seed, owner=0), UpdateConfig())
    crossbar.write(0.1 * draw(seed, 6, 70))
    before = crossbar.weights.copy()
    x, d = draw(seed + 1, 9, 6), draw(seed + 2, 9, 70)
    x[:, silent_rows], d[:, silent_cols] = 0, 0

    crossbar.update(x, d, 0.1, 0)

    np.testing.assert_array_equal(crossbar.weights[silent_rows], before[silent_rows])
    np.testing.assert_array_equal(crossbar.weights[:, silent_cols], before[:, silent_cols])


@every_cell
def test_nothing_is_added_for_zero_vectors_or_no_examples(cell):
    crossbar = build(cell, (3, 4), Stream(seed=0, owner=0), UpdateConfig())
    crossbar.write(np.full((3, 4), 0.1, np.float32))
    before = crossbar.weights.copy()
    one, none = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)

    crossbar.update(none, np.ones((2, 4), np.float32), 0.1, 0)
    crossbar.update(one, np.zeros((2, 4), np.float32), 0.1, 2)
    crossbar.update(one[:0], np.ones((0, 4), np.float32), 0.1, 4)
    crossbar.update(one, np.ones((2, 4), np.float32), 0.0, 4)

    np.testing.assert_array_equal(crossbar.weights, before)
    assert crossbar.pulses == 0


@pytest.mark.parametrize("device", [*QUIET.values(), Pair(device=QUIET["soft_bounds"])])
@given(config=configs, seed=st.integers(0, 1000), split=st.integers(0, 20))
@settings(max_examples=15)
def test_a_micro_batch_may_be_split(device, config, seed, split):
    """Anywhere; ``test_pulse_noise.py`` has the same with noise."""
    x, d = draw(seed, 20, 5), draw(seed + 1, 20, 70)
    whole, parts = (build(device, (5, 70), Stream(seed=seed, owner=0), config) for _ in range(2))

    whole.update(x, d, 0.05, 100)
    parts.update(x[:split], d[:split], 0.05, 100)
    parts.update(x[split:], d[split:], 0.05, 100 + split)

    np.testing.assert_array_equal(whole.weights, parts.weights)
    assert whole.pulses == parts.pulses


@every_cell
@pytest.mark.parametrize("trains", ["stochastic", "deterministic"])
@pytest.mark.parametrize(("x", "d"), [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_weights_grow_where_signs_agree(cell, trains, x, d):
    crossbar = build(cell, (2, 2), Stream(seed=0, owner=0), UpdateConfig(trains=trains))
    ones = np.ones((8, 2), np.float32)

    crossbar.update(x * ones, d * ones, 0.02, 0)

    assert np.all(np.sign(crossbar.weights) == x * d)


@every_cell
def test_other_tiles_do_not_matter(cell):
    """Neither how often they are updated, nor before or after."""
    x, d = draw(0, 12, 5), draw(1, 12, 70)
    y, e = draw(2, 12, 5), draw(3, 12, 70)

    def tile(owner):
        return build(cell, (5, 70), Stream(seed=0, owner=owner), UpdateConfig())

    alone = tile(1)
    alone.update(x, d, 0.05, 0)
    alone.update(y, e, 0.05, 12)

    before, among, after = tile(0), tile(1), tile(2)
    before.update(x, d, 0.05, 0)
    among.update(x, d, 0.05, 0)
    for k in range(3):
        after.update(x, d, 0.05, 12 * k)
    among.update(y, e, 0.05, 12)

    np.testing.assert_array_equal(among.weights, alone.weights)
    if not isinstance(cell, Ideal):
        assert not np.array_equal(before.weights, after.weights)


def test_examples_have_trains_of_their_own_wherever_they_are_in_a_call():
    stream, config = Stream(seed=0, owner=0), UpdateConfig()
    x, d = draw(0, 12, 5), draw(1, 12, 70)
    rows, columns, _ = trains(stream, COUNTER, config, x, d, 0.05, 40)
    for e in range(12):
        one_rows, one_columns, _ = trains(
            stream, COUNTER, config, x[e : e + 1], d[e : e + 1], 0.05, 40 + e
        )
        np.testing.assert_array_equal(one_rows[0], rows[e])
        np.testing.assert_array_equal(one_columns[0], columns[e])


def test_ideal_crossbars_add_the_outer_products():
    crossbar = build(Ideal(), (5, 7), Stream(seed=0, owner=0), UpdateConfig())
    x, d = draw(0, 9, 5), draw(1, 9, 7)

    crossbar.update(x, d, 0.05, 0)

    np.testing.assert_allclose(crossbar.weights, 0.05 * x.T @ d, rtol=1e-6, atol=1e-7)

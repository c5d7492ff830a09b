"""What a read does between a digital vector and the digital result of a product.

Bounds of statistical tests are 5 standard errors; seeds are fixed.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.read import Cells, Converter, ReadConfig, Reader
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from tests import naive

BOUND = 5  # standard errors
STREAM = Stream(seed=9, owner=1)
KEYS = np.stack([STREAM.key(Purpose.FORWARD_INPUT), STREAM.key(Purpose.FORWARD_OUTPUT)])
IDEAL = ReadConfig(dac=None, adc=None, output_noise=0)
NOISELESS = ReadConfig(output_noise=0)
SEEDS = st.integers(0, 2**32 - 1)
# Ranges at which an input of 1, halved any number of times, is not half-way between two levels.
converters = st.none() | st.builds(
    Converter, bits=st.integers(2, 10), range=st.sampled_from([0.313, 0.937, 1.013, 3.137])
)
noiseless_configs = st.builds(
    ReadConfig,
    noise_management=st.sampled_from(["none", "abs_max"]),
    bound_management=st.sampled_from(["none", "iterative"]),
    input_range=st.sampled_from([None, 0.29, 0.83]),
    dac=converters,
    adc=converters,
    output_noise=st.just(0.0),
    max_input_reduction=st.floats(1, 8),
)


def draw(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def read(config, x, weights, *, first_example=0, backward=False):
    reader = Reader(config, forward=not backward)
    return reader.product(x, Cells(weights), first_example, KEYS)


def tile_with(config, weights, *, scale=1.0, number=0, seed=1):
    block = Block(tile=number, layer="l", row=0, col=0, shape=weights.shape)
    tile = Tile(TileConfig(cell=Ideal(), read=config), block, scale, seed)
    tile.write(weights)
    return tile


# Without noise


@given(seed=SEEDS, management=st.sampled_from(["none", "abs_max"]))
def test_an_ideal_read_is_the_product(seed, management):
    x, w = draw(seed, 3, 20), draw(seed + 1, 20, 7)

    y = read(IDEAL.model_copy(update={"noise_management": management}), x, w)

    np.testing.assert_array_equal(y, x @ w)


@given(seed=SEEDS, bits=st.integers(3, 12), size=st.floats(0.01, 100))
def test_an_adc_is_off_by_half_a_step_at_most(seed, bits, size):
    """Of a product within its range; steps are scaled by the vector's largest magnitude."""
    adc = Converter(bits=bits, range=20)
    x, w = np.float32(size) * draw(seed, 3, 20), draw(seed + 1, 20, 7)

    y = read(ReadConfig(dac=None, adc=adc, output_noise=0), x, w)

    half = adc.step / 2 * np.abs(x).max(axis=1, keepdims=True)
    assert np.all(np.abs(y - x @ w) <= half * (1 + 1e-3) + 1e-5 * size)


@given(seed=SEEDS, bits=st.integers(3, 12), size=st.floats(0.01, 100))
def test_a_dac_is_off_by_half_a_step_per_input_at_most(seed, bits, size):
    dac = Converter(bits=bits, range=1)
    x, w = np.float32(size) * draw(seed, 3, 20), draw(seed + 1, 20, 7)

    y = read(ReadConfig(dac=dac, adc=None, output_noise=0), x, w)

    half = dac.step / 2 * np.abs(x).max(axis=1, keepdims=True) * np.abs(w).sum(axis=0)
    assert np.all(np.abs(y - x @ w) <= half * (1 + 1e-3) + 1e-5 * size)


@given(seed=SEEDS, bits=st.integers(2, 12), bound=st.floats(0.1, 10))
def test_outputs_are_levels_of_the_adc(seed, bits, bound):
    config = ReadConfig(
        noise_management="none", bound_management="none", dac=None,
        adc=Converter(bits=bits, range=bound),
    )  # fmt: skip
    y = read(config, draw(seed, 3, 20), draw(seed + 1, 20, 7))

    levels = y / config.adc.step
    np.testing.assert_allclose(levels, np.rint(levels), atol=2e-3)
    assert np.abs(levels).max() <= 2 ** (bits - 1) - 1 + 2e-3


@given(config=noiseless_configs, seed=SEEDS, size=st.floats(0.05, 5), backward=st.booleans())
@settings(max_examples=200)
def test_a_read_equals_the_oracle(config, seed, size, backward):
    """To float32, or one step where a value lies on the edge between two."""
    x, w = np.float32(size) * draw(seed, 2, 9), draw(seed + 1, 9, 5)

    y = read(config, x, w, backward=backward)

    expected = np.stack([naive.read(config, row, w, backward=backward) for row in x])
    off = np.abs(y - expected) > 2e-5 * (1 + np.abs(expected))
    assert off.mean() <= 0.1 * (config.dac is not None or config.adc is not None)


def test_steps_and_levels_of_converters():
    assert Converter(bits=7, range=1).step == pytest.approx(1 / 63)
    assert Converter(bits=9, range=12).step == pytest.approx(24 / 510)


def test_a_dac_saturates_without_noise_management():
    config = ReadConfig(
        noise_management="none", dac=Converter(bits=8, range=0.5), adc=None, output_noise=0
    )
    y = read(config, np.array([[2.0], [-2.0], [0.5]], np.float32), np.ones((1, 1), np.float32))

    np.testing.assert_allclose(y[:, 0], [0.5, -0.5, 0.5], rtol=1e-6)


def test_noise_management_makes_a_read_scale_with_its_input():
    """By powers of two exactly; the ADC's range then scales along."""
    x, w = draw(0, 4, 30), draw(1, 30, 6)
    for config in (NOISELESS, ReadConfig(), ReadConfig(input_noise=0.1, weight_noise=0.02)):
        np.testing.assert_array_equal(read(config, x / 16, w) * 16, read(config, x, w))


@pytest.mark.parametrize("config", [IDEAL, NOISELESS, ReadConfig(), ReadConfig(input_noise=0.1)])
def test_a_zero_vector_reads_as_zero(config):
    """With noise management even the noise is scaled by zero."""
    y = read(config, np.zeros((3, 30), np.float32), draw(1, 30, 6))

    np.testing.assert_array_equal(y, 0)


@pytest.mark.parametrize("config", [NOISELESS, ReadConfig(), ReadConfig(dac=None, adc=None)])
@pytest.mark.parametrize("size", [1e-38, 1e-39, 1e-42])
def test_a_vector_too_small_to_be_scaled_reads_as_next_to_zero(config, size):
    """One over its largest magnitude is infinite: an output of a saturated softmax can be so."""
    y = read(config, np.array([[size, 0.0, -size]], np.float32), draw(1, 3, 6))

    assert np.all(np.abs(y) <= 10 * size)


def test_without_noise_management_a_zero_vector_reads_as_noise():
    config = ReadConfig(noise_management="none", adc=None, output_noise=0.5)
    y = read(config, np.zeros((2000, 3), np.float32), draw(1, 3, 6))

    assert y.std() == pytest.approx(0.5, rel=BOUND / math.sqrt(2 * y.size))


def test_a_zero_vector_among_others_changes_none():
    x, w = draw(0, 3, 30), draw(1, 30, 6)
    x[1] = 0
    y = read(NOISELESS, x, w)

    np.testing.assert_array_equal(y[1], 0)
    np.testing.assert_array_equal(y[[0]], read(NOISELESS, x[[0]], w))


def test_the_backward_read_is_the_transpose():
    w = draw(0, 20, 7)
    x, d = draw(1, 3, 20), draw(2, 3, 7)
    for scale in (1.0, 0.25):
        ideal = tile_with(IDEAL, w, scale=scale)
        np.testing.assert_allclose(ideal.forward(x, 0), x @ w, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ideal.backward(d, 0), d @ w.T, rtol=1e-5, atol=1e-6)
    converted, transposed = tile_with(NOISELESS, w), tile_with(NOISELESS, np.ascontiguousarray(w.T))
    np.testing.assert_allclose(
        converted.backward(d, 0), transposed.forward(d, 0), rtol=1e-6, atol=1e-6
    )


# What is not finite

NOT_FINITE = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
PERIPHERIES = pytest.mark.parametrize(
    "config",
    [
        ReadConfig(),
        NOISELESS,
        ReadConfig(noise_management="none"),
        ReadConfig(bound_management="none"),
        ReadConfig(dac=None, adc=None),
        ReadConfig(adc=None, weight_noise=0.02),
    ],
)


@NOT_FINITE
@PERIPHERIES
@pytest.mark.parametrize("backward", [False, True])
def test_a_conductance_that_is_not_finite_shows_in_its_output_alone(config, value, backward):
    x, w = draw(0, 3, 30), draw(1, 30, 6)
    x[1] = 0
    expected = read(config, x, w, backward=backward)
    w[4, 2] = value

    with np.errstate(invalid="ignore"):
        y = read(config, x, w, backward=backward)

    assert np.isnan(y[:, 2]).all()
    np.testing.assert_array_equal(np.delete(y, 2, axis=1), np.delete(expected, 2, axis=1))


@NOT_FINITE
@PERIPHERIES
def test_an_input_that_is_not_finite_shows_in_every_output_of_its_example(config, value):
    x, w = draw(0, 3, 30), draw(1, 30, 6)
    expected = read(config, x, w)
    x[1, 7] = value

    with np.errstate(invalid="ignore"):
        y = read(config, x, w)

    assert np.isnan(y[1]).all()
    np.testing.assert_array_equal(y[[0, 2]], expected[[0, 2]])


# Bound management


def test_saturated_reads_are_repeated_with_half_the_input():
    """One line, so the reduction is known: 1.9 needs 4 (0.95 still saturates 0.9), 0.8 needs 1."""
    adc = Converter(bits=10, range=0.9)
    config = ReadConfig(noise_management="none", dac=None, adc=adc, output_noise=0)
    x = np.array([[1.9], [0.8], [-3.7]], np.float32)

    y = read(config, x, np.ones((1, 1), np.float32))

    for value, result, reduction in zip(x[:, 0], y[:, 0], (4, 1, 8), strict=True):
        levels = round(float(value) / reduction / adc.step)
        assert result == pytest.approx(levels * adc.step * reduction, rel=1e-6)


def test_backward_reads_saturate():
    adc = Converter(bits=10, range=0.9)
    config = ReadConfig(noise_management="none", dac=None, adc=adc, output_noise=0)

    y = read(config, np.full((1, 1), 1.9, np.float32), np.ones((1, 1), np.float32), backward=True)

    assert y[0, 0] == pytest.approx(0.9)


@pytest.mark.parametrize(("most", "reduction"), [(1, 2), (2, 4), (3.9, 4), (4, 8), (1000, 16)])
def test_reductions_end(most, reduction):
    """At the first beyond the limit, or where a DAC of seven bits would be left with two."""
    config = ReadConfig(adc=Converter(bits=9, range=0.01), output_noise=0, max_input_reduction=most)

    y = read(config, np.ones((1, 4), np.float32), np.ones((4, 2), np.float32))

    np.testing.assert_allclose(y, 0.01 * reduction, rtol=1e-6)


@pytest.mark.parametrize("bits", [2, 3])
def test_a_dac_too_coarse_for_half_the_input_is_not_asked_for_it(bits):
    config = ReadConfig(
        dac=Converter(bits=bits, range=1.0), adc=Converter(bits=9, range=0.01), output_noise=0
    )

    y = read(config, np.ones((1, 4), np.float32), np.ones((4, 2), np.float32))

    np.testing.assert_allclose(y, 0.01, rtol=1e-6)


def test_unsaturated_examples_of_a_micro_batch_are_left_as_they_are():
    config = ReadConfig(adc=Converter(bits=9, range=2.0))
    x, w = draw(0, 50, 30), draw(1, 30, 6)
    once = read(config.model_copy(update={"bound_management": "none"}), x, w)
    managed = read(config, x, w)

    saturated = np.any(np.isclose(np.abs(once), 2 * np.abs(x).max(axis=1, keepdims=True)), axis=1)
    assert 0 < saturated.sum() < 50
    np.testing.assert_array_equal(managed[~saturated], once[~saturated])
    assert np.any(managed[saturated] != once[saturated], axis=1).all()


def test_repeated_reads_have_noise_of_their_own():
    config = ReadConfig(
        noise_management="none", dac=None, adc=Converter(bits=24, range=1.0), output_noise=0.1
    )
    x, w = np.full((4000, 1), 1.6, np.float32), np.ones((1, 1), np.float32)

    y = read(config, x, w)[:, 0]
    first = read(config.model_copy(update={"adc": None}), x, w)[:, 0] - np.float32(1.6)

    # Repeated at half the input, so with twice the noise; 0.8 + noise stays below 1 in 97.7 %.
    fitted = y < 2
    assert fitted.mean() > 0.97
    again = (y[fitted] - 1.6) / 2
    assert abs((again * first[fitted]).mean()) < BOUND * 0.1 * 0.1 / math.sqrt(fitted.sum())
    assert 0.09 < again.std() < 0.1


# Noise


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("management", ["none", "abs_max"])
@pytest.mark.parametrize(
    "noises",
    [
        {"output_noise": 0.06},
        {"output_noise": 0.0, "input_noise": 0.05},
        {"output_noise": 0.0, "weight_noise": 0.02},
        {"output_noise": 0.03, "input_noise": 0.04, "weight_noise": 0.02},
    ],
)
def test_noise_has_no_mean_and_the_spread_of_its_law(backward, management, noises):
    """Variances add: output, input times the column's norm, weight times the input's norm."""
    config = IDEAL.model_copy(update={"noise_management": management, **noises})
    x, w = draw(0, 1, 40), draw(1, 40, 70)
    n = 4000

    y = read(config, np.repeat(x, n, axis=0), w, backward=backward)

    alpha = np.abs(x).max() if management == "abs_max" else 1.0
    driven = (x[0] / alpha).astype(float)
    input_noise = config.input_noise
    square = (driven**2).sum() + 40 * input_noise**2  # weights multiply noisy inputs
    variance = (
        config.output_noise**2
        + input_noise**2 * (w.astype(float) ** 2).sum(axis=0)
        + config.weight_noise**2 * square
    )
    deviation = alpha * np.sqrt(variance)
    error = np.abs(y.mean(axis=0) - (x @ w)[0])
    assert np.all(error < BOUND * deviation / math.sqrt(n) + 1e-5)
    np.testing.assert_allclose(y.std(axis=0), deviation, rtol=BOUND / math.sqrt(2 * n))


@pytest.mark.parametrize("noises", [{"output_noise": 0.06}, {"weight_noise": 0.06}])
def test_outputs_and_examples_have_noise_of_their_own(noises):
    config = IDEAL.model_copy(update={"noise_management": "none", **noises})
    x, w = np.repeat(draw(0, 1, 40), 4000, axis=0), draw(1, 40, 70)
    noise = read(config, x, w) - x @ w
    noise /= noise.std()

    for a, b in (
        (noise[1:], noise[:-1]),
        (noise[:, 1:], noise[:, :-1]),
        (noise[:, 64:], noise[:, :6]),
    ):
        assert abs((a * b).mean()) < BOUND / math.sqrt(a.size)


def test_input_noise_is_common_to_all_outputs():
    """One noisy line shows on every output that it drives."""
    config = IDEAL.model_copy(update={"noise_management": "none", "input_noise": 0.1})
    y = read(config, np.ones((50, 1), np.float32), np.ones((1, 3), np.float32))

    assert y.std() > 0.05
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 3, axis=1))


@given(split=st.integers(0, 12))
def test_noise_belongs_to_an_example_and_not_to_a_call(split):
    config = ReadConfig(input_noise=0.05, weight_noise=0.02, adc=Converter(bits=9, range=2.0))
    x, w = draw(0, 12, 30), draw(1, 30, 6)

    whole = read(config, x, w, first_example=100)
    parts = [read(config, x[:split], w, first_example=100)]
    parts.append(read(config, x[split:], w, first_example=100 + split))

    # A matrix product of other shape may round differently, which a converter turns into a step.
    step = config.adc.step * np.abs(x).max(axis=1, keepdims=True)
    assert np.all(np.abs(whole - np.concatenate(parts)) <= 16 * step)
    assert np.mean(np.abs(whole - np.concatenate(parts)) < 1e-5) > 0.9


def test_noise_is_that_of_the_tile_the_direction_and_the_evaluation():
    w = draw(0, 30, 30)
    x = draw(1, 2, 30)

    def outputs(tile):
        yield tile.forward(x, 0)
        yield tile.forward(x, 2)
        yield tile.backward(x @ w / 30, 0)
        for evaluation in (0, 1):
            tile.begin(evaluation)
            yield tile.forward(x, 0)
        tile.begin(None)

    tile = tile_with(ReadConfig(), w)
    reads = list(outputs(tile))
    reads.append(next(outputs(tile_with(ReadConfig(), w, number=1))))
    reads.append(next(outputs(tile_with(ReadConfig(), w, seed=2))))

    for k, y in enumerate(reads):
        assert not any(np.array_equal(y, other) for other in reads[:k])
    np.testing.assert_array_equal(next(outputs(tile)), reads[0])
    np.testing.assert_array_equal(next(outputs(tile_with(ReadConfig(), w))), reads[0])


# Refusals


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("dac", {"bits": 1, "range": 1}, "greater than or equal to 2"),
        ("adc", {"bits": 25, "range": 1}, "less than or equal to 24"),
        ("adc", {"bits": 8, "range": 0}, "greater than 0"),
        ("input_noise", -0.1, "greater than or equal to 0"),
        ("weight_noise", -0.1, "greater than or equal to 0"),
        ("output_noise", -0.1, "greater than or equal to 0"),
        ("output_noise", float("nan"), "finite number"),
        ("max_input_reduction", 0.5, "greater than or equal to 1"),
        ("noise_management", "constant", "'none' or 'abs_max'"),
        ("bound_management", "shift", "'none' or 'iterative'"),
        ("gain", 1, "Extra inputs are not permitted"),
    ],
)
def test_what_a_periphery_cannot_be_is_refused(field, value, rule):
    with pytest.raises(ValidationError, match=rule) as refusal:
        ReadConfig(**{field: value})

    assert refusal.value.errors()[0]["loc"][0] == field

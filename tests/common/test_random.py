"""Random numbers are what they are called, and a function of nothing but who asks.

Statistical bounds are in standard errors: 5 of them, which a right generator exceeds once in two
million tries; seeds are fixed, so a test that passes keeps passing.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.common.random import (
    CHUNK,
    Purpose,
    Stream,
    fill_normals,
    normal_at,
    normal_pair,
    philox,
)
from tests import naive

BOUND = 5  # standard errors
STREAM = Stream(seed=2018, owner=4)
SHAPE = (1000, 1024)
WORDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def normals():
    return STREAM.normal(Purpose.DEVICE, SHAPE).astype(float)


@pytest.fixture(scope="module")
def uniforms():
    return STREAM.uniform(Purpose.INITIAL_WEIGHT, SHAPE).astype(float)


def block(counter, key):
    return tuple(int(word) for word in philox(*(np.uint32(word) for word in (*counter, *key))))


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "5f6fb709 0d893f64 4f121f81 4f730a48"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "5207ddc2 45165e59 4d8ee751 8c52f662"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "4dfccaba 190a87f0 c47362ba b6b5242a"),
    ],
)  # fmt: skip
def test_philox_gives_the_known_answers_of_random123(counter, key, expected):
    """``philox4x32 7`` in the file kat_vectors of the Random123 distribution."""
    counter, key, expected = (
        tuple(int(word, 16) for word in words.split()) for words in (counter, key, expected)
    )

    assert block(counter, key) == expected
    assert naive.philox(counter, key) == expected


@given(counter=st.tuples(*4 * [WORDS]), key=st.tuples(*2 * [WORDS]))
def test_philox_equals_the_oracle(counter, key):
    assert block(counter, key) == naive.philox(counter, key)


@given(word=WORDS)
def test_normals_of_a_word_equal_the_oracle(word):
    """To 5e-6, which the polynomials for logarithm and sine leave."""
    np.testing.assert_allclose(normal_pair(np.uint32(word)), naive.box_muller(word), atol=5e-6)


def test_uniforms_are_uniform(uniforms):
    n = uniforms.size
    counts, _ = np.histogram(uniforms, bins=1024, range=(0, 1))
    chi_square = ((counts - n / 1024) ** 2).sum() / (n / 1024)

    assert uniforms.min() > 0
    assert uniforms.max() < 1
    assert abs(chi_square - 1023) < BOUND * math.sqrt(2 * 1023)
    assert abs(uniforms.mean() - 1 / 2) < BOUND * math.sqrt(1 / 12 / n)
    assert abs(uniforms.var() - 1 / 12) < BOUND * math.sqrt(1 / 180 / n)


def test_normals_have_the_moments_of_a_normal_distribution(normals):
    n = normals.size

    assert abs(normals.mean()) < BOUND * math.sqrt(1 / n)
    assert abs(normals.var() - 1) < BOUND * math.sqrt(2 / n)
    assert abs((normals**3).mean()) < BOUND * math.sqrt(15 / n)
    assert abs((normals**4).mean() - 3) < BOUND * math.sqrt(96 / n)


def test_normals_follow_the_normal_distribution_function(normals):
    """Kolmogorov-Smirnov: the bound is exceeded once in 3,000 tries; 2e-4 is the resolution."""
    n = normals.size
    every = 16
    ordered = np.sort(normals, axis=None)[::every]
    expected = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in ordered])
    distance = np.abs(expected - np.arange(0, n, every) / n).max()

    assert distance < 2 / math.sqrt(n) + 2e-4 + every / n


@pytest.mark.parametrize("threshold", [1, 2, 3, 4, 4.5])
def test_tails_hold_as_many_as_they_should(normals, threshold):
    expected = normals.size * math.erfc(threshold / math.sqrt(2))

    for count in (2 * (normals > threshold).sum(), 2 * (normals < -threshold).sum()):
        assert abs(count - expected) < BOUND * math.sqrt(2 * expected)


def test_no_normal_is_beyond_what_16_bits_hold(normals):
    assert np.abs(normals).max() <= math.sqrt(2 * math.log(2**17)) + 1e-5


def assert_uncorrelated(a, b):
    """Neither the numbers nor their squares: means of products of independent numbers are 0."""
    for f in (lambda z: z, lambda z: (z**2 - 1) / math.sqrt(2)):
        assert abs((f(a) * f(b)).mean()) < BOUND / math.sqrt(a.size)


@pytest.mark.parametrize("shift", [1, 2, 4, 7, 8, 16, 31, 32, 33, CHUNK, 2 * CHUNK])
def test_columns_are_independent(normals, uniforms, shift):
    for x in (normals, (uniforms - 1 / 2) * math.sqrt(12)):
        products = x[:, shift:] * x[:, :-shift]
        assert abs(products.mean()) < BOUND / math.sqrt(products.size)
    assert_uncorrelated(normals[:, shift:], normals[:, :-shift])


@pytest.mark.parametrize("shift", [1, 2, 8, 256])
def test_rows_are_independent(normals, uniforms, shift):
    assert_uncorrelated(normals[shift:], normals[:-shift])
    products = 12 * (uniforms[shift:] - 1 / 2) * (uniforms[:-shift] - 1 / 2)
    assert abs(products.mean()) < BOUND / math.sqrt(products.size)


@pytest.mark.parametrize(
    "other",
    [
        lambda shape: STREAM.normal(Purpose.DEVICE, shape, draw=1),
        lambda shape: STREAM.normal(Purpose.DEVICE, shape, part=1),
        lambda shape: STREAM.normal(Purpose.FORWARD_INPUT, shape),
        lambda shape: Stream(seed=2018, owner=5).normal(Purpose.DEVICE, shape),
        lambda shape: Stream(seed=2019, owner=4).normal(Purpose.DEVICE, shape),
        lambda shape: Stream(seed=2018 + 2**32, owner=4).normal(Purpose.DEVICE, shape),
    ],
    ids=["draw", "part", "purpose", "owner", "seed", "upper half of the seed"],
)
def test_neighbouring_arrays_are_independent(normals, other):
    assert_uncorrelated(normals, other(SHAPE).astype(float))


def test_examples_are_independent():
    key = STREAM.key(Purpose.CYCLE_NOISE)
    rows = np.empty((4096, CHUNK), np.float32)
    words = np.empty(CHUNK // 2, np.uint32)
    for example, out in enumerate(rows):
        fill_normals(out, words, 0, 0, example, 0, key[0], key[1])

    assert_uncorrelated(rows[1:].astype(float), rows[:-1].astype(float))


def test_every_user_has_a_key_of_its_own():
    keys = {
        tuple(Stream(seed=seed, owner=owner).key(purpose, part))
        for seed in (0, 1, 2**32, 2**64 - 1)
        for owner in range(8)
        for purpose in Purpose
        for part in range(4)
    }

    assert len(keys) == 4 * 8 * len(Purpose) * 4


@given(
    row=st.integers(0, 70), column=st.integers(0, 200), rows=st.integers(1, 9),
    cols=st.integers(1, 90),
)  # fmt: skip
def test_a_window_shows_a_part_of_the_whole(row, column, rows, cols):
    whole = STREAM.uniform(Purpose.INITIAL_WEIGHT, (80, 300))
    window = STREAM.uniform(Purpose.INITIAL_WEIGHT, (rows, cols), first=(row, column))

    np.testing.assert_array_equal(window, whole[row : row + rows, column : column + cols])


@given(rows=st.integers(1, 9), cols=st.integers(1, 200))
def test_normals_do_not_depend_on_the_size_of_the_array(rows, cols):
    whole = STREAM.normal(Purpose.DEVICE, (9, 200))

    np.testing.assert_array_equal(STREAM.normal(Purpose.DEVICE, (rows, cols)), whole[:rows, :cols])


def test_chunks_of_normals_are_the_columns_of_the_array():
    """The update draws chunk by chunk what ``Stream.normal`` shows as an array."""
    whole = STREAM.normal(Purpose.DEVICE, (3, 3 * CHUNK), draw=2)
    key = STREAM.key(Purpose.DEVICE)
    out, words = np.empty(CHUNK, np.float32), np.empty(CHUNK // 2, np.uint32)
    for row in range(3):
        for chunk in range(3):
            fill_normals(out, words, chunk, row, 0, 2, key[0], key[1])
            np.testing.assert_array_equal(out, whole[row, CHUNK * chunk : CHUNK * (chunk + 1)])


def test_single_numbers_are_those_of_their_chunk():
    key = STREAM.key(Purpose.DEVICE)
    whole = STREAM.normal(Purpose.DEVICE, (2, 2 * CHUNK), draw=2)

    single = [[normal_at(j, i, 0, 2, *key) for j in range(2 * CHUNK)] for i in range(2)]

    np.testing.assert_array_equal(np.array(single, np.float32), whole)

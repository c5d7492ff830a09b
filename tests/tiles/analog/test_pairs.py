"""Pairs of rising significance, and what refresh does to pairs that only fill up."""

import numpy as np
import pytest
from pydantic import ValidationError

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.cells import Pair, Pairs, Refresh
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import ConstantStep, Pcm
from crossmesh.tiles.analog.update import UpdateConfig

SHAPE = (6, 70)
ALIKE = {
    "device_noise": 0, "cycle_noise": 0, "asymmetry_device_noise": 0, "upper_device_noise": 0,
    "lower_device_noise": 0,
}  # fmt: skip
ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)


def crossbar_of(cell, shape=SHAPE):
    return build(cell, shape, Stream(seed=6, owner=1), ONE_PULSE)


def push(crossbar, first, last, sign=1):
    rows, cols = crossbar.weights.shape
    x, d = np.ones((1, rows), np.float32), np.full((1, cols), sign, np.float32)
    for e in range(first, last):
        crossbar.update(x, d, 1e6, e)


def held(crossbar, k):
    state = crossbar.state()
    return state[f"conductance_0_of_pair_{k}"] - state[f"conductance_1_of_pair_{k}"]


def significant(**changes):
    device = ConstantStep(step=0.01, upper=0.2, lower=-0.2, **ALIKE)
    return Pairs(pair=Pair(device=device), significances=[1.0, 4.0, 16.0], **changes)


def test_a_weight_is_the_sum_of_its_pairs():
    crossbar = crossbar_of(significant())
    wanted = np.random.default_rng(0).uniform(-8, 8, SHAPE).astype(np.float32)

    crossbar.write(wanted)

    np.testing.assert_allclose(crossbar.weights, wanted, atol=1e-5)
    total = sum(factor * held(crossbar, k) for k, factor in enumerate((1, 4, 16)))
    np.testing.assert_allclose(total, wanted, atol=1e-5)


def test_updates_go_to_the_least_significant_pair():
    crossbar = crossbar_of(significant(carry_every=1000))
    crossbar.write(np.zeros(SHAPE, np.float32))

    push(crossbar, 0, 5)

    np.testing.assert_allclose(crossbar.weights, 5 * 0.02, rtol=1e-5)
    assert not held(crossbar, 1).any()
    assert not held(crossbar, 2).any()


def test_a_carry_keeps_the_weight_and_frees_the_least_significant_pair():
    """To half of the finest step on either side of the finest pair."""
    crossbar = crossbar_of(significant(carry_every=15))
    crossbar.write(np.zeros(SHAPE, np.float32))
    push(crossbar, 0, 14)
    before = crossbar.weights.copy()

    push(crossbar, 14, 15)

    np.testing.assert_allclose(crossbar.weights, before + 0.02, atol=0.0101)
    assert np.all(np.abs(held(crossbar, 0)) < 0.1)
    assert np.all(4 * held(crossbar, 1) + 16 * held(crossbar, 2) > 0.2)


def test_carries_let_a_weight_pass_the_range_of_its_finest_pair():
    with_carries, without = (crossbar_of(significant(carry_every=n)) for n in (10, 10**6))
    for crossbar in (with_carries, without):
        crossbar.write(np.zeros(SHAPE, np.float32))
        push(crossbar, 0, 60)

    np.testing.assert_allclose(with_carries.weights, 60 * 0.02, atol=0.1)
    np.testing.assert_allclose(without.weights, 0.4, rtol=1e-5)


@pytest.mark.parametrize(("values", "reported"), [([4, 1], "[4.0, 1.0]"), ([0, 1], "[0.0, 1.0]")])
def test_significances_must_rise(values, reported):
    with pytest.raises(ValidationError, match="significances must be above 0 and rise, got") as e:
        Pairs(significances=values)
    assert reported in str(e.value)


# Refresh

FULL = Refresh(saturation=0.75, difference=0.25, reset=0.0)


def filling(refresh, **changes):
    device = Pcm(read_noise_siemens=0, read_noise_slope=0, **changes)
    return crossbar_of(Pair(device=device, refresh=refresh))


def test_without_refresh_pairs_fill_up_and_stop():
    crossbar = filling(None, cycle_noise=0)
    crossbar.write(np.zeros(SHAPE, np.float32))
    for e in range(60):
        push(crossbar, e, e + 1, 1 if e % 2 else -1)

    state = crossbar.state()
    assert np.all(state["conductance_0"] > 0.8)
    assert np.all(state["conductance_1"] > 0.8)


def test_refresh_keeps_pairs_from_filling_up_and_their_difference():
    crossbar = filling(FULL, cycle_noise=0)
    crossbar.write(np.zeros(SHAPE, np.float32))
    for e in range(60):
        before = crossbar.weights.copy()
        push(crossbar, e, e + 1, 1 if e % 2 else -1)
        full = np.maximum(crossbar.state()["conductance_0"], crossbar.state()["conductance_1"])
        assert np.all((full < 0.753) | (np.abs(crossbar.weights) >= 0.25))
        assert np.abs(crossbar.weights - before).max() < 0.4  # a step after a RESET, and half one


def test_a_refresh_forgets_the_pulses_before():
    crossbar = filling(FULL)
    crossbar.write(np.full(SHAPE, 0.05, np.float32))
    state = {name: array.copy() for name, array in crossbar.state().items()}
    state["conductance_0"][:], state["conductance_1"][:] = 0.9, 0.88
    state["history_0"][:], state["history_1"][:] = 1e-4, 1e-4
    crossbar.load(state)

    push(crossbar, 0, 1)

    after = crossbar.state()
    assert np.all(after["conductance_0"] < 0.5)
    assert np.all(after["history_0"] > 0.1)


def test_pairs_far_apart_are_left_as_they_are():
    crossbar = filling(FULL, cycle_noise=0)
    crossbar.write(np.full(SHAPE, 0.85, np.float32))

    push(crossbar, 0, 1, -1)

    assert np.all(crossbar.state()["conductance_0"] > 0.8)


def test_a_difference_that_fills_the_range_is_refused():
    rule = r"difference must be below saturation \(0\.5\), got 0\.6"
    with pytest.raises(ValidationError, match=rule):
        Refresh(saturation=0.5, difference=0.6)

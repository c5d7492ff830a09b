"""What every device must do, whatever its rule, alone and in a pair.

Devices are moved through crossbars, one pulse per example, unless a test says otherwise. Bounds of
statistical tests are in standard errors: 5 of them; seeds are fixed.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.devices import (
    ConstantStep,
    ExpStep,
    LinearStep,
    StepDevice,
)
from crossmesh.tiles.analog.devices.kernels import (
    LOWER,
    PREPARED_DOWN,
    PREPARED_UP,
    STEP_DOWN,
    STEP_UP,
    UPPER,
)
from tests import naive
from tests.tiles.analog.device_material import (
    ALIKE,
    BOUND,
    STREAM,
    VARIANTS,
    assert_spread,
    crossbar_of,
    quiet,
    send_pulses,
    stepped,
    variants,
    with_formula,
    without_spread,
)


def folded(mean, deviation):
    """Mean and standard deviation of ``abs(normal)``."""
    if deviation == 0:
        return abs(mean), 0.0
    ratio = mean / deviation
    density = math.exp(-(ratio**2) / 2) * math.sqrt(2 / math.pi)
    m = deviation * density + mean * math.erf(ratio / math.sqrt(2))
    return m, math.sqrt(mean**2 + deviation**2 - m**2)


@variants
@given(seed=st.integers(0, 2**64 - 1), start=st.floats(-1, 1), n_pulses=st.integers(-40, 40))
@settings(max_examples=40)
def test_pulses_move_toward_their_sign_and_stay_in_bounds(device, seed, start, n_pulses):
    stream = Stream(seed=seed, owner=0)
    crossbar = crossbar_of(quiet(device), (3, 70), stream)
    parameters = naive.parameters_of(device, (3, 70), stream)
    turn = turning_points(device, parameters)
    crossbar.write(np.clip(np.full((3, 70), start, np.float32), *turn))
    before = crossbar.weights.copy()

    send_pulses(crossbar, n_pulses, together=True)

    after = crossbar.weights
    assert np.all(np.sign(n_pulses) * (after - before) >= -1e-6)
    assert np.all(after >= parameters[LOWER])
    assert np.all(after <= parameters[UPPER])


def turning_points(device, parameters):
    """Where steps vanish: a linear step would change its sign beyond, if bounds let it."""
    if not isinstance(device, LinearStep):
        return -np.inf, np.inf
    slope_up, slope_down = np.minimum(parameters[4], -1e-6), np.maximum(parameters[5], 1e-6)
    return -1 / slope_down, -1 / slope_up


@variants
@given(seed=st.integers(0, 2**64 - 1), start=st.floats(-1, 1), n_pulses=st.integers(-40, 40))
@settings(max_examples=20)
def test_noisy_pulses_stay_in_bounds(device, seed, start, n_pulses):
    stream = Stream(seed=seed, owner=0)
    noisy = device.model_copy(update={"cycle_noise": 5.0})
    crossbar = crossbar_of(noisy, (3, 70), stream)
    parameters = naive.parameters_of(device, (3, 70), stream)
    crossbar.write(np.full((3, 70), start, np.float32))

    send_pulses(crossbar, n_pulses, together=True)

    assert np.all(crossbar.weights >= parameters[LOWER])
    assert np.all(crossbar.weights <= parameters[UPPER])


@with_formula
@pytest.mark.parametrize("together", [True, False])
def test_without_cycle_noise_a_train_is_the_closed_form(device, together):
    """To float32: 60 pulses of a rounding error of 6e-8 times the conductance each."""
    shape = (2, 67)
    crossbar = crossbar_of(quiet(device), shape)
    parameters = naive.parameters_of(device, shape, STREAM)
    start = np.linspace(-0.5, 1.5, 134, dtype=np.float32).reshape(shape)
    crossbar.write(start)
    expected = np.clip(start, parameters[LOWER], parameters[UPPER]).astype(float)

    for n_pulses in (20, -40):
        send_pulses(crossbar, n_pulses, together=together)
        for at in np.ndindex(shape):
            for _ in range(abs(n_pulses)):
                expected[at] = naive.pulse(device, parameters[:, *at], expected[at], n_pulses > 0)

    np.testing.assert_allclose(crossbar.weights, expected, atol=60 * 6e-8 * 2, rtol=2e-6)


@with_formula
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("start", [0.1, 0.3])
def test_cycle_noise_has_the_mean_and_spread_of_its_law(device, up, start):
    noisy = without_spread(device).model_copy(update={"cycle_noise": 0.25})
    repeats, shape = 50, (16, 128)
    crossbar = crossbar_of(noisy, shape)
    parameters = noisy.sample((1, 1), STREAM, 0)[:, 0, 0]
    moved = []
    for k in range(repeats):
        crossbar.write(np.full(shape, start, np.float32))
        send_pulses(crossbar, 1 if up else -1, k)
        moved.append(crossbar.weights - np.float32(start))

    mean = naive.step(noisy, parameters, start, up)
    assert_spread(moved, mean, naive.noise(noisy, parameters, start, up))


@pytest.mark.parametrize("together", [True, False])
def test_cycle_noise_of_many_pulses_adds_up(together):
    """In one call, eight examples share one draw with the variance of all."""
    device = without_spread(ConstantStep(cycle_noise=0.5))
    crossbar = crossbar_of(device, (128, 128))

    send_pulses(crossbar, 50, together=together)

    assert_spread(crossbar.weights, 50 * device.step, 0.5 * device.step * math.sqrt(50))


@with_formula
def test_sharing_a_draw_among_eight_pulses_changes_moments_little(device):
    """The only liberty that the update takes: 3 % of the spread, where steps change by the state.

    The coarse devices are left out: their bounds are met within a group.
    """
    if isinstance(device, StepDevice) and device.step > 0.001:
        device = device.model_copy(update={"step": 0.001})
    exact, grouped = (
        crossbar_of(without_spread(device), (128, 128), Stream(seed=5, owner=owner))
        for owner in range(2)
    )
    for crossbar in (exact, grouped):
        crossbar.write(np.full((128, 128), 0.1, np.float32))
    send_pulses(exact, 64)
    send_pulses(grouped, 64, together=True)

    a, b = exact.weights.astype(float), grouped.weights.astype(float)
    assert abs(a.mean() - b.mean()) < 0.03 * a.std() + BOUND * a.std() * math.sqrt(2 / a.size)
    assert a.std() == pytest.approx(b.std(), rel=0.03 + BOUND / math.sqrt(a.size))


@pytest.mark.parametrize(
    "device", [device for device in VARIANTS.values() if isinstance(device, StepDevice)]
)
def test_spread_between_devices_is_as_described(device):
    """Means and standard deviations of 65,536 devices within 5 standard errors."""
    parameters = device.sample((256, 256), STREAM, 0)
    spread = math.hypot(device.device_noise, device.asymmetry_device_noise)

    for row, mean, deviation, unit in (
        (STEP_UP, 1 + min(device.asymmetry, 0), spread, device.step),
        (STEP_DOWN, 1 - max(device.asymmetry, 0), spread, device.step),
        (UPPER, 1, device.upper_device_noise, device.upper),
        (LOWER, 1, device.lower_device_noise, device.lower),
    ):
        if unit:
            assert_spread(parameters[row] / unit, *folded(mean, deviation))
        else:
            assert np.all(parameters[row] == 0)
    if isinstance(device, LinearStep):
        up, down = -parameters[4] * device.upper, -parameters[5] * device.lower
        assert_spread(up, *folded(device.gamma_up, device.gamma_device_noise))
        assert_spread(down, *folded(device.gamma_down, device.gamma_device_noise))


def test_up_and_down_steps_share_their_spread_and_differ_by_the_asymmetry():
    """Half the difference is the asymmetry, which has a spread of its own; half the sum is not."""
    device = ConstantStep(device_noise=0.1, asymmetry_device_noise=0.02)
    parameters = device.sample((256, 256), STREAM, 0) / device.step
    common = (parameters[STEP_UP] + parameters[STEP_DOWN]) / 2
    skew = (parameters[STEP_UP] - parameters[STEP_DOWN]) / 2

    assert_spread(common, 1, 0.1)
    assert_spread(skew, 0, 0.02)
    for a, b in (
        (common - 1, skew),
        (common - 1, parameters[UPPER] - 600),
    ):
        products = a * (b - b.mean())
        assert abs(products.mean()) < BOUND * products.std() / 256


def test_bounds_are_drawn_independently():
    parameters = ConstantStep().sample((256, 256), STREAM, 0)
    products = (parameters[UPPER] - 0.6) * (parameters[LOWER] + 0.6)

    assert abs(products.mean()) < BOUND * products.std() / 256


@variants
def test_no_step_turns_its_sign(device):
    spread = {name: 2.0 for name in type(device).model_fields if name.endswith("device_noise")}
    wild = device.model_copy(update=spread)
    parameters = wild.sample((64, 64), STREAM, 0)

    assert np.all(parameters[STEP_UP] >= 0)
    assert np.all(parameters[STEP_DOWN] >= 0)
    assert np.all(parameters[UPPER] >= 0)
    assert np.all(parameters[LOWER] <= 0)


@pytest.mark.parametrize(("asymmetry", "up", "down"), [(0.2, 1.0, 0.8), (-0.2, 0.8, 1.0)])
def test_asymmetry_shrinks_the_weaker_direction(asymmetry, up, down):
    parameters = ConstantStep(asymmetry=asymmetry, **ALIKE).sample((1, 1), STREAM, 0)[:, 0, 0]

    np.testing.assert_allclose(parameters[:2], [0.001 * up, 0.001 * down], rtol=1e-6)


@stepped
def test_granularity_is_the_step_that_trains_are_scaled_for(cls):
    """``step``; for exponential steps the down step at zero, with its share of the asymmetry."""
    if not naive.has_formula(cls()):
        pytest.skip("tests/naive.py has no formula of it")
    device = without_spread(cls(asymmetry=0.25))
    down = -naive.step(device, device.sample((1, 1), STREAM, 0)[:, 0, 0], 0.0, False)

    assert device.granularity == pytest.approx(down if cls is ExpStep else device.step, rel=1e-6)


@variants
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_the_slope_is_that_of_the_step(device, up):
    """Where the step has vanished, it stays so, and the slope is 0."""
    constants = device.constants()
    functions = type(constants).functions
    if functions.slope is None:
        pytest.skip("steps of this device have kinks")
    scratch = np.zeros((16, 1))
    scratch[: device.n_parameters, 0] = device.sample((1, 1), STREAM, 0)[:, 0, 0]
    for row, towards in ((PREPARED_UP, True), (PREPARED_DOWN, False)):
        if functions.prepare is not None:
            scratch[row, 0] = functions.prepare(constants, scratch, 0, towards)
    near = 1e-4 * (scratch[UPPER, 0] - scratch[LOWER, 0])
    for w in np.linspace(scratch[LOWER, 0], scratch[UPPER, 0], 9)[1:-1]:
        before, step, after = (
            float(functions.step(constants, scratch, 0, at, up)) for at in (w - near, w, w + near)
        )

        slope = float(functions.slope(constants, scratch, 0, w, step, up))

        expected = (after - before) / (2 * near) if step else 0.0
        largest = max(scratch[STEP_UP, 0], scratch[STEP_DOWN, 0])
        assert slope == pytest.approx(expected, rel=0.02, abs=0.01 * largest)

"""What every device must do, whatever its law, alone and in a pair.

Devices are moved through crossbars, one pulse per example, unless a test says otherwise. Bounds of
statistical tests are in standard errors: 5 of them; seeds are fixed.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tests import naive
from tests.jobs import TABLES
from tiles.cells import Cell, Pair
from tiles.crossbar import build, reach
from tiles.devices import (
    DEVICES,
    PULSED,
    ConstantStep,
    ExpStep,
    Ideal,
    JumpTable,
    LinearStep,
    Pcm,
    SoftBounds,
    StepDevice,
)
from tiles.devices.law import LOWER, STEP_DOWN, STEP_UP, UPPER
from tiles.random import Stream
from tiles.tile import TileConfig
from tiles.update import UpdateConfig

BOUND = 5  # standard errors
ALIKE = {
    "device_noise": 0.0,
    "asymmetry_device_noise": 0.0,
    "upper_device_noise": 0.0,
    "lower_device_noise": 0.0,
}
STEPPING = [cls for cls in PULSED if issubclass(cls, StepDevice)]
ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)
STREAM = Stream(seed=20, owner=1)
# Each law as it is shipped, and where it differs most from a constant step.
VARIANTS = {
    "constant_step": ConstantStep(),
    "constant_step, asymmetric": ConstantStep(asymmetry=0.2),
    "linear_step": LinearStep(),
    "linear_step, steep": LinearStep(gamma_up=0.3, gamma_down=0.5, step=0.01),
    "linear_step, additive noise": LinearStep(
        gamma_up=0.3, gamma_down=0.5, multiplicative_noise=False
    ),
    "soft_bounds": SoftBounds(),
    "soft_bounds, coarse": SoftBounds(step=0.05, asymmetry=-0.1),
    "soft_bounds, one-sided": SoftBounds(lower=0.0, upper=1.0, step=0.01),
    "soft_bounds, additive noise": SoftBounds(multiplicative_noise=False),
    "exp_step": ExpStep(),
    "exp_step, one-sided": ExpStep(
        step=0.01, upper=2, lower=0, upper_device_noise=0.1, a_up=-27.235, a_down=-2.235,
        gamma_up=2.5, gamma_down=2.5, a=-1, b=0, noise_offset=0.042, noise_slope=0.108,
    ),
    "jump_table": JumpTable(tables=TABLES),
    "jump_table, more spread": JumpTable(tables=TABLES, device_noise=0.2),
}  # fmt: skip
variants = pytest.mark.parametrize("device", VARIANTS.values(), ids=VARIANTS)
stepped = pytest.mark.parametrize("cls", STEPPING)


def without_spread(device):
    if isinstance(device, JumpTable):
        return device.model_copy(update={"tables": device.tables[:1], "device_noise": 0.0})
    alike = {**ALIKE, "gamma_device_noise": 0.0} if isinstance(device, LinearStep) else ALIKE
    return device.model_copy(update=alike)


def quiet(device):
    return device.model_copy(update={"cycle_noise": 0.0})


def crossbar_of(cell, shape, stream=STREAM):
    return build(cell, shape, stream, ONE_PULSE)


def send_pulses(crossbar, n_pulses, first_example=0, *, together=False):
    """Move every cell up (or down, if negative) by one pulse in each of so many examples."""
    rows, cols = crossbar.weights.shape
    n = abs(n_pulses)
    x = np.ones((n, rows), np.float32)
    d = np.full((n, cols), math.copysign(1, n_pulses), np.float32)
    if together:
        crossbar.update(x, d, 1e3, first_example)
        return
    for k in range(n):
        crossbar.update(x[k : k + 1], d[k : k + 1], 1e3, first_example + k)


def assert_spread(values, mean, deviation):
    """Mean and standard deviation of independent ``values`` within their standard errors."""
    values = np.asarray(values, float).ravel()
    n = values.size
    if deviation == 0:
        np.testing.assert_allclose(values, mean, rtol=1e-6)
        return
    fourth = ((values - values.mean()) ** 4).mean()
    error = math.sqrt(max(fourth - values.var() ** 2, 0) / n) / (2 * deviation)
    assert abs(values.mean() - mean) < BOUND * deviation / math.sqrt(n)
    assert abs(values.std() - deviation) < BOUND * error


def folded(mean, deviation):
    """Mean and standard deviation of ``abs(normal)``."""
    if deviation == 0:
        return abs(mean), 0.0
    ratio = mean / deviation
    density = math.exp(-(ratio**2) / 2) * math.sqrt(2 / math.pi)
    m = deviation * density + mean * math.erf(ratio / math.sqrt(2))
    return m, math.sqrt(mean**2 + deviation**2 - m**2)


def test_all_pulsed_devices_are_tested():
    assert {type(device) for device in VARIANTS.values()} == set(PULSED) - {
        Pcm
    }  # which has tests of its own
    assert set(DEVICES) == {"ideal", *(cls.model_fields["kind"].default for cls in PULSED)}


# Laws of every device


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


@variants
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


@variants
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


@variants
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


# Spread between devices


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
    device = without_spread(cls(asymmetry=0.25))
    down = -naive.step(device, device.sample((1, 1), STREAM, 0)[:, 0, 0], 0.0, False)

    assert device.granularity == pytest.approx(down if cls is ExpStep else device.step, rel=1e-6)


# Pairs


@variants
def test_a_pair_moves_both_devices_in_opposite_directions(device):
    shape = (2, 67)
    crossbar = crossbar_of(Pair(device=quiet(device)), shape)
    parameters = [naive.parameters_of(device, shape, STREAM, part) for part in range(2)]

    send_pulses(crossbar, 3)

    state = crossbar.state()
    np.testing.assert_array_equal(crossbar.weights, state["conductance_0"] - state["conductance_1"])
    assert not np.array_equal(parameters[0], parameters[1])
    for part, up in ((0, True), (1, False)):
        for at in np.ndindex(shape):
            w = 0.0
            for _ in range(3):
                w = naive.pulse(device, parameters[part][:, *at], w, up)
            assert state[f"conductance_{part}"][at] == pytest.approx(w, abs=1e-6, rel=2e-6)


def test_the_devices_of_a_pair_have_noise_of_their_own():
    crossbar = crossbar_of(Pair(device=ConstantStep(**ALIKE)), (128, 128))

    send_pulses(crossbar, 1)

    plus, minus = (crossbar.state()[f"conductance_{part}"] / 0.001 for part in range(2))
    products = (plus - 1) * (minus + 1)
    assert_spread(plus, 1, 0.3)
    assert_spread(minus, -1, 0.3)
    assert abs(products.mean()) < BOUND * 0.3**2 / 128


def test_a_pair_holds_a_weight_in_equal_shares():
    crossbar = crossbar_of(Pair(device=ConstantStep(**ALIKE)), (1, 3))

    crossbar.write(np.array([[0.5, -0.5, 2.0]], np.float32))

    np.testing.assert_allclose(crossbar.weights, [[0.5, -0.5, 1.2]], rtol=1e-6)
    np.testing.assert_allclose(crossbar.state()["conductance_1"], [[-0.25, 0.25, -0.6]], rtol=1e-6)


# Crossbars of every cell


CELLS = {
    "ideal": Ideal(),
    **VARIANTS,
    **{f"pair of {name}": Pair(device=device) for name, device in VARIANTS.items()},
}
cells = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


@cells
def test_a_loaded_state_goes_on_exactly(cell):
    original, copy = (crossbar_of(cell, (5, 70)) for _ in range(2))
    send_pulses(original, 20)
    copy.load({name: array.copy() for name, array in original.state().items()})
    np.testing.assert_array_equal(copy.weights, original.weights)

    for crossbar in (original, copy):
        send_pulses(crossbar, -30, 20)

    for name, array in original.state().items():
        np.testing.assert_array_equal(copy.state()[name], array)
    np.testing.assert_array_equal(copy.weights, original.weights)


@cells
def test_a_state_is_not_shared_with_what_it_was_loaded_from(cell):
    crossbar = crossbar_of(cell, (2, 3))
    state = {name: np.full((2, 3), 0.25, np.float32) for name in crossbar.state()}

    crossbar.load(state)
    send_pulses(crossbar, 5)

    for array in state.values():
        np.testing.assert_array_equal(array, 0.25)


@cells
def test_written_weights_are_read_back_within_reach(cell):
    alike = cell
    if isinstance(cell, Pair):
        alike = Pair(device=without_spread(cell.device))
    elif not isinstance(cell, Ideal):
        alike = without_spread(cell)
    crossbar = crossbar_of(alike, (1, 2))
    one_sided = not isinstance(cell, Ideal | Pair) and cell.lower == 0
    most = reach(cell)
    written = np.array([[0.9 * most, 0.1 if one_sided else -0.9 * most]], np.float32)

    crossbar.write(written)

    np.testing.assert_allclose(crossbar.weights, written, rtol=1e-6)


@cells
def test_the_same_seed_makes_the_same_devices(cell):
    same, again, other = (
        crossbar_of(cell, (4, 5), Stream(seed=seed, owner=3)) for seed in (1, 1, 2)
    )
    for crossbar in (same, again, other):
        send_pulses(crossbar, 3)

    np.testing.assert_array_equal(same.weights, again.weights)
    assert isinstance(cell, Ideal) or not np.array_equal(same.weights, other.weights)


# Refusals


@stepped
@pytest.mark.parametrize(
    ("field", "value", "law"),
    [
        ("step", -0.1, "greater than"),
        ("step", 0, "greater than"),
        ("step", 2, "less than or equal to 1"),
        ("step", float("inf"), "finite number"),
        ("step", float("nan"), "finite number"),
        ("device_noise", -0.1, "greater than or equal to 0"),
        ("cycle_noise", -0.1, "greater than or equal to 0"),
        ("asymmetry", 1, "less than 1"),
        ("asymmetry", -1, "greater than -1"),
        ("asymmetry_device_noise", -1, "greater than or equal to 0"),
        ("upper", -0.5, "greater than or equal to 0"),
        ("lower", 0.5, "less than or equal to 0"),
        ("upper_device_noise", -1, "greater than or equal to 0"),
        ("lower_device_noise", -1, "greater than or equal to 0"),
        ("speed", 1, "Extra inputs are not permitted"),
        ("kind", "magic", "Input should be '"),
    ],
)
def test_every_device_refuses_what_it_cannot_be(cls, field, value, law):
    with pytest.raises(ValidationError, match=law) as refusal:
        cls(**{field: value})

    assert refusal.value.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize(
    ("cls", "field"),
    [
        (LinearStep, "gamma_up"),
        (LinearStep, "gamma_down"),
        (LinearStep, "gamma_device_noise"),
        (ExpStep, "gamma_up"),
        (ExpStep, "gamma_down"),
        (ExpStep, "noise_offset"),
        (ExpStep, "noise_slope"),
    ],
)
def test_negative_shapes_are_refused(cls, field):
    with pytest.raises(ValidationError, match="greater than or equal to 0") as refusal:
        cls(**{field: -0.1})

    assert refusal.value.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize(
    "vanishing",
    [{"a_down": 1, "b": 0}, {"a_down": 2, "gamma_down": 0}, {"gamma_down": 800, "b": -2}],
)
@pytest.mark.parametrize("cell", [ExpStep, Pair])
def test_exponential_steps_that_vanish_at_zero_are_refused(cell, vanishing):
    """Trains are scaled for that step."""
    with pytest.raises(ValidationError) as refusal:
        cell(device={"kind": "exp_step", **vanishing}) if cell is Pair else cell(**vanishing)

    message = refusal.value.errors()[0]["msg"]
    assert (
        "a_down * exp(-gamma_down * b) must be below 1, or down steps vanish at w == 0" in message
    )
    for name, value in vanishing.items():
        assert f"{name}={float(value)}" in message


@pytest.mark.parametrize("cls", [SoftBounds, LinearStep])
@pytest.mark.parametrize(("bounds", "up"), [({"lower": 0.0}, False), ({"upper": 0.0}, True)])
def test_what_a_bound_of_zero_does_to_steps_towards_it(cls, bounds, up):
    """Soft bounds leave no steps, whatever ``w``; linear steps stay what they are at zero."""
    device = without_spread(quiet(cls(step=0.01, **bounds)))
    start = -0.3 if up else 0.3
    crossbar = crossbar_of(device, (1, 70))
    crossbar.write(np.full((1, 70), start, np.float32))

    send_pulses(crossbar, 5 if up else -5)

    step = 0.0 if cls is SoftBounds else math.copysign(0.01, -start)
    np.testing.assert_allclose(crossbar.weights, start + 5 * step, rtol=1e-5)


@stepped
def test_bounds_must_enclose_a_range(cls):
    with pytest.raises(ValidationError, match=r"upper must be above lower \(0\.0\), got 0\.0"):
        cls(upper=0, lower=0)


@pytest.mark.parametrize("cls", PULSED)
def test_devices_do_not_change(cls):
    with pytest.raises(ValidationError, match="frozen"):
        cls().step = 0.5


@pytest.mark.parametrize("kind", ["magic", "Ideal", ""])
def test_an_unknown_kind_is_refused_with_those_that_exist(kind):
    with pytest.raises(ValidationError, match="does not match any of the expected tags: 'ideal'"):
        TypeAdapter(Cell).validate_python({"kind": kind})


def test_a_pair_is_of_pulsed_devices():
    for kind in ("ideal", "pair"):
        with pytest.raises(ValidationError, match="does not match any of the expected tags"):
            Pair(device={"kind": kind})


@pytest.mark.parametrize(
    ("field", "value", "law"),
    [
        ("rows", 0, "greater than or equal to 1"),
        ("cols", 65537, "less than or equal to 65536"),
        ("weight_scale", 0, "greater than 0"),
        ("weight_scale", "large", "Input should be 'auto'"),
        ("update", {"length": 0}, "greater than or equal to 1"),
        ("update", {"length": 32}, "less than or equal to 31"),
        ("update", {"trains": "random"}, "'stochastic' or 'deterministic'"),
    ],
)
def test_tiles_refuse_what_they_cannot_be(field, value, law):
    with pytest.raises(ValidationError, match=law) as refusal:
        TileConfig(**{field: value})

    assert refusal.value.errors()[0]["loc"][0] == field


@pytest.mark.parametrize("kind", DEVICES)
def test_a_device_survives_its_own_description(kind):
    device = DEVICES[kind]()

    assert TypeAdapter(Cell).validate_python(device.model_dump()) == device

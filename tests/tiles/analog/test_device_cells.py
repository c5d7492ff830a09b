"""What every device must do in a cell, with the bounds of ``test_devices.py``."""

import math

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.cells import CELLS as UNIT_CELLS
from crossmesh.tiles.analog.cells import Cell, Pair
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.cells.pcm_3t1c.memory import PcmMemory
from crossmesh.tiles.analog.costs import CAPACITOR, PHASE_CHANGE
from crossmesh.tiles.analog.devices import (
    DEVICES,
    ConstantStep,
    ExpStep,
    LinearStep,
    SoftBounds,
)
from crossmesh.tiles.analog.devices.capacitor import Capacitor
from crossmesh.tiles.analog.devices.pcm import Pcm
from crossmesh.tiles.analog.tile_config import TileConfig
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
    with_formula,
    without_spread,
)


@with_formula
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
    most = cell.reach
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


@stepped
@pytest.mark.parametrize(
    ("field", "value", "rule"),
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
def test_every_device_refuses_what_it_cannot_be(cls, field, value, rule):
    with pytest.raises(ValidationError, match=rule) as refusal:
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


@pytest.mark.parametrize("cls", DEVICES.values())
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
    ("field", "value", "rule"),
    [
        ("rows", 0, "greater than or equal to 1"),
        ("cols", 65537, "less than or equal to 65536"),
        ("weight_scale", 0, "greater than 0"),
        ("weight_scale", "large", "Input should be 'auto'"),
        ("update", {"length": 0}, "greater than or equal to 1"),
        ("update", {"length": 32}, "less than or equal to 31"),
        ("update", {"trains": "random"}, "'stochastic', 'deterministic' or 'counted'"),
    ],
)
def test_tiles_refuse_what_they_cannot_be(field, value, rule):
    with pytest.raises(ValidationError, match=rule) as refusal:
        TileConfig(**{field: value})

    assert refusal.value.errors()[0]["loc"][0] == field


@pytest.mark.parametrize("kind", [*DEVICES, *UNIT_CELLS])
def test_a_device_survives_its_own_description(kind):
    device = DEVICES[kind]() if kind in DEVICES else UNIT_CELLS[kind]()

    assert TypeAdapter(Cell).validate_python(device.model_dump()) == device


@pytest.mark.parametrize(
    ("make", "default"),
    [(Capacitor, CAPACITOR), (PcmMemory, PHASE_CHANGE), (Pcm, PHASE_CHANGE)],
)
def test_what_a_config_leaves_out_of_a_device_s_terminals_is_as_shipped(make, default):
    moved = make.model_validate({"electrical": {"read_v": 0.05}}).electrical

    assert moved == default.model_copy(update={"read_v": 0.05})

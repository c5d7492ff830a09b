"""Every shipped device against the formulas of its publication, and what devices may have more.

Statistics are of 4,096 devices, within 5 standard errors; seeds are fixed.
"""

import math

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from crossmesh.common.random import Stream
from crossmesh.emulator.config.loading import load_cell, presets
from crossmesh.tiles.analog.cells import Cell, Pair, SharedReference
from crossmesh.tiles.analog.crossbar import EXAMPLE_S, build
from crossmesh.tiles.analog.devices import (
    ConstantStep,
    ExpStep,
    LinearStep,
    Pcm,
    SoftBounds,
    StepDevice,
)
from crossmesh.tiles.analog.devices.kernels import LOWER, STEP_DOWN, STEP_UP, UPPER
from crossmesh.tiles.analog.update import UpdateConfig
from tests import naive

BOUND = 5  # standard errors
SHAPE = (64, 64)
STREAM = Stream(seed=31, owner=2)
ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)
SHIPPED = {name: load_cell(name) for name in presets()}
STEPPING = {name: cell for name, cell in SHIPPED.items() if isinstance(cell, StepDevice)}
shipped = pytest.mark.parametrize("name", SHIPPED)
stepping = pytest.mark.parametrize("name", STEPPING)


def crossbar_of(cell, shape=SHAPE, stream=STREAM):
    return build(cell, shape, stream, ONE_PULSE)


def pulse(crossbar, n=1, first=0, *, up=True):
    rows, cols = crossbar.weights.shape
    x, d = np.ones((1, rows), np.float32), np.full((1, cols), 1 if up else -1, np.float32)
    for e in range(first, first + n):
        crossbar.update(x, d, 1e3, e)


def hidden(crossbar):
    return crossbar.state()["conductance_0"]


def within(values, mean, deviation):
    """Mean and spread of independent values within their standard errors."""
    values = np.asarray(values, float).ravel()
    centred = values - values.mean()
    error = math.sqrt((centred**4).mean() - (centred**2).mean() ** 2) / (2 * deviation)
    assert abs(values.mean() - mean) < BOUND * deviation / math.sqrt(values.size)
    assert abs(values.std() - deviation) < BOUND * error / math.sqrt(values.size)


# Every shipped device


@stepping
def test_the_noise_of_a_pulse_is_its_law(name):
    known = type(SHIPPED[name]).model_fields
    off = {f: 0.0 for f in known if f.endswith("device_noise") or f == "reference_noise"}
    device = SHIPPED[name].model_copy(update=off | {"retention": None})
    if device.cycle_noise * device.step > 0.1:
        pytest.skip("a single pulse meets the bounds")
    for up in (True, False):
        crossbar = crossbar_of(device, (64, 128))
        crossbar.write(np.zeros((64, 128), np.float32))
        start = hidden(crossbar).copy()
        pulse(crossbar, up=up)
        parameters = device.sample((1, 1), STREAM, 0)[:, 0, 0]
        w = float(start[0, 0])
        assert np.ptp(start) == 0
        moved = hidden(crossbar) - start
        within(moved, naive.step(device, parameters, w, up), naive.noise(device, parameters, w, up))


@shipped
def test_a_shipped_device_survives_its_own_description(name):
    cell = SHIPPED[name]

    assert TypeAdapter(Cell).validate_python(cell.model_dump(mode="json")) == cell


def test_the_published_library_is_whole():
    assert {
        "reram-es-gong-2018", "reram-sb-gong-2018", "reram-om-2022", "reram-hfo2-2022",
        "capacitor-li-2018", "ecram-li-tang-2018", "ecram-mo-kim-2019", "idealized",
        "gokmen-vlasov-2016", "pcm-nandakumar-2018", "pcm-nandakumar-2020",
        "pcm-3t1c-ambrogio-2018",
    } <= set(SHIPPED)  # fmt: skip


# Write noise


def test_write_noise_is_seen_and_not_kept():
    device = ConstantStep(write_noise=50.0, step=0.001, upper=2, lower=-2)
    crossbar = crossbar_of(device)
    crossbar.write(np.zeros(SHAPE, np.float32))
    for k in range(3):
        pulse(crossbar, first=k)
        within(crossbar.weights - hidden(crossbar), 0, 0.05)
    quiet = crossbar_of(device.model_copy(update={"write_noise": 0.0}))
    quiet.write(np.zeros(SHAPE, np.float32))
    pulse(quiet, 3)
    np.testing.assert_array_equal(hidden(crossbar), hidden(quiet))


def test_write_noise_is_drawn_anew_where_a_device_is_pulsed():
    crossbar = crossbar_of(ConstantStep(write_noise=50.0))
    crossbar.write(np.zeros(SHAPE, np.float32))
    before = crossbar.weights.copy()
    x, d = np.zeros((1, 64), np.float32), np.zeros((1, 64), np.float32)
    x[0, 5], d[0, 7:9] = 1, 1

    crossbar.update(x, d, 1e3, 0)

    changed = np.argwhere(crossbar.weights != before)
    assert changed.tolist() == [[5, 7], [5, 8]]


# Spread


def test_log_normal_steps_have_a_normal_logarithm():
    device = ConstantStep(
        device_noise=0.5, device_noise_law="log_normal", asymmetry_device_noise=0, step=0.01
    )
    steps = device.sample((64, 64), STREAM, 0)

    within(np.log(steps[STEP_UP] / 0.01), 0, 0.5)
    np.testing.assert_array_equal(steps[STEP_UP], steps[STEP_DOWN])


# Retention


def test_conductance_is_lost_exponentially():
    tau = 5000 * EXAMPLE_S
    crossbar = crossbar_of(ConstantStep(retention={"time_s": tau}))
    crossbar.write(np.full(SHAPE, 0.1, np.float32))
    start = crossbar.weights.copy()
    x = np.zeros((1, 64), np.float32)
    for e in range(3200):
        crossbar.update(x, x, 1.0, e)

    np.testing.assert_allclose(crossbar.weights, start * math.exp(-3200 / 5000), rtol=1e-4)


def test_time_constants_differ_from_device_to_device():
    tau = 5000 * EXAMPLE_S
    crossbar = crossbar_of(ConstantStep(retention={"time_s": tau, "device_noise": 0.2}))
    crossbar.write(np.full(SHAPE, 0.01, np.float32))
    start = hidden(crossbar).copy()
    x = np.zeros((1, 64), np.float32)
    for e in range(3200):
        crossbar.update(x, x, 1.0, e)

    kept = hidden(crossbar) / start
    within(3200 / 5000 / -np.log(kept), 1, 0.2)


# One way


@pytest.mark.parametrize("cls", [ConstantStep, LinearStep, SoftBounds, ExpStep])
def test_down_pulses_do_nothing_to_a_device_of_one_way(cls):
    crossbar = crossbar_of(cls(one_way=True, lower=0, upper=1, step=0.01))
    crossbar.write(np.full(SHAPE, 0.3, np.float32))
    before = crossbar.weights.copy()

    pulse(crossbar, 5, up=False)
    np.testing.assert_array_equal(crossbar.weights, before)

    pulse(crossbar, 5, 5)
    assert (crossbar.weights > before).mean() > 0.95


def test_each_of_a_pair_of_one_way_devices_answers_to_one_direction():
    device = ConstantStep(one_way=True, lower=0, upper=1, step=0.01, cycle_noise=0)
    crossbar = crossbar_of(Pair(device=device))
    crossbar.write(np.zeros(SHAPE, np.float32))

    pulse(crossbar, 3)
    assert not crossbar.state()["conductance_1"].any()
    pulse(crossbar, 2, 3, up=False)

    state = crossbar.state()
    np.testing.assert_array_equal(crossbar.weights, state["conductance_0"] - state["conductance_1"])
    assert np.all(state["conductance_1"] > 0)


# References


@pytest.mark.parametrize(
    "device",
    [
        SoftBounds(symmetry_referenced=True, asymmetry=0.2, step=0.002),
        LinearStep(symmetry_referenced=True, asymmetry=0.1, gamma_up=0.4, gamma_down=0.7,
                   gamma_device_noise=0.05, asymmetry_device_noise=0.02),
    ],
)  # fmt: skip
def test_at_its_symmetry_point_a_device_is_seen_at_zero_and_steps_alike(device):
    crossbar = crossbar_of(device.model_copy(update={"cycle_noise": 0.0}))
    crossbar.write(np.zeros(SHAPE, np.float32))
    parameters = naive.parameters_of(device, SHAPE, STREAM)
    np.testing.assert_allclose(crossbar.weights, 0, atol=2e-5)  # bounds have 16 bits

    for at in np.ndindex(8, 64):
        w = float(hidden(crossbar)[at])
        free = parameters[LOWER][at] + 1e-3 < w < parameters[UPPER][at] - 1e-3
        up, down = (naive.step(device, parameters[:, *at], w, rising) for rising in (True, False))
        assert not free or up == pytest.approx(-down, rel=1e-2, abs=1e-8)


def test_references_scatter_as_described():
    device = SoftBounds(reference_mean=0.1, reference_noise=0.05, upper=2, lower=-2)
    crossbar = crossbar_of(device)
    crossbar.write(np.zeros(SHAPE, np.float32))

    within(hidden(crossbar), 0.1, 0.05)


def test_a_shared_reference_is_subtracted_along_its_word_line():
    device = SoftBounds(lower=0, upper=1, upper_device_noise=0, step=0.01)
    cell = SharedReference(device=device, reference_noise=0.02)
    crossbar = crossbar_of(cell)
    wanted = np.random.default_rng(0).uniform(-0.3, 0.3, SHAPE).astype(np.float32)

    crossbar.write(wanted)

    np.testing.assert_allclose(crossbar.weights, wanted, atol=1e-6)
    references = hidden(crossbar) - crossbar.weights
    assert np.ptp(references, axis=1).max() < 1e-6
    assert references[:, 0].std() == pytest.approx(0.02, rel=0.3)
    assert references.mean() == pytest.approx(0.5, abs=0.01)
    assert cell.reach == 0.5


# Stuck devices


@pytest.mark.parametrize("device", [ConstantStep(), SoftBounds(), ExpStep(), LinearStep(), Pcm()])
@pytest.mark.parametrize("at", ["on", "off", "random"])
def test_stuck_devices_do_not_move(device, at):
    section = {"stuck": {"fraction": 0.1, "at": at}}
    stuck = type(device).model_validate(device.model_dump() | section)
    crossbar = crossbar_of(stuck)
    crossbar.write(np.full(SHAPE, 0.2, np.float32))
    start = hidden(crossbar).copy()
    whole = naive.parameters_of(device, SHAPE, STREAM)
    still = naive.parameters_of(stuck, SHAPE, STREAM)[STEP_UP] == 0
    pulse(crossbar, 20)
    pulse(crossbar, 20, 20, up=False)

    assert abs(still.sum() - 410) < BOUND * math.sqrt(4096 * 0.1 * 0.9)
    np.testing.assert_allclose(hidden(crossbar)[still], start[still], atol=1e-4)
    assert np.mean(hidden(crossbar)[~still] != start[~still]) > 0.9
    if at != "random":
        bound = whole[UPPER if at == "on" else LOWER]
        np.testing.assert_allclose(start[still], bound[still], atol=1e-4)
    else:
        share = (start - whole[LOWER]) / (whole[UPPER] - whole[LOWER])
        within(share[still], 0.5, math.sqrt(1 / 12))


def test_a_map_says_which_devices_are_stuck():
    stuck = {"devices": [{"row": 1, "col": 2, "at": "on"}, {"row": 3, "col": 60},
                         {"row": 400, "col": 2}]}  # fmt: skip
    device = ConstantStep(stuck=stuck)
    still = naive.parameters_of(device, SHAPE, STREAM)[STEP_UP] == 0

    assert np.argwhere(still).tolist() == [[1, 2], [3, 60]]


@pytest.mark.parametrize(
    ("stuck", "rule"),
    [
        ({"fraction": 1.5}, "less than or equal to 1"),
        ({"at": "half"}, "'on', 'off' or 'random'"),
        ({"devices": [{"row": -1, "col": 0}]}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_stuck_is_refused(stuck, rule):
    with pytest.raises(ValidationError, match=rule):
        ConstantStep(stuck=stuck)


# Phase-change memory, Nandakumar et al. 2018; microsiemens


def micro(array):
    return np.asarray(array, float) * 12


def test_the_first_pulse_after_a_reset_is_the_published_one():
    """Without the bounds, which cut off a part."""
    crossbar = crossbar_of(Pcm(floor_siemens=0, cycle_noise=0.01))
    crossbar.write(np.zeros(SHAPE, np.float32))
    pulse(crossbar)

    memory = math.exp(-1 / 2.6)
    within(micro(hidden(crossbar)), 0.880 + 1.40 * memory, 0.01 * (0.260 + 2.15 * memory))


def test_later_pulses_depend_on_conductance_and_memory():
    crossbar = crossbar_of(Pcm(cycle_noise=0.05))
    crossbar.write(np.full(SHAPE, 0.5, np.float32))
    state = {name: array.copy() for name, array in crossbar.state().items()}
    state["history_0"][:] = 0.2
    crossbar.load(state)
    pulse(crossbar)

    memory = 0.2 * math.exp(-1 / 2.6)
    mean = -0.084 * 6 + 0.880 + 1.40 * memory
    within(micro(hidden(crossbar)) - 6, mean, 0.05 * (0.091 * 6 + 0.260 + 2.15 * memory))
    np.testing.assert_allclose(crossbar.state()["history_0"], memory, rtol=1e-6)


def test_the_mean_response_is_the_published_recursion():
    crossbar = crossbar_of(Pcm(cycle_noise=0), (1, 1))
    crossbar.write(np.zeros((1, 1), np.float32))
    g, memory = 0.1, 1.0
    memory = math.exp(-(0.027 * g**3 - 0.15 * g**2 + 0.81 * g) / 2.6)
    for k in range(30):
        pulse(crossbar, first=k)
        memory *= math.exp(-1 / 2.6)
        g = min(g + max(-0.084 * g + 0.880 + 1.40 * memory, 0), 12)
        assert micro(hidden(crossbar)).item() == pytest.approx(g, rel=1e-5)


def test_reads_fluctuate_as_published():
    crossbar = crossbar_of(Pair(device=Pcm()))
    crossbar.write(np.full(SHAPE, 0.4, np.float32))
    state = crossbar.state()
    deviations = [0.03 * micro(state[f"conductance_{part}"]) + 0.13 for part in range(2)]

    np.testing.assert_allclose(np.sqrt(crossbar.variance) * 12, np.hypot(*deviations), rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("full_scale_siemens", -1e-6, "greater than"),
        ("mean_offset_siemens", 0, "greater than"),
        ("floor_siemens", 20e-6, "floor_siemens must be below full_scale_siemens"),
        ("memory_pulses", 0, "greater than"),
        ("read_noise_slope", -1, "greater than or equal to 0"),
    ],
)
def test_phase_change_memory_that_cannot_be_is_refused(field, value, rule):
    with pytest.raises(ValidationError, match=rule):
        Pcm(**{field: value})

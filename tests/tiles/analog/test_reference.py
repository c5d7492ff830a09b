"""Devices, updates and reads against numbers recorded from IBM aihwkit 1.1.0.

The records lie beside the repository in ``shared/reference/aihwkit``; its README says how they were
made. Its random numbers differ from ours, so noisy figures are compared within sampling error:
5 standard errors of both samples together, estimated from ours. Seeds are fixed.

Recorded, and not compared here because nothing here can express it:

* Curves and steps of ``SoftBoundsReference_symsub``, ``PCM_OneSided_pair_refresh_on``,
  ``ReRamES``, ``EcRam``, ``EcRamMO``, ``Idealized``, ``GokmenVlasov`` and
  ``LinearStep_gamma_0.3_0.7_addnoise``: not in the record. It holds their granularity, which is
  compared; their models are compared with formulas in ``test_device_library.py``.
* Least and greatest values over devices: no sampling error is known.
* Mean and device spread of a soft-bounds device's steps away from zero and towards it: a device
  whose bound is near zero makes steps as large as one likes, so neither has a sampling error.
* Single outcomes of pulse type ``deterministic_implicit``: it rounds in a way of its own; compared
  as the mean rule. ``mean_count`` is our deterministic rule, exactly.
* Reads with stochastic rounding, constant or NP-sum noise management, worst-case bound management,
  PCM-like read noise or an output nonlinearity: ``ReadConfig`` has none of them.

Part 5 (drift of phase-change memory) is compared in ``tests/tiles/analog/test_programmed.py``.
"""

import math
from itertools import groupby

import numpy as np
import pytest

from crossmesh.emulator.config.loading import load_cell
from crossmesh.tiles.analog.cells import Pair
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import LinearStep, SoftBounds
from crossmesh.tiles.analog.devices.kernels import LOWER, UPPER
from tests import naive
from tests.tiles.analog.reference_material import (
    BOUND,
    DEVICES,
    ONE_PULSE,
    REFERENCE,
    SHAPE,
    STREAM,
    alike,
    hidden,
    noiseless,
    pulse,
    rows_of,
)

pytestmark = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="needs shared/reference/aihwkit beside the repository"
)


N_DEVICES = 64 * 64


PAIR = Pair(device=DEVICES["PCM_single"].model_copy(update={"one_way": True}))


SHIPPED = {  # by their names here
    "ReRamSB": "reram-sb-gong-2018", "ReRamES": "reram-es-gong-2018",
    "Capacitor": "capacitor-li-2018", "EcRam": "ecram-li-tang-2018",
    "EcRamMO": "ecram-mo-kim-2019", "Idealized": "idealized", "GokmenVlasov": "gokmen-vlasov-2016",
}  # fmt: skip


PULSED_IN_RECORD = (
    "ConstantStep", "LinearStep", "LinearStep_gamma_0.3_0.7", "SoftBounds", "SoftBoundsReference",
    "ExpStep", "ReRamSB", "Capacitor", "PCM_single",
)  # fmt: skip


recorded_devices = pytest.mark.parametrize("name", PULSED_IN_RECORD)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_devices_are_those_of_the_record(name):
    """But for the leakage of the capacitor, and what devices are at their terminals."""
    shipped, recorded = load_cell(SHIPPED[name]), DEVICES[name]
    ours = {"retention": None, "electrical": recorded.electrical}

    assert shipped.model_copy(update=ours) == recorded


def error_of_std(values, n):
    """Standard error of the standard deviation of ``n`` numbers like ``values``."""
    centred = values - values.mean()
    variance = (centred**2).mean()
    if variance == 0:
        return 0.0
    return math.sqrt(max((centred**4).mean() - variance**2, 0) / n / 4 / variance)


def curve(name, mode, device, shape=SHAPE):
    """Recorded rows of a curve, each with our crossbar at that point, one pulse per update."""
    crossbar = build(device, shape, STREAM, ONE_PULSE)
    sent = 0
    recorded = rows_of("part1_curves.csv", device=name, mode=mode)
    for phase, points in groupby(recorded, lambda row: row["phase"]):
        in_phase = 0
        for row in points:
            while phase != "start" and in_phase < int(row["pulses"]):
                pulse(crossbar, phase == "up", sent)
                sent, in_phase = sent + 1, in_phase + 1
            yield row, crossbar


CURVES = {**{name: DEVICES[name] for name in PULSED_IN_RECORD}, "PCM_OneSided_pair": PAIR}


recorded_curves = pytest.mark.parametrize("name", CURVES)


@pytest.mark.slow
@recorded_curves
def test_curves_without_variation_are_the_same(name):
    """To 2e-5, what float32 leaves after 5,000 steps added in another order."""
    compared = 0
    for row, crossbar in curve(name, "no_variation", noiseless(CURVES[name]), (2, 3)):
        np.testing.assert_allclose(hidden(crossbar), float(row["hidden_mean"]), atol=2e-5)
        compared += 1
    assert compared >= 43


@pytest.mark.slow
@recorded_curves
def test_curves_of_many_devices_have_the_same_mean_and_spread(name):
    """64 x 64 devices there, 128 x 64 here; the state, and what a read sees of it."""
    compared = 0
    for row, crossbar in curve(name, "default", CURVES[name], (128, 64)):
        if row["phase"] == "start":
            continue
        for seen, weights in (("hidden", hidden(crossbar)), ("visible", crossbar.weights)):
            mean, deviation = float(row[f"{seen}_mean"]), float(row[f"{seen}_std"])
            n = 1 / (1 / N_DEVICES + 1 / weights.size)
            assert abs(weights.mean() - mean) <= BOUND * weights.std() / math.sqrt(n)
            assert abs(weights.std() - deviation) <= BOUND * error_of_std(weights, n)
            compared += 1
    assert compared >= 84


def test_write_noise_is_as_large():
    crossbar = build(DEVICES["ReRamSB"], (128, 64), STREAM, ONE_PULSE)
    crossbar.write(np.zeros((128, 64), np.float32))
    for k in range(3):
        pulse(crossbar, True, k)
        difference = crossbar.weights - hidden(crossbar)
        for row in rows_of("part1_steps.csv", device="ReRamSB"):
            rms = float(row["write_noise_rms"])
            assert math.sqrt((difference**2).mean()) == pytest.approx(rms, rel=0.03)


def steps_from(device, start, up, repeats, shape=SHAPE):
    """Changes by one pulse ``(repeats, devices)`` of those devices that reach ``start``."""
    crossbar = build(device, shape, STREAM, ONE_PULSE)
    parameters = naive.parameters_of(device, shape, STREAM)
    reached = (parameters[LOWER] <= start) & (start <= parameters[UPPER])
    first = np.full(shape, start, np.float32)
    changes = np.empty((repeats, int(reached.sum())))
    for k in range(repeats):
        crossbar.write(first)
        pulse(crossbar, up, k)
        changes[k] = (hidden(crossbar) - first)[reached]
    return changes


def recorded_steps(name):
    rows = list(rows_of("part1_steps.csv", device=name))
    assert len(rows) == 10
    for row in rows:
        yield row, float(row["w_start"]), row["direction"] == "up"


@recorded_devices
def test_steps_without_variation_are_the_same(name):
    """To 1.2e-7, the resolution of a conductance near one, and what the record prints."""
    for row, start, up in recorded_steps(name):
        change = steps_from(noiseless(DEVICES[name]), start, up, 1, (1, 1)).item()
        assert change == pytest.approx(float(row["step_no_variation"]), abs=1.2e-7, rel=1e-5)


@pytest.mark.slow
@recorded_devices
def test_cycle_noise_has_the_same_mean_and_spread(name):
    """Device noise off: 1,024 devices, 100 repeats, there; 4,096 devices, 25 repeats, here.

    Recorded figures that should be equal (the spread of a constant step, whatever the weight)
    scatter about twice as much as independent draws would, so a quarter of the recorded draws
    counts.
    """
    for row, start, up in recorded_steps(name):
        changes = steps_from(alike(DEVICES[name]), start, up, 25)
        n = 1 / (4 / 102_400 + 1 / changes.size)
        mean, deviation = float(row["step_mean_c2c_only"]), float(row["c2c_std_c2c_only"])
        assert abs(changes.mean() - mean) <= BOUND * changes.std() / math.sqrt(n)
        assert abs(changes.std() - deviation) <= BOUND * error_of_std(changes, n)


def has_no_mean(device, start, up):
    """Whether a step goes away from a bound that may lie anywhere near zero."""
    return isinstance(device, SoftBounds) and start != 0 and up == (start < 0)


@pytest.mark.slow
@recorded_devices
def test_devices_have_the_same_mean_step_and_spread(name):
    """As many devices and repeats as recorded; variances, with the sampling error removed."""
    device = DEVICES[name]
    for row, start, up in recorded_steps(name):
        repeats = int(row["repeats"])
        changes = steps_from(device, start, up, repeats)
        counted = int(row["devices_counted"])
        n_devices = changes.shape[1]
        reach_error = math.sqrt(2 * N_DEVICES * max(1 - counted / N_DEVICES, 1e-4))
        assert abs(n_devices - counted) <= BOUND * reach_error
        n = 1 / (1 / counted + 1 / n_devices)

        cycle = changes.var(axis=0, ddof=1)
        means = changes.mean(axis=0)
        if has_no_mean(device, start, up):
            if device.multiplicative_noise:
                continue
        else:
            mean, spread = float(row["step_mean_default"]), float(row["d2d_std_of_mean_step"])
            assert abs(means.mean() - mean) <= BOUND * means.std() / math.sqrt(n)
            squares = (means - means.mean()) ** 2
            variance = squares.mean() - cycle.mean() / repeats
            assert abs(variance - spread**2) <= BOUND * squares.std() / math.sqrt(n)
        rms = float(row["c2c_std_rms_over_devices"])
        assert abs(cycle.mean() - rms**2) <= BOUND * cycle.std() / math.sqrt(n)


CONSTANTS = {"max_bound": 3, "min_bound": 2, "dwmin_up": 0, "dwmin_down": 1}


SLOPES = {"slope_up": (4, 0), "slope_down": (5, 1)}  # recorded as change of a step per weight


@recorded_devices
def test_device_constants_have_the_same_mean_and_spread(name):
    parameters = DEVICES[name].sample((256, 256), STREAM, 0).astype(float)
    compared = 0
    for row in rows_of("part1_device_constants.csv", device=name):
        if row["constant"] in CONSTANTS:
            ours = parameters[CONSTANTS[row["constant"]]]
        elif row["constant"] in SLOPES and isinstance(DEVICES[name], LinearStep):
            slope, step = SLOPES[row["constant"]]
            ours = parameters[slope] * parameters[step]
        else:
            continue
        compared += 1
        n = 1 / (1 / N_DEVICES + 1 / ours.size)
        assert abs(abs(ours.mean()) - abs(float(row["mean"]))) <= BOUND * ours.std() / math.sqrt(n)
        assert abs(ours.std() - float(row["std"])) <= BOUND * error_of_std(ours, n)
    assert compared >= 4


CASE = {"step": 0.001, "asymmetry_device_noise": 0.0, "cycle_noise": 0.0}

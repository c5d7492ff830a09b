"""Fits find the device that data came from, keep its spread, and refuse what is no measurement.

Data are made with known devices. Errors stated are of the estimate: what a measurement of so many
noisy pulses tells about a device, found by repeating it.
"""

import numpy as np
import pytest

from crossmesh.common.random import Stream
from crossmesh.emulator.characterisation.fit import figures
from crossmesh.emulator.characterisation.simulate import pulse, to_bottom
from crossmesh.emulator.characterisation.tables import read_measurement
from crossmesh.tiles.analog.crossbar import build
from tests.emulator.characterisation.fit_material import (
    OFFSET,
    ONE_PULSE,
    SCALE,
    fitted,
    measured,
    soft_bounds,
)


def changes(fit, w):
    """Mean changes of all tables at conductances of the device that was measured, in its units."""
    device = fit.device
    at = (OFFSET + SCALE * np.asarray(w) - device.offset) / device.scale
    up, down = (
        [[table.change(x, up=way) for x in at] for table in device.tables] for way in (True, False)
    )
    return np.array([up, down]) * device.scale / SCALE


MIDDLE = np.linspace(-0.8, 0.8, 9)


def test_without_noise_a_fit_is_the_device():
    """Steps within 3 % of a step, bounds where the pulses led."""
    measurement = measured(soft_bounds(), 1, 200)
    fit = fitted(measurement)

    up, down = changes(fit, MIDDLE)[:, 0]
    np.testing.assert_allclose(up, 0.02 * (1 - MIDDLE), atol=0.03 * 0.02)
    np.testing.assert_allclose(down, -0.02 * (1 + MIDDLE), atol=0.03 * 0.02)
    device = fit.device
    lowest, highest = (np.stack(measurement[1:3]).min(), np.stack(measurement[1:3]).max())
    assert device.offset == pytest.approx((lowest + highest) / 2, rel=0.01)
    assert device.scale == pytest.approx((highest - lowest) / 2, rel=0.01)
    assert (device.lower, device.upper) == pytest.approx((-1, 1), abs=1e-3)
    assert device.unit == "µS"


def test_with_noise_a_fit_finds_steps_and_both_noises():
    """64 devices, alike: within 15 % of a step (rms), their mean within 6 %, reading within 10 %.

    The mean response follows some of the random walk, so cycle noise is found up to 30 % low.
    """
    device = soft_bounds(cycle_noise=0.5, multiplicative_noise=False)
    measurement = measured(device, 64, 200, reading=0.03)
    fit = fitted(measurement)

    found, true = changes(fit, MIDDLE), 0.02 * np.array([1 - MIDDLE, -1 - MIDDLE])[:, None]
    assert np.sqrt(((found - true) ** 2).mean()) < 0.15 * 0.02
    assert np.abs(found.mean(axis=1) - true[:, 0]).max() < 0.06 * 0.02
    reported = figures(fit, measurement)
    assert 0.35 < reported["cycle_noise"] < 0.55
    assert reported["write_noise"] == pytest.approx(1.5, rel=0.1)
    assert reported["states"] == pytest.approx(100, rel=0.1)
    assert abs(reported["asymmetry"]) < 0.05


def test_the_pulses_of_several_cycles_tell_more():
    device = soft_bounds(cycle_noise=1.0)
    true = 0.02 * np.array([1 - MIDDLE, -1 - MIDDLE])[:, None]
    errors = [
        np.sqrt(((changes(fitted(measured(device, 8, 200, 0.05, n)), MIDDLE) - true) ** 2).mean())
        for n in (1, 16)
    ]
    assert errors[1] < 0.6 * errors[0]


def test_an_asymmetric_device_is_found_as_such():
    measurement = measured(soft_bounds(asymmetry=0.4), 1, 300)
    reported = figures(fitted(measurement), measurement)

    assert reported["asymmetry"] == pytest.approx(0.25, abs=0.03)  # (1 - 0.6) / (1 + 0.6)
    assert reported["nonlinearity_up"] > 0.5
    assert reported["step_spread"] is None


def test_a_fast_device_is_resolved_though_most_pulses_change_nothing():
    """Ten states, 400 pulses: all happens in the first thirty."""
    fit = fitted(measured(soft_bounds(step=0.2), 1, 400))

    np.testing.assert_allclose(changes(fit, MIDDLE)[0, 0], 0.2 * (1 - MIDDLE), atol=0.05 * 0.2)


def test_noise_that_lasts_a_few_pulses_is_no_cycle_noise():
    """A device that flips between two states adds spread, but no random walk."""
    measurement = measured(soft_bounds(step=0.01), 16, 500)
    rng = np.random.default_rng(2)
    for readings in (measurement.up, measurement.down):
        lasting = np.zeros(readings.shape)
        for n in range(1, readings.shape[2]):
            lasting[..., n] = 0.7 * lasting[..., n - 1] + rng.normal(size=readings.shape[:2])
        readings += 0.05 * SCALE * lasting
    reported = figures(fitted(measurement), measurement)

    assert reported["cycle_noise"] < 1  # where neighbours differ by five steps
    assert reported["write_noise"] == pytest.approx(0.05 / 0.01 / np.sqrt(1 - 0.7**2), rel=0.15)


def test_the_spread_of_hundreds_of_devices_survives():
    """Every device is found (correlation above 0.95), and emulated ones have the same spread."""
    device = soft_bounds(
        cycle_noise=0.3, device_noise=0.3, upper_device_noise=0.15, lower_device_noise=0.15
    )
    measurement = measured(device, 300, 150, reading=0.02)
    fit = fitted(measurement)

    true = device.sample((1, 300), Stream(seed=1, owner=0), 0)[:, 0]
    steps = changes(fit, [0.0])[0, :, 0]
    assert np.corrcoef(steps, true[0])[0, 1] > 0.95
    assert steps.std() == pytest.approx(true[0].std(), rel=0.1)
    uppers = [fit.device.offset + fit.device.scale * table.upper for table in fit.device.tables]
    assert np.corrcoef(uppers, measurement.up[:, 0, -10:].mean(axis=1))[0, 1] > 0.99

    crossbar = build(fit.device, (32, 64), Stream(seed=5, owner=0), ONE_PULSE)
    to_bottom(crossbar)
    for n in (20, 150):
        pulse(crossbar, n if n == 20 else 130, 0, up=True)
        emulated = fit.device.offset + fit.device.scale * crossbar.weights
        data = measurement.up[:, 0, n - 1]
        assert emulated.mean() == pytest.approx(data.mean(), abs=0.03 * SCALE)
        assert emulated.std() == pytest.approx(data.std(), rel=0.12)


def test_the_measured_reram_is_followed(shared):
    """Means of 50 readings, whose own error is about 0.1, against the mean of 1,024 devices."""
    path = shared / "data" / "device-rram" / "gong_et_al.csv"
    measurement = read_measurement(path)
    fit = fitted(measurement)

    for readings, response, up in (
        (measurement.up, fit.up, True),
        (measurement.down, fit.down, False),
    ):
        crossbar = build(fit.device, (16, 64), Stream(seed=1, owner=0), ONE_PULSE)
        start = (response.mean[0, 0] - fit.device.offset) / fit.device.scale
        crossbar.write(np.full((16, 64), start, np.float32))
        means = []
        for block in range(20):
            pulse(crossbar, 25, 50 * block, up=up)
            means.append(fit.device.offset + fit.device.scale * float(crossbar.weights.mean()))
            pulse(crossbar, 25, 50 * block + 25, up=up)
        data = readings.reshape(20, 50).mean(axis=1)
        assert np.sqrt(((means - data) ** 2).mean()) < 0.1
    reported = figures(fit, measurement)
    # aihwkit's fit to these data has 5 steps of cycle noise and 75 of write noise
    assert 2 < reported["cycle_noise"] < 8
    assert 50 < reported["write_noise"] < 100
    assert 700 < reported["states"] < 1300

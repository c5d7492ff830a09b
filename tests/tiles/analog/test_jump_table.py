"""A jump table moves devices as it says, and keeps the spread between those that were measured."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from crossmesh.tiles.analog.cells import Pair
from crossmesh.tiles.analog.devices import JumpTable
from crossmesh.tiles.analog.devices.jump_table import TABLE, StepTable
from crossmesh.tiles.analog.devices.kernels import LOWER, UPPER
from crossmesh.tiles.analog.parameters import Parameters
from tests.jobs import TABLES
from tests.tiles.analog.device_material import (
    BOUND,
    STREAM,
    assert_spread,
    crossbar_of,
    send_pulses,
)

FLAT = {"lower": -1.0, "upper": 1.0, "up_noise": [0.0, 0.0], "down_noise": [0.0, 0.0]}


def flat(rise, fall=0.01, **changes):
    """A table of constant steps."""
    return {**FLAT, "up": [rise, rise], "down": [-fall, -fall], **changes}


def test_between_points_a_table_is_a_straight_line():
    """Changes of devices with one table, pulsed once from many conductances, to float32."""
    device = JumpTable(tables=TABLES[:1], cycle_noise=0)
    start = np.linspace(-1, 0.9, 301, dtype=np.float32)[None]
    for up, column in ((True, "up"), (False, "down")):
        crossbar = crossbar_of(device, start.shape)
        crossbar.write(start)

        send_pulses(crossbar, 1 if up else -1)

        change = np.interp(start, np.linspace(-1, 0.9, 5), TABLES[0][column])
        expected = np.clip(start + change, -1, 0.9)
        np.testing.assert_allclose(crossbar.weights, expected, atol=3e-7)


def test_devices_draw_the_measured_ones_evenly_and_each_pair_member_its_own():
    device = JumpTable(tables=[flat(0.01 * (k + 1)) for k in range(4)])
    drawn = [device.sample((128, 128), STREAM, part)[TABLE] for part in range(2)]

    for numbers in drawn:
        counts = np.bincount(numbers.astype(int).ravel(), minlength=4)
        assert np.all(np.abs(counts - 4096) < BOUND * math.sqrt(16384 * 3 / 16))
    alike = np.mean(drawn[0] == drawn[1])
    assert abs(alike - 1 / 4) < BOUND * math.sqrt(3 / 16 / 16384)


@pytest.mark.parametrize("n", [2, 3, 1000, 32768])
def test_the_number_of_a_table_survives_being_kept_in_16_bits(n):
    device = JumpTable.model_construct(
        tables=[StepTable.model_construct(lower=-1.0, upper=1.0)] * n, device_noise=0.0
    )
    sample = device.sample((64, 512), STREAM, 0)
    kept = Parameters.packed(sample).values(TABLE)

    assert sample[TABLE].max() < n
    np.testing.assert_array_equal((kept + np.float32(0.5)).astype(int), sample[TABLE])


def test_bounds_and_steps_of_a_device_are_of_one_table():
    device = JumpTable(
        tables=[flat(0.01, lower=-0.5, upper=0.3), flat(0.02, lower=-0.8, upper=0.6)]
    )
    crossbar = crossbar_of(device, (16, 64))
    parameters = device.sample((16, 64), STREAM, 0)

    send_pulses(crossbar, 10)

    expected = np.where(parameters[TABLE] == 0, 0.1, 0.2)
    np.testing.assert_allclose(crossbar.weights, expected, rtol=1e-4)
    np.testing.assert_array_equal(parameters[UPPER] == np.float32(0.3), expected == 0.1)
    np.testing.assert_array_equal(parameters[LOWER] == np.float32(-0.5), expected == 0.1)


def test_noise_has_the_direction_of_the_pulse_where_its_mean_is_zero():
    """Both means vanish at the lower bound, their noises differ."""
    table = {
        "lower": -1.0, "upper": 1.0, "up": [0.0, 0.01], "down": [0.0, -0.01],
        "up_noise": [0.02, 0.02], "down_noise": [0.05, 0.05],
    }  # fmt: skip
    for n_pulses, noise in ((1, 0.02), (-1, 0.05)):
        crossbar = crossbar_of(JumpTable(tables=[table]), (128, 128))
        crossbar.write(np.full((128, 128), -1.0, np.float32))

        send_pulses(crossbar, n_pulses)

        moved = crossbar.weights + 1  # half of the devices are held by the bound
        assert_spread(np.where(moved > 0, moved, 0), noise / math.sqrt(2 * math.pi),
                      noise * math.sqrt(1 / 2 - 1 / (2 * math.pi)))  # fmt: skip


def test_spread_beyond_the_tables_scales_all_changes_of_a_device():
    """Each device's changes by one factor, which is 1 in the mean with a deviation of 0.2."""
    device = JumpTable(tables=[flat(0.004, fall=0.002)], device_noise=0.2)
    crossbar = crossbar_of(device, (128, 128))
    send_pulses(crossbar, 10)
    risen = crossbar.weights.copy()
    send_pulses(crossbar, -10)

    assert_spread(risen / 0.04, 1, 0.2)
    np.testing.assert_allclose(risen - crossbar.weights, risen / 2, atol=1e-6)


def test_trains_are_scaled_for_the_mean_change_at_zero():
    device = JumpTable(tables=[flat(0.01, fall=0.02), flat(0.03, fall=0.04)])

    assert device.granularity == pytest.approx(0.025)
    assert device.reach == 1.0
    assert JumpTable(tables=TABLES).reach == pytest.approx((0.9 + 0.8 + 0.5) / 3)


def test_a_mean_may_turn_its_sign_somewhere():
    """As noise in a measurement makes it."""
    JumpTable(tables=[{**flat(0.01), "up": [0.02, -0.001]}])


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"up": [0.01]}, "Tuple should have at least 2 items"),
        ({"up": [0.01, float("nan")]}, "finite number"),
        ({"up": [0.01, "a"]}, "valid number"),
        ({"up_noise": [0.0, -0.1]}, "greater than or equal to 0"),
        ({"down": [-0.1] * 3}, r"down must have as many points as up \(2\), got 3"),
        ({"up_noise": [0.1] * 3}, r"up_noise must have as many points as up \(2\), got 3"),
        ({"upper": -1.0}, r"upper must be above lower \(-1\.0\), got -1\.0"),
        ({"up": [0.01, -0.02]}, r"up must be above 0 on average, got -0\.005"),
        ({"down": [0.0, 0.0]}, r"down must be below 0 on average, got 0"),
        ({"speed": 1}, "Extra inputs are not permitted"),
    ],
)
@pytest.mark.parametrize("cell", [JumpTable, Pair])
def test_a_table_that_makes_no_sense_is_refused(cell, changes, rule):
    device = {"kind": "jump_table", "tables": [{**flat(0.01), **changes}]}
    with pytest.raises(ValidationError, match=rule):
        cell(device=device) if cell is Pair else cell(**device)


@pytest.mark.parametrize(
    ("device", "rule"),
    [
        ({"tables": []}, "at least 1 item"),
        ({"tables": [flat(0.01), {**TABLES[0]}]}, r"tables\.1 must have as many points as the fi"),
        ({"tables": [flat(0.01, lower=0.1)]}, "must reach from below 0 to above 0 on average, got"),
        (
            {"tables": [{**flat(0.01), "up": [0.1, -0.05], "down": [0.01, -0.02], "upper": 0.1}]},
            r"must move up by up pulses and down by down pulses at w == 0 on average, got -0\.00",
        ),
        ({"tables": [flat(0.01)], "cycle_noise": -1}, "greater than or equal to 0"),
        ({"tables": [flat(0.01)], "device_noise": -1}, "greater than or equal to 0"),
        ({"tables": [flat(0.01)], "scale": 0}, "greater than 0"),
    ],
)
def test_tables_that_make_no_array_are_refused(device, rule):
    with pytest.raises(ValidationError, match=rule):
        JumpTable(**device)

"""What several tests of devices need."""

import math

import numpy as np
import pytest

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import (
    DEVICES,
    ConstantStep,
    ExpStep,
    JumpTable,
    LinearStep,
    SoftBounds,
    StepDevice,
)
from crossmesh.tiles.analog.update import UpdateConfig
from tests import naive
from tests.jobs import DEVICE_SETTINGS, TABLES

BOUND = 5  # standard errors


ALIKE = {
    "device_noise": 0.0,
    "asymmetry_device_noise": 0.0,
    "upper_device_noise": 0.0,
    "lower_device_noise": 0.0,
}


STEPPING = [cls for cls in DEVICES.values() if issubclass(cls, StepDevice)]


ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)


STREAM = Stream(seed=20, owner=1)


# Each rule as it is shipped, and where it differs most from a constant step. Those of Pcm, which
# has a memory, have tests of their own.
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
VARIANTS |= {
    kind: cls(**DEVICE_SETTINGS.get(kind, {}))
    for kind, cls in DEVICES.items()
    if kind not in VARIANTS and not cls.has_history
}
FORMULAS = {name: device for name, device in VARIANTS.items() if naive.has_formula(device)}


variants = pytest.mark.parametrize("device", VARIANTS.values(), ids=VARIANTS)


with_formula = pytest.mark.parametrize("device", FORMULAS.values(), ids=FORMULAS)


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

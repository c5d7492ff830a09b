"""What several tests of reference need."""

import csv
from pathlib import Path

import numpy as np

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.cells import Pair
from crossmesh.tiles.analog.devices import ConstantStep, Device, ExpStep, LinearStep, SoftBounds
from crossmesh.tiles.analog.update import UpdateConfig

REFERENCE = Path(__file__).parents[3].parent / "shared" / "reference" / "aihwkit"


BOUND = 5  # standard errors


SHAPE = (64, 64)


ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)


STREAM = Stream(seed=11, owner=0)


LINEAR = {"gamma_up": 0.3, "gamma_down": 0.7}


RERAM = {
    "upper": 1.25, "upper_device_noise": 0.24, "lower": -0.75, "lower_device_noise": 0.4,
    "multiplicative_noise": False,
}  # fmt: skip


ECRAM = {"device_noise": 0.1, "upper_device_noise": 0.05, "lower_device_noise": 0.05}


UNIT = {"upper": 1.0, "lower": -1.0}


DEVICES: dict[str, Device] = {
    "ConstantStep": ConstantStep(),
    "LinearStep": LinearStep(),
    "LinearStep_gamma_0.3_0.7": LinearStep(**LINEAR),
    "LinearStep_gamma_0.3_0.7_addnoise": LinearStep(**LINEAR, multiplicative_noise=False),
    "SoftBounds": SoftBounds(),
    "SoftBoundsReference": SoftBounds(multiplicative_noise=False),
    "ExpStep": ExpStep(),
    "ReRamSB": SoftBounds(step=0.002, cycle_noise=3.75, write_noise=56.0, **RERAM),
    "ReRamES": ExpStep(
        step=0.00135, device_noise=0.2, cycle_noise=5.0, asymmetry=0.259359,
        asymmetry_device_noise=0.05, a_up=-1.18445, a_down=-0.081404, gamma_up=5, gamma_down=5,
        a=-0.5, b=-0.5, write_noise=75.0, **UNIT,
    ),
    "Capacitor": LinearStep(
        step=0.005, device_noise=0.1, asymmetry_device_noise=0.06, upper_device_noise=0.07,
        lower_device_noise=0.07, gamma_up=0.05, gamma_down=0.05, gamma_device_noise=0.01,
        multiplicative_noise=False, **UNIT,
    ),
    "EcRam": LinearStep(
        step=0.002, upper=1.1724, lower=-0.8276, gamma_up=0.1153, gamma_down=0.5085, **ECRAM
    ),
    "EcRamMO": LinearStep(
        step=0.00028214, cycle_noise=2.0, upper=1.1714, lower=-0.8286, gamma_up=0.4152,
        gamma_down=0.7342, **ECRAM,
    ),
    "Idealized": ConstantStep(step=0.0002, asymmetry_device_noise=0, **UNIT),
    "GokmenVlasov": ConstantStep(step=0.0016, **UNIT),
    "PCM_single": ExpStep(
        step=0.01, device_noise=0.2, cycle_noise=0.6, asymmetry_device_noise=0.05, upper=2,
        upper_device_noise=0.1, lower=0, a_up=-27.235, a_down=-2.235, gamma_up=2.5,
        gamma_down=2.5, a=-1, b=0, noise_offset=0.042, noise_slope=0.108,
    ),
}  # fmt: skip


def rows_of(file, **wanted):
    with (REFERENCE / file).open() as lines:
        for row in csv.DictReader(lines):
            if all(row[key] == value for key, value in wanted.items()):
                yield row


def alike(device):
    """The same device without spread between devices."""
    if isinstance(device, Pair):
        return device.model_copy(update={"device": alike(device.device)})
    fields = [field for field in type(device).model_fields if field.endswith("device_noise")]
    return device.model_copy(update=dict.fromkeys(fields, 0.0))


def noiseless(device):
    if isinstance(device, Pair):
        return device.model_copy(update={"device": noiseless(device.device)})
    return alike(device).model_copy(update={"cycle_noise": 0.0})


def pulse(crossbar, up, k):
    rows, cols = crossbar.weights.shape
    x = np.ones((1, rows), np.float32)
    d = np.full((1, cols), 1 if up else -1, np.float32)
    crossbar.update(x, d, 100.0, k)


def hidden(crossbar):
    """The state that pulses move, of one device or of a pair's difference."""
    state = crossbar.state()
    return state["conductance_0"].astype(float) - state.get("conductance_1", 0.0)

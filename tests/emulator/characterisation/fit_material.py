"""What several tests of fit need."""

import csv

import numpy as np
import pytest

from crossmesh.common.random import Stream
from crossmesh.emulator.characterisation.fit import fit_device
from crossmesh.emulator.characterisation.simulate import pulse, to_bottom
from crossmesh.emulator.characterisation.tables import PulseMeasurement
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import SoftBounds
from crossmesh.tiles.analog.update import UpdateConfig

ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)


OFFSET, SCALE = 12.0, 8.0  # microsiemens


ALIKE = {
    "device_noise": 0.0,
    "asymmetry_device_noise": 0.0,
    "upper_device_noise": 0.0,
    "lower_device_noise": 0.0,
}


def soft_bounds(**fields):
    return SoftBounds(
        **{"step": 0.02, "upper": 1.0, "lower": -1.0, "cycle_noise": 0.0, **ALIKE, **fields}
    )


def measured(device, n_devices, n_pulses, reading=0.0, cycles=1, seed=1):
    """Readings of emulated devices, in microsiemens: up from the bottom, then down, in cycles."""
    stream = Stream(seed=seed, owner=0)
    crossbar = build(device, (1, n_devices), stream, ONE_PULSE)
    to_bottom(crossbar)
    shown = np.empty((2, n_devices, cycles, n_pulses))
    for c in range(cycles):
        for way in range(2):
            for n in range(n_pulses):
                pulse(crossbar, 1, (2 * c + way) * n_pulses + n, up=way == 0)
                shown[way, :, c, n] = crossbar.weights[0]
    shown += reading * np.random.default_rng(seed).normal(size=shown.shape)
    names = [str(k) for k in range(n_devices)]
    return PulseMeasurement(names, *(OFFSET + SCALE * shown))


def fitted(measurement, tmp_path=None, **options):
    defaults = {"n_points": 32, "device_noise": 0.0, "unit": "µS"}
    return fit_device(measurement, "data.csv", **{**defaults, **options})


def wide_columns(measurement):
    return {
        f"{way}_{name}": readings[k, 0]
        for k, name in enumerate(measurement.names)
        for way, readings in (("up", measurement.up), ("down", measurement.down))
    }


def write_csv(path, head, rows, **options):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **options).writerows([*head, *rows])


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A file of 20 devices in the current folder."""
    measurement = measured(soft_bounds(device_noise=0.2, cycle_noise=0.3), 20, 60, 0.01)
    columns = wide_columns(measurement)
    write_csv(tmp_path / "mine.csv", [columns], zip(*columns.values(), strict=True))
    monkeypatch.chdir(tmp_path)
    return tmp_path

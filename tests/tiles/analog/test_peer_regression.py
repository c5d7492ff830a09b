"""Regression by noisy gradients under asymmetric devices, against the means that aihwkit gives.

Its 20 seeds are not ours, so means are compared, within three standard errors of both.
"""

import csv

import numpy as np
import pytest

from crossmesh.tiles.analog.algorithms import MixedPrecision, Sgd, TikiTaka, TikiTaka2
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.devices import SoftBounds
from crossmesh.tiles.analog.tile import Tile, TileConfig
from crossmesh.tiles.analog.update import UpdateConfig
from tests.tiles.analog.peer_traces import EXACT_READ

pytestmark = pytest.mark.slow

IN, OUT = 16, 8
STEPS = 12_000
SEEDS = 4
ASYMMETRY = 0.1
LEAST = 0.003  # of the tolerance: rates and initial states are alike, not equal
_ONE = UpdateConfig(length=1, update_management=False, length_management=False)
FAST = {"fast_rate": 0.05, "read": EXACT_READ}
# Name in the record (with 0: the symmetry point is subtracted), rate, and algorithm.
CASES = {
    "sgd": (0.02, Sgd()),
    "sgd0": (0.02, Sgd()),
    "mp": (0.005, MixedPrecision(start=2, line="bit", write=UpdateConfig(), longest=32767)),
    "ttv1": (0.02, TikiTaka(**FAST)),
    "ttv10": (0.02, TikiTaka(**FAST)),
    "ttv20": (0.02, TikiTaka2(**FAST, write=_ONE)),
}


def error_of(algorithm, rate, seed, *, is_referenced):
    """Root mean square of ``W - T`` over the last tenth of the steps."""
    rng = np.random.default_rng(seed)
    device = SoftBounds(
        step=0.005, device_noise=0.3, cycle_noise=0.3, multiplicative_noise=False,
        upper=1.0, lower=-1.0, upper_device_noise=0.1, lower_device_noise=0.1,
        asymmetry=ASYMMETRY, asymmetry_device_noise=0.05, symmetry_referenced=is_referenced,
    )  # fmt: skip
    config = TileConfig(cell=algorithm.cell(device), read=EXACT_READ)
    tile = Tile(config, Block(tile=0, layer="", row=0, col=0, shape=(IN, OUT)), 1.0, seed)
    tile.write(np.zeros((IN, OUT), np.float32))
    target = rng.uniform(-0.5, 0.5, (IN, OUT)).astype(np.float32)
    x = rng.uniform(-1, 1, (STEPS, 1, IN)).astype(np.float32)
    noise = (0.2 * rng.standard_normal((STEPS, 1, OUT))).astype(np.float32)
    errors = []
    for step in range(STEPS):
        wrong = tile.weights - target
        tile.update(x[step], -(x[step] @ wrong + noise[step]), rate, step)
        if step >= STEPS - STEPS // 10:
            errors.append(np.sqrt(np.mean(np.square(tile.weights - target))))
    return float(np.mean(errors))


@pytest.fixture(scope="module")
def recorded(shared):
    with (shared / "reference" / "algorithms" / "regression_12000.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        (row["case"], float(row["lr"])): row for row in rows if float(row["up_down"]) == ASYMMETRY
    }


@pytest.mark.parametrize("name", CASES)
def test_errors_are_as_the_peer_has_them(name, recorded):
    rate, algorithm = CASES[name]
    row = recorded[name, rate]

    found = [
        error_of(algorithm, rate, seed, is_referenced=name.endswith("0")) for seed in range(SEEDS)
    ]

    mean, spread, n = (float(row[k]) for k in ("rms_error_mean", "rms_error_std", "seeds"))
    error = np.sqrt(spread**2 / n + spread**2 / SEEDS)
    assert abs(np.mean(found) - mean) <= max(3 * error, LEAST)

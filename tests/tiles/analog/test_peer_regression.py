"""Regression by noisy gradients under asymmetric devices, against the means that aihwkit gives.

Its seeds are not ours, so means are compared, within three standard errors of both. The record does
not name the settings of its transfers; these are the ones that give its errors at every time.
"""

import csv

import numpy as np
import pytest

from crossmesh.tiles.analog.algorithms import (
    Agad,
    ChoppedTikiTaka2,
    MixedPrecision,
    Sgd,
    TikiTaka,
    TikiTaka2,
)
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.devices import SoftBounds
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.analog.update import UpdateConfig
from tests.tiles.analog.peer_traces import EXACT_READ

pytestmark = pytest.mark.slow

IN, OUT = 16, 8
SEEDS = 2
FAST = {"fast_rate": 0.1, "read": EXACT_READ}
KEEP = {**FAST, "forget": False, "momentum": 0.0}  # a buffer keeps what one pulse cannot write
# Name in the record, which ends with 0 where the symmetry point is subtracted.
ALGORITHMS = {
    "sgd": Sgd(),
    "mp": MixedPrecision(start=2, line="bit", write=UpdateConfig(), longest=32767),
    "ttv1": TikiTaka(**FAST),
    "ttv1g": TikiTaka(**FAST, visible=0.5),
    "ttv2": TikiTaka2(**KEEP),
    "cttv2": ChoppedTikiTaka2(**KEEP, chop=0.1),
    "agad": Agad(**KEEP, chop=0.1),
}
SHORT = [(name, rate, 4_000) for name in ("sgd", "sgd0", "mp") for rate in (0.02, 0.1)]
SHORT += [(name, 0.1, 4_000) for name in ("ttv1", "ttv10", "ttv1g")]
SHORT += [(name, rate, 4_000) for name in ("ttv2", "ttv20", "cttv2", "agad")
          for rate in (0.005, 0.02)]  # fmt: skip
LONG = [("mp", 0.005, 12_000), ("ttv10", 0.02, 12_000), ("ttv20", 0.02, 12_000),
        ("cttv2", 0.1, 12_000), ("agad", 0.02, 12_000), ("agad", 0.1, 12_000)]  # fmt: skip


def error_of(case, asymmetry, rate, steps, seed):
    """Root mean square of ``W - T`` over the last tenth of the steps."""
    rng = np.random.default_rng(seed)
    algorithm = ALGORITHMS[case.rstrip("0")]
    device = SoftBounds(
        step=0.005, device_noise=0.3, cycle_noise=0.3, multiplicative_noise=False,
        upper=1.0, lower=-1.0, upper_device_noise=0.1, lower_device_noise=0.1,
        asymmetry=asymmetry, asymmetry_device_noise=0.05, symmetry_referenced=case.endswith("0"),
    )  # fmt: skip
    config = TileConfig(cell=algorithm.cell(device), read=EXACT_READ)
    tile = Tile(config, Block(tile=0, layer="", row=0, col=0, shape=(IN, OUT)), 1.0, seed)
    tile.write(np.zeros((IN, OUT), np.float32))
    target = rng.uniform(-0.5, 0.5, (IN, OUT)).astype(np.float32)
    x = rng.uniform(-1, 1, (steps, 1, IN)).astype(np.float32)
    noise = (0.2 * rng.standard_normal((steps, 1, OUT))).astype(np.float32)
    errors = []
    for step in range(steps):
        wrong = tile.weights - target
        tile.update(x[step], -(x[step] @ wrong + noise[step]), rate, step)
        if step >= steps - steps // 10:
            errors.append(np.sqrt(np.mean(np.square(tile.weights - target))))
    return float(np.mean(errors))


@pytest.fixture(scope="module")
def recorded(shared):
    """Rows of both files by case, asymmetry, rate and steps."""
    rows = {}
    for steps in (4_000, 12_000):
        path = shared / "reference" / "algorithms" / f"regression_{steps}.csv"
        with path.open() as file:
            for row in csv.DictReader(file):
                rows[row["case"], float(row["up_down"]), float(row["lr"]), steps] = row
    return rows


@pytest.mark.parametrize("asymmetry", [0.0, 0.1, 0.3])
@pytest.mark.parametrize(("case", "rate", "steps"), SHORT)
def test_errors_after_few_steps_are_as_the_peer_has_them(case, rate, steps, asymmetry, recorded):
    _compare(case, asymmetry, rate, steps, recorded)


@pytest.mark.parametrize("asymmetry", [0.1, 0.3])
@pytest.mark.parametrize(("case", "rate", "steps"), LONG)
def test_errors_at_the_end_are_as_the_peer_has_them(case, rate, steps, asymmetry, recorded):
    _compare(case, asymmetry, rate, steps, recorded)


def _compare(case, asymmetry, rate, steps, recorded):
    row = recorded[case, asymmetry, rate, steps]
    alike = [r for key, r in recorded.items() if key[:2] == (case, asymmetry)]
    spread = max(float(r["rms_error_std"]) for r in alike)  # some have two seeds: too few for it
    error = spread * np.sqrt(1 / float(row["seeds"]) + 1 / SEEDS)

    found = [error_of(case, asymmetry, rate, steps, seed) for seed in range(SEEDS)]

    assert abs(np.mean(found) - float(row["rms_error_mean"])) <= 3 * error

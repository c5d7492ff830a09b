"""Pulses that are counted for each device, rather than coincidences of trains."""

import csv
import json
import math

import numpy as np
import pytest

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.cells import Pair
from crossmesh.tiles.analog.cells.ideal import GRANULARITY, Ideal
from crossmesh.tiles.analog.cells.pcm_3t1c.capacitor_cells import Capacitor
from crossmesh.tiles.analog.cells.pcm_3t1c.cell import Pcm3T1C
from crossmesh.tiles.analog.cells.refresh import Refresh
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import ConstantStep, Pcm, SoftBounds
from crossmesh.tiles.analog.update import UpdateConfig
from tests import naive
from tests.tiles.analog.test_conformance import EVERY
from tests.tiles.analog.test_update import draw, quiet

SHAPE = (6, 70)
COUNTED = UpdateConfig(trains="counted")
every_cell = pytest.mark.parametrize("cell", EVERY.values(), ids=EVERY)


def some_counts(seed, rows=SHAPE[0], most=9):
    rng = np.random.default_rng(seed)
    counts = rng.integers(-most, most + 1, (rows, SHAPE[1])).astype(np.int16)
    counts[rng.random(counts.shape) < 0.5] = 0
    return counts


def filled(cell, seed=0, weight=0.1):
    crossbar = build(cell, SHAPE, Stream(seed=seed, owner=1), COUNTED)
    crossbar.write(weight * draw(seed, *SHAPE))
    return crossbar


@quiet
def test_devices_move_as_many_pulses_as_are_counted(device):
    stream = Stream(seed=3, owner=1)
    crossbar = filled(device, seed=3)
    parameters = naive.parameters_of(device, SHAPE, stream)
    expected = crossbar.weights.astype(float)
    counts = some_counts(0, rows=4)

    crossbar.pulse_counts(counts, slice(2, 6), 17)

    for (n, j), count in np.ndenumerate(counts):
        for _ in range(abs(count)):
            i = 2 + n
            expected[i, j] = naive.pulse(device, parameters[:, i, j], expected[i, j], count > 0)
    np.testing.assert_allclose(crossbar.weights, expected, atol=5e-6, rtol=1e-5)
    assert crossbar.pulses == np.abs(counts.astype(int)).sum()


@every_cell
def test_a_cell_moves_alike_among_few_and_among_many(cell):
    many = some_counts(2)
    few = np.where(np.random.default_rng(3).random(SHAPE) < 0.05, many, 0).astype(np.int16)
    among_few, among_many = filled(cell), filled(cell)

    among_few.pulse_counts(few, slice(0, SHAPE[0]), 7)
    among_many.pulse_counts(many, slice(0, SHAPE[0]), 7)

    pulsed = few != 0
    assert pulsed.any()
    np.testing.assert_array_equal(among_few.weights[pulsed], among_many.weights[pulsed])


@every_cell
def test_cells_without_pulses_stay_as_they_are(cell):
    crossbar = filled(cell)
    before = {name: array.copy() for name, array in crossbar.state().items()}
    weights, counts = crossbar.weights.copy(), some_counts(1, rows=3)

    crossbar.pulse_counts(np.zeros((3, SHAPE[1]), np.int16), slice(0, 3), 4)
    for name, array in crossbar.state().items():
        np.testing.assert_array_equal(array, before[name])
    crossbar.pulse_counts(counts, slice(1, 4), 5)

    silent = np.ones(SHAPE, np.bool_)
    silent[1:4] = counts == 0
    np.testing.assert_array_equal(crossbar.weights[silent], weights[silent])
    assert (crossbar.weights != weights).any()


@every_cell
def test_weights_move_to_the_sign_of_their_counts(cell):
    up, down = filled(cell, weight=0), filled(cell, weight=0)
    middle = up.weights.mean()
    counts = np.full(SHAPE, 12, np.int16)

    up.pulse_counts(counts, slice(0, 6), 0)
    down.pulse_counts(-counts, slice(0, 6), 0)

    assert up.weights.mean() > middle
    assert down.weights.mean() <= middle


@every_cell
def test_noise_follows_the_example_and_the_word_line(cell):
    """Not how many word lines one call has."""
    whole, parts, later = (filled(cell) for _ in range(3))
    counts = some_counts(2)

    whole.pulse_counts(counts, slice(0, 6), 7)
    parts.pulse_counts(counts[:2], slice(0, 2), 7)
    parts.pulse_counts(counts[2:], slice(2, 6), 7)
    later.pulse_counts(counts, slice(0, 6), 8)

    np.testing.assert_array_equal(whole.weights, parts.weights)
    if not isinstance(cell, Ideal):
        assert not np.array_equal(whole.weights, later.weights)


def test_every_pulse_has_noise_of_its_own():
    device = SoftBounds(step=0.01, cycle_noise=1.0, upper=100, lower=-100, device_noise=0)
    crossbar = build(device, (100, 200), Stream(seed=1, owner=0), COUNTED)
    spread = device.step * math.sqrt(25)

    crossbar.pulse_counts(np.full((100, 200), 25, np.int16), slice(0, 100), 0)

    assert abs(crossbar.weights.std() / spread - 1) < 0.03


def test_an_ideal_weight_moves_by_its_step_however_far():
    crossbar = build(Ideal(), SHAPE, Stream(seed=0, owner=0), COUNTED)
    counts = np.full(SHAPE, 30000, np.int16)

    crossbar.pulse_counts(counts, slice(0, 6), 0)

    np.testing.assert_allclose(crossbar.weights, 30000 * GRANULARITY)


def test_pairs_that_are_full_are_refreshed_at_once():
    device = Pcm(cycle_noise=0)
    cell = Pair(device=device, refresh=Refresh(every=1000, saturation=0.75, difference=0.25))
    crossbar = build(cell, SHAPE, Stream(seed=0, owner=0), COUNTED)
    counts = np.full(SHAPE, 12, np.int16)

    for k in range(4):
        crossbar.pulse_counts(counts if k % 2 else -counts, slice(0, 6), k)

    plus, minus = (crossbar.state()[f"conductance_{k}"] for k in range(2))
    assert not ((np.maximum(plus, minus) >= 0.75) & (np.abs(plus - minus) < 0.25)).any()


def test_polarity_turns_counts_too():
    cell = Pcm3T1C(capacitor=Capacitor(leak_s=None))
    for transfers in (0, 1):
        crossbar = build(cell, SHAPE, Stream(seed=0, owner=0), COUNTED)
        crossbar.write(np.zeros(SHAPE, np.float32))
        nothing = np.zeros((8000, SHAPE[0]), np.float32)
        for k in range(transfers):
            crossbar.update(nothing, np.zeros((8000, SHAPE[1]), np.float32), 1.0, 8000 * k)
        before = crossbar.weights.copy()

        crossbar.pulse_counts(np.full(SHAPE, 20, np.int16), slice(0, 6), 8000 * transfers)

        assert (crossbar.weights > before).mean() > 0.99


# Updates that count


@pytest.mark.parametrize("management", [True, False])
def test_updates_count_the_rounded_product_of_both_sides(management):
    config = UpdateConfig(
        trains="counted", length=9, update_management=management, length_management=management
    )
    step = 2.0**-10
    device = ConstantStep(
        step=step, device_noise=0, cycle_noise=0, asymmetry_device_noise=0, upper=100, lower=-100
    )
    x, d, rate = draw(0, 3, 6), draw(1, 3, 70), 0.02
    crossbar = build(device, SHAPE, Stream(seed=0, owner=0), config)

    crossbar.update(x, d, rate, 0)

    expected = sum(counted(config, step, rate, a, b) for a, b in zip(x, d, strict=True))
    np.testing.assert_allclose(crossbar.weights / step, expected, atol=1e-3)


def counted(config, step, rate, x, d):
    """Signed pulses of one example: length times both probabilities, rounded."""
    x, d = x.astype(float), d.astype(float)
    most_x, most_d = abs(x).max(), abs(d).max()
    length, cut = config.length, 1.0
    needed = rate * most_x * most_d / step
    if config.length_management:
        length = min(length, math.ceil(needed))
    scale = math.sqrt(rate / (step * length))
    balance = 1.0
    if config.update_management:
        cut = max(1.0, needed / config.length)
        balance = math.sqrt(most_d / cut / most_x)
    shares = np.outer(
        np.minimum(1, scale * balance * abs(x)), np.minimum(1, scale / balance * abs(d))
    )
    return np.sign(np.outer(x, d)) * np.floor(length * shares + 0.5)


@every_cell
def test_counted_updates_may_be_split(cell):
    whole, parts = filled(cell), filled(cell)
    x, d = draw(0, 8, SHAPE[0]), draw(1, 8, SHAPE[1])

    whole.update(x, d, 0.05, 40)
    for e in range(8):
        parts.update(x[e : e + 1], d[e : e + 1], 0.05, 40 + e)

    # Ideal weights are updated without pulses, by a product that adds in an order of its own.
    tolerance = 1e-6 if isinstance(cell, Ideal) else 0
    np.testing.assert_allclose(whole.weights, parts.weights, rtol=0, atol=tolerance)


TRACES = ("sgd_constant", "sgd_softbounds_asym", "sgd_softbounds_symref")


@pytest.mark.parametrize("mode", ["fixed_d", "regression"])
@pytest.mark.parametrize("name", TRACES)
def test_plain_sgd_takes_the_recorded_steps(shared, name, mode):
    """Every weight after every one of 240 steps, recorded from aihwkit 1.1.0."""
    folder = shared / "reference" / "algorithms" / "traces"
    case = json.loads((folder / "cases.json").read_text())[name]
    x = np.loadtxt(folder / "x.csv", delimiter=",", dtype=np.float32)
    d = np.loadtxt(folder / f"{name}__{mode}__d.csv", delimiter=",", dtype=np.float32)
    with (folder / f"{name}__{mode}.csv").open() as lines:
        rows = [row for row in csv.reader(lines) if row[1] == "W"]
    recorded = np.array([row[2:] for row in rows], np.float32).reshape(-1, 4, 6)
    crossbar = build(traced(case["config"]["device"]), (6, 4), Stream(seed=0, owner=0), COUNTED)
    crossbar.write(recorded[0].T.copy())

    for t in range(len(d)):
        crossbar.update(x[t : t + 1], -d[t : t + 1], case["lr"], t)
        np.testing.assert_allclose(crossbar.weights.T, recorded[t + 1], atol=1e-5)


def traced(device):
    """The device of a trace: no spread between devices, no noise."""
    common = {
        "step": device["dw_min"], "upper": device["w_max"], "lower": device["w_min"],
        "asymmetry": device["up_down"], "device_noise": 0, "cycle_noise": 0,
        "asymmetry_device_noise": 0, "upper_device_noise": 0, "lower_device_noise": 0,
    }  # fmt: skip
    if device["class"] == "ConstantStepDevice":
        return ConstantStep(**common)
    return SoftBounds(**common, symmetry_referenced=device["subtract_symmetry_point"])

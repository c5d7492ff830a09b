"""Cycle noise is that of pulse after pulse, for every device and however examples are batched.

Means and spreads may differ from the oracle's by 1 % of the spread, and by sampling error: 5
standard errors.
"""

import math

import numpy as np
import pytest

from crossmesh.common.random import Purpose, Stream
from crossmesh.emulator.config.loading import load_cell
from crossmesh.tiles.analog.array import DeviceArray
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import (
    PRESETS,
    ConstantStep,
    JumpTable,
    LinearStep,
    Pcm,
    SoftBounds,
)
from crossmesh.tiles.analog.devices.capacitor import Capacitor
from crossmesh.tiles.analog.devices.jump_table import StepTable
from crossmesh.tiles.analog.pulser import Pulser, Site
from crossmesh.tiles.analog.update import UpdateConfig
from tests.tiles.analog import pulse_oracle
from tests.tiles.analog.test_conformance import EVERY, devices_of
from tests.tiles.analog.test_update import draw

SHAPE = (160, 250)
BOUND = 5  # standard errors


def device_of(cell):
    return getattr(cell, "device", None) or getattr(cell, "capacitor", cell)


def alike(device):
    """The same without spread between devices, without write noise and references."""
    fields = type(device).model_fields
    zero = {name: 0.0 for name in fields if name.endswith("device_noise")}
    zero |= dict.fromkeys(("size_noise", "pull_up_noise", "pull_down_noise"), 0.0)
    off = {"write_noise": 0.0, "stuck": None, "retention": None, "symmetry_referenced": False,
           "reference_mean": 0.0, "reference_noise": 0.0, "leak_s": None}  # fmt: skip
    return device.model_copy(update={k: v for k, v in (zero | off).items() if k in fields})


SHIPPED = {
    path.stem: alike(device_of(load_cell(path.stem))) for path in sorted(PRESETS.glob("*.yaml"))
}
OTHERS = {
    "very noisy": SoftBounds(step=0.05, cycle_noise=8.0, upper=1, lower=-1),
    "steep": SoftBounds(step=0.4, cycle_noise=0.05, upper=1, lower=-1, multiplicative_noise=False),
    "steps that turn": LinearStep(step=0.005, gamma_up=3, gamma_down=3, upper=0.6, lower=-0.6,
                                  multiplicative_noise=False),
    "one way": SoftBounds(step=0.02, cycle_noise=1.0, one_way=True, upper=1, lower=0),
    "fresh pcm": Pcm(),
    "table": JumpTable(tables=[
        StepTable(
            lower=-1, upper=1, up=(0.05, 0.004, 0.03, 0), up_noise=(0.02, 0.001, 0.03, 0.001),
            down=(0, -0.01, -0.04, -0.02), down_noise=(0.01, 0.03, 0.001, 0.02),
        ),
    ]),
}  # fmt: skip
EACH = SHIPPED | {name: alike(device) for name, device in OTHERS.items()}
each = pytest.mark.parametrize("device", EACH.values(), ids=EACH)


def emulated(device, start, counts, micro_batch=1, seed=5):
    """Conductances of many devices after as many pulses in each example, up above 0."""
    length = max(map(abs, counts))
    config = UpdateConfig(
        trains="deterministic", length=length, update_management=False, length_management=False
    )
    site = Site(SHAPE, Stream(seed=seed, owner=1), config, 1e-6)
    devices, pulser = DeviceArray(device, site), Pulser(site, device.granularity)
    devices.write(np.full(SHAPE, start, np.float32))
    d = np.repeat(np.sign(np.array(counts, np.float32))[:, np.newaxis], SHAPE[1], axis=1)
    x = np.repeat(np.abs(np.array(counts, np.float32))[:, np.newaxis] / length, SHAPE[0], axis=1)
    for first in range(0, len(counts), micro_batch):
        part = slice(first, first + micro_batch)
        rate = device.granularity * length
        for pulses in pulser.draw(x[part], d[part], rate, first):
            devices.pulse(pulses)
    return devices.state.astype(float).ravel()


def assert_alike(ours, exact):
    """Mean and spread within 1 % of the spread, and sampling error."""
    spread = exact.std()
    floor = 2e-6 * max(1, abs(exact.mean()))  # of 32 bits
    error = spread * math.sqrt(1 / len(ours) + 1 / len(exact))
    assert abs(ours.mean() - exact.mean()) <= 0.01 * spread + BOUND * error + floor
    fourth = ((exact - exact.mean()) ** 4).mean()
    error = math.sqrt(max(fourth - spread**4, 0) * (1 / len(ours) + 1 / len(exact)))
    allowed = 0.01 * spread + BOUND * error / (2 * spread or 1) + floor
    assert abs(ours.std() - spread) <= allowed


@each
@pytest.mark.parametrize("n", [1, 5, 31])
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_pulses_of_one_example(device, n, up):
    lower, upper = device.limits
    middle = (lower + upper) / 2
    for share in (0, 0.5, 0.97, 1, -0.97, -1):
        start = middle + share * (upper - lower) / 2

        ours = emulated(device, start, [n if up else -n])

        assert_alike(ours, pulse_oracle.after(device, start, n * [1 if up else -1]))


@each
@pytest.mark.parametrize("micro_batch", [1, 8, 64])
def test_pulses_of_many_examples(device, micro_batch):
    """64 of one pulse each."""
    lower, upper = device.limits
    for share, up in ((0, True), (0.97, True), (1, False), (-1, True)):
        start = (lower + upper) / 2 + share * (upper - lower) / 2

        pulses = 64 * [1 if up else -1]

        ours = emulated(device, start, pulses, micro_batch)

        assert_alike(ours, pulse_oracle.after(device, start, pulses))


ORDERS = {
    "at random": [int(n) for n in np.random.default_rng(0).integers(-2, 3, 40)],
    "up, then down": 20 * [1] + 20 * [-1],
    "down, then up": 10 * [-3] + 10 * [3],
    "in turns": 20 * [2, -1],
}


@each
@pytest.mark.parametrize("micro_batch", [8, 64])
@pytest.mark.parametrize("counts", ORDERS.values(), ids=ORDERS)
def test_pulses_both_ways(device, counts, micro_batch):
    """Several examples may go together, in whatever order they come."""
    if device.moves_one_way:
        pytest.skip("moves one way")
    lower, upper = device.limits
    for share in (0, 0.5, -0.5, 0.9, -0.9, 1):
        start = (lower + upper) / 2 + share * (upper - lower) / 2

        ours = emulated(device, start, counts, micro_batch)

        pulses = [sign for n in counts for sign in abs(n) * [1 if n > 0 else -1]]
        assert_alike(ours, pulse_oracle.after(device, start, pulses))


@pytest.mark.parametrize(
    ("name", "start", "up", "n", "mean", "spread"),
    [
        ("reram-hfo2-2022", 0.0, True, 31, 0.93849, 0.07486),
        ("reram-hfo2-2022", 0.0, True, 5, 0.92266, 0.08443),
        ("reram-om-2022", 0.0, True, 31, 0.92660, 0.06649),
        ("reram-om-2022", 0.0, True, 5, 0.39223, 0.07401),
        ("reram-es-gong-2018", 1.0, False, 31, -0.35696, 0.14161),
        ("reram-sb-gong-2018", 1.25, False, 31, -0.16086, 0.03948),
        ("ecram-mo-kim-2019", -0.8286, True, 5, 0.00213, 0.00136),
    ],
)
def test_recorded_cases(name, start, up, n, mean, spread):
    """Another oracle's means and spreads, of 40,000 devices each."""
    ours = emulated(EACH[name], start, [n if up else -n]) - start

    error = math.sqrt(2) * spread / 200
    assert abs(ours.mean() - mean) < 0.01 * spread + BOUND * error
    assert abs(ours.std() - spread) < 0.01 * spread + BOUND * error + 6e-6


@pytest.mark.parametrize("micro_batch", [1, 8])
def test_eight_examples_of_one_pulse_each(micro_batch):
    """Of the organic-metal-oxide device: 0.549 +- 0.083."""
    ours = emulated(EACH["reram-om-2022"], 0.0, 8 * [1], micro_batch)

    assert abs(ours.mean() - 0.549) < 0.003
    assert abs(ours.std() - 0.083) < 0.0025


def has_windows(cell):
    site = Site((1, 1), Stream(seed=0, owner=0), UpdateConfig(), 1e-6)
    return any(DeviceArray(device, site).has_windows for _, device, _ in devices_of(cell))


FEW_STEPS = {name: cell for name, cell in EVERY.items() if not has_windows(cell)}


@pytest.mark.parametrize("cell", FEW_STEPS.values(), ids=FEW_STEPS)
@pytest.mark.parametrize("micro_batch", [1, 3, 40])
def test_no_bit_depends_on_the_micro_batch(cell, micro_batch):
    x, d = draw(0, 80, 5), draw(1, 80, 70)
    whole, parts = (build(cell, (5, 70), Stream(seed=0, owner=0), UpdateConfig()) for _ in range(2))
    for crossbar in (whole, parts):
        crossbar.write(0.1 * draw(2, 5, 70))

    whole.update(x, d, 0.1, 5)
    for first in range(0, 80, micro_batch):
        part = slice(first, first + micro_batch)
        parts.update(x[part], d[part], 0.1, 5 + first)

    if isinstance(cell, Ideal):  # a matrix product adds in an order of its own
        np.testing.assert_allclose(whole.weights, parts.weights, atol=1e-5)
        return
    np.testing.assert_array_equal(whole.weights, parts.weights)
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, parts.state()[name])


def test_devices_that_coincide_have_noise_of_their_own():
    """No two of an example, nor one of two examples, share a number."""
    device = SoftBounds(step=1e-3, cycle_noise=1.0, upper=1e6, lower=-1e6, device_noise=0)
    device = alike(device)
    config = UpdateConfig(
        trains="deterministic", length=1, update_management=False, length_management=False
    )
    site = Site((64, 128), Stream(seed=3, owner=0), config, 1e-6)
    devices, pulser = DeviceArray(device, site), Pulser(site, device.granularity)
    rng = np.random.default_rng(0)
    moved = []
    for e in range(400):
        devices.write(np.zeros(site.shape, np.float32))
        d = rng.choice([0, 1], (1, 128), p=[0.7, 0.3]).astype(np.float32)
        for pulses in pulser.draw(np.ones((1, 64), np.float32), d, device.granularity, e):
            devices.pulse(pulses)
        moved.append(np.where(d > 0, devices.state / np.float32(device.step) - 1, np.nan))
    z = np.array(moved)

    values = z[~np.isnan(z)]
    assert len(np.unique(values)) > 0.98 * len(values)
    for shifted in (z[1:] * z[:-1], z[:, 1:] * z[:, :-1], z[..., 1:] * z[..., :-1]):
        products = shifted[~np.isnan(shifted)]
        assert abs(products.mean()) < BOUND / math.sqrt(len(products))


def test_devices_that_move_by_windows_have_noise_of_their_own():
    """No two of a window, nor of two, be they moved with it or left alone: every other column."""
    device = alike(ConstantStep(step=1e-3, cycle_noise=1.0, upper=1, lower=-1))
    config = UpdateConfig(
        trains="deterministic", length=1, update_management=False, length_management=False
    )
    site = Site((32, 128), Stream(seed=3, owner=0), config, 1e-6)
    devices, pulser = DeviceArray(device, site), Pulser(site, device.granularity)
    start = np.zeros(site.shape, np.float32)
    start[:, 1::2] = 1 - 11e-3  # a bound within 4 deviations of where 4 pulses lead, not within 3
    x, d = np.ones((4, 32), np.float32), np.ones((4, 128), np.float32)
    moved = []
    for first in range(0, 800, 4):
        devices.write(start)
        for pulses in pulser.draw(x, d, device.granularity, first):
            devices.pulse(pulses)
        moved.append(((devices.state - start).astype(float) / device.step - 4) / 2)
    z = np.array(moved)

    assert abs(z.std() - 1) < 0.01
    assert len(np.unique(z[:, :, ::2])) > 0.98 * z[:, :, ::2].size
    for shifted in (z[1:] * z[:-1], z[:, 1:] * z[:, :-1], z[..., 1:] * z[..., :-1]):
        assert abs(shifted.mean()) < BOUND / math.sqrt(shifted.size)
    assert abs((z[..., 1:64] * z[..., 64:-1]).mean()) < BOUND / math.sqrt(z.size / 2)


@pytest.mark.parametrize("cls", [ConstantStep, SoftBounds, Capacitor])
def test_devices_without_cycle_noise_are_not_searched_for_windows(cls):
    site = Site((1, 1), Stream(seed=0, owner=0), UpdateConfig(), 1e-6)

    assert DeviceArray(cls(), site).has_windows
    assert not DeviceArray(cls(cycle_noise=0.0), site).has_windows


def test_the_key_of_given_counts_is_their_own():
    stream = Stream(seed=0, owner=0)
    assert (stream.key(Purpose.CYCLE_NOISE) != stream.key(Purpose.COUNTED_PULSES)).any()

"""What every unit cell must do, whatever it is made of: those of tests and all that are shipped."""

import numpy as np
import pytest

from crossmesh.common.random import Stream
from crossmesh.emulator.config.loading import load_cell, presets
from crossmesh.tiles.analog.cells import Pair, Pairs, Pcm3T1C, SharedReference
from crossmesh.tiles.analog.cells.ideal import Ideal
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.update import UpdateConfig
from tests import naive
from tests.emulator.executors.test_executors import in_threads, local
from tests.jobs import CELLS, small_job, validated_cell

SHAPE = (5, 70)
STREAM = Stream(seed=12, owner=3)
ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)
SHIPPED = {name: load_cell(name) for name in presets()}
EVERY = {name: validated_cell(section) for name, section in CELLS.items()} | SHIPPED


def devices_of(cell):
    """Name of the state, device, and number of its part, for all devices of a cell."""
    match cell:
        case Ideal():
            return []
        case Pcm3T1C():
            return [("voltage", cell.capacitor, 0)]
        case SharedReference():
            return [("conductance_0", cell.device, 0)]
        case Pair():
            return [(f"conductance_{k}", cell.device, k) for k in range(2)]
        case Pairs():
            return [
                (f"conductance_{k}_of_pair_{n}", cell.pair.device, 2 * n + k)
                for n in range(len(cell.significances))
                for k in range(2)
            ]
    return [("conductance_0", cell, 0)]


def silenced(cell):
    """A cell whose pulses do nothing by chance, and which does nothing but take pulses."""

    def quiet(device):
        silent = {"cycle_noise": 0.0, "write_noise": 0.0, "retention": None}
        known = type(device).model_fields
        return device.model_copy(update={k: v for k, v in silent.items() if k in known})

    match cell:
        case Pcm3T1C():
            changes = {"capacitor": quiet(cell.capacitor).model_copy(update={"leak_s": None})}
            return cell.model_copy(update=changes | {"transfer": None})
        case SharedReference():
            return cell.model_copy(update={"device": quiet(cell.device)})
        case Pair():
            return cell.model_copy(update={"device": quiet(cell.device), "refresh": None})
        case Pairs():
            return cell.model_copy(update={"pair": silenced(cell.pair), "carry_every": 10**6})
    return quiet(cell)


of_devices = pytest.mark.parametrize("name", [n for n, cell in EVERY.items() if devices_of(cell)])
# Pcm, whose rule has a memory, is held against its recursion in test_device_library.py.
with_formula = pytest.mark.parametrize(
    "name",
    [n for n, cell in EVERY.items()
     if devices_of(cell) and all(naive.has_formula(d) for _, d, _ in devices_of(cell))],
)  # fmt: skip


def crossbar_of(cell, update=ONE_PULSE):
    crossbar = build(cell, SHAPE, STREAM, update)
    crossbar.write(np.random.default_rng(0).uniform(-0.1, 0.1, SHAPE).astype(np.float32))
    return crossbar


def signs(first, last):
    """Directions in which examples move the cells, and which word lines they drive."""
    rng = np.random.default_rng(1)
    d = rng.choice([-1, 1], (1000, SHAPE[1])).astype(np.float32)
    x = rng.choice([-1, 0, 1], (1000, SHAPE[0])).astype(np.float32)
    return x[first:last], d[first:last]


def send(crossbar, first, last, size=1):
    for start in range(first, last, size):
        crossbar.update(*signs(start, min(start + size, last)), 1e6, start)


@pytest.mark.parametrize("name", SHIPPED)  # other cells: emulator/executors/test_executors.py
def test_packing_of_tiles_never_changes_a_bit(name, tmp_path):
    job = small_job(SHIPPED[name].model_dump(mode="json"), "asynchronous")
    host_of = tuple(tile // 2 for tile in range(len(job.program.blocks)))

    assert in_threads(job, host_of, tmp_path) == local(job)


@of_devices
def test_bounds_are_kept_whatever_the_noise(name):
    cell = EVERY[name]
    crossbar = crossbar_of(cell)
    x, d = np.ones((1, SHAPE[0]), np.float32), np.ones((1, SHAPE[1]), np.float32)
    for example in range(300):
        crossbar.update(x, d if example < 200 else -d, 1e6, example)

        for state, device, part in devices_of(cell):
            parameters = naive.parameters_of(device, SHAPE, STREAM, part)
            lower, upper = parameters[2], parameters[3]
            both = np.minimum(lower, upper), np.maximum(lower, upper)  # of stuck ones: by rounding
            assert np.all(crossbar.state()[state] >= both[0])
            assert np.all(crossbar.state()[state] <= both[1])
        assert np.all(np.isfinite(crossbar.weights))


@with_formula
def test_noise_off_means_the_closed_form(name):
    """Pulses up and down, device by device, against the formula of the rule, one by one."""
    cell = silenced(EVERY[name])
    crossbar = crossbar_of(cell)
    names = [state for state, _, _ in devices_of(cell)]
    expected = [crossbar.state()[state].astype(float) for state in names]
    send(crossbar, 0, 40)

    x, d = signs(0, 40)
    moved = devices_of(cell)[:2]  # of several pairs, the first takes the updates
    for k, (_, device, part) in enumerate(moved):
        parameters = naive.parameters_of(device, SHAPE, STREAM, part)
        for e, i, j in np.ndindex(40, *SHAPE):
            if x[e, i]:
                up = (x[e, i] * d[e, j] > 0) == (k == 0)
                expected[k][i, j] = naive.pulse(device, parameters[:, i, j], expected[k][i, j], up)
    for state, formula in zip(names, expected, strict=True):
        np.testing.assert_allclose(crossbar.state()[state], formula, atol=2e-5, rtol=2e-5)

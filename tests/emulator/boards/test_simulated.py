"""Simulated boards follow their device's model, and add what real boards do to it."""

import itertools
import time

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError, DataError
from crossmesh.common.random import Stream
from crossmesh.emulator.boards.devices import device_named
from crossmesh.emulator.boards.kept import KeptBoard
from crossmesh.emulator.boards.simulated import SimulatedBoard, Simulation
from crossmesh.tiles.analog.cells import PcmMemory
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import Pcm, SoftBounds
from crossmesh.tiles.analog.devices.base import Retention
from crossmesh.tiles.analog.update import UpdateConfig
from crossmesh.tiles.boards.serving import RequestRefused
from crossmesh.tiles.boards.verifying import set_by_pulses
from tests.tiles.boards.board_material import DEVICE, lines

EXACT = SoftBounds(
    step=0.01, device_noise=0, cycle_noise=0, upper_device_noise=0, lower_device_noise=0,
    asymmetry_device_noise=0,
)  # fmt: skip
SHAPE = (20, 30)
EVERY = tuple(np.arange(n, dtype=np.uint16) for n in SHAPE)
EACH = tuple(each.reshape(-1).astype(np.uint16) for each in np.indices(SHAPE))


def board(device=EXACT, clock=time.time, **fields):
    rows, cols = SHAPE
    return SimulatedBoard(Simulation(device=device, rows=rows, cols=cols, **fields), clock)


def pulsed(hardware, counts):
    """Conductances after every device got the same pulses."""
    hardware.pulse(*EACH, np.full(len(EACH[0]), counts, np.int16), 0.0, 0.0)
    return hardware.read(*EVERY)


def test_pulses_do_what_they_do_in_an_emulated_crossbar():
    hardware = board(DEVICE, seed=5)
    crossbar = build(DEVICE, SHAPE, Stream(seed=5, owner=0), UpdateConfig())
    crossbar.write(np.zeros(SHAPE, np.float32))
    rng = np.random.default_rng(1)
    for number in range(1, 6):
        counts = rng.integers(-5, 6, SHAPE).astype(np.int16)
        hardware.pulse(*EACH, counts.reshape(-1), 1.0, 1e-6)
        crossbar.pulse_counts(counts, slice(0, SHAPE[0]), number)

    (lower, upper), electrical = DEVICE.limits, DEVICE.electrical
    share = (crossbar.weights - lower) / (upper - lower)
    expected = electrical.siemens(share.astype(float))
    np.testing.assert_allclose(hardware.read(*EVERY), expected, rtol=1e-5)


def test_a_device_that_is_there_twice_is_pulsed_in_the_order_of_the_entries():
    once, twice = board(), board()
    at = lines(3, 4, 3, 3), lines(1, 1, 1, 2)
    twice.pulse(*at, np.array([30, 1, -30, 2], np.int16), 0.0, 0.0)
    once.pulse(lines(3, 4, 3), lines(1, 1, 2), np.array([30, 1, 2], np.int16), 0.0, 0.0)
    once.pulse(lines(3), lines(1), np.array([-30], np.int16), 0.0, 0.0)

    np.testing.assert_array_equal(twice.read(*EVERY), once.read(*EVERY))


def test_the_same_requests_give_the_same_bits_and_another_seed_others():
    seen = []
    for seed in (1, 1, 2):
        hardware = board(DEVICE, seed=seed, read_noise=0.02, stuck=0.1, wear=20)
        hardware.set(*EACH, np.full(len(EACH[0]), 4e-8, np.float32))
        amperes = hardware.product(*EVERY, np.ones((1, SHAPE[0]), np.float32), backward=False)
        seen.append((pulsed(hardware, 7), amperes))

    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert np.abs(seen[0][0] - seen[2][0]).max() > 0


def test_stuck_devices_stand_anywhere_and_do_not_move():
    hardware = board(stuck=0.2)
    before = hardware.read(*EVERY)
    after = pulsed(hardware, 50)
    hardware.set(*EACH, np.full(len(EACH[0]), 2e-8, np.float32))
    still = after == before

    assert 0.15 < still.mean() < 0.25  # of 600: three deviations are 0.05
    assert np.ptp(before[still]) > 0.8 * 5 / 84e6
    np.testing.assert_array_equal(hardware.read(*EVERY)[still], before[still])


def test_devices_wear_out_after_about_as_many_pulses():
    hardware = board(wear=100)
    seen = [hardware.read(*EVERY)]
    seen += [pulsed(hardware, count) for count in (30, 40, 30, 30, 1000)]
    moved = [np.mean(b != a) for a, b in itertools.pairwise(seen)]

    assert moved[0] > 0.99
    assert abs(np.mean(seen[4] != seen[3]) - 0.5) < 0.1  # the 101st pulse
    assert moved[4] < 0.3
    np.testing.assert_array_equal(pulsed(hardware, -9), seen[5])


def test_reads_and_products_have_the_noise_that_is_asked_for():
    hardware = board(read_noise=0.02)
    reads = np.array([hardware.read(*EVERY) for _ in range(200)])
    deviation = 0.02 * 5 / 84e6
    assert abs(np.sqrt(reads.var(axis=0).mean()) / deviation - 1) < 0.01
    volts = np.linspace(0, 0.2, 3 * SHAPE[0], dtype=np.float32).reshape(3, -1)
    currents = np.array([hardware.product(*EVERY, volts, backward=False) for _ in range(200)])
    spread = deviation * np.linalg.norm(volts, axis=1)
    np.testing.assert_allclose(np.sqrt(currents.var(axis=0).mean(axis=1)), spread, rtol=0.05)
    np.testing.assert_allclose(
        currents.mean(axis=0), volts @ reads.mean(axis=0), atol=5 * spread.max() / 200**0.5
    )


def test_the_devices_own_read_noise_is_in_reads():
    device = Pcm(cycle_noise=0)
    hardware = board(device)
    reads = np.array([hardware.read(*EVERY) for _ in range(100)])
    scale = (20e-6 - 0.1e-6) / (1 - 0.1 / 12)
    expected = scale * (0.13 / 12 + 0.03 * 0.1 / 12)

    assert abs(np.sqrt(reads.var(axis=0).mean()) / expected - 1) < 0.02


def test_lines_take_their_time():
    hardware = board(row_read_s=0.01, row_write_s=0.02)
    begin = time.monotonic()
    hardware.read(lines(1, 2, 3), lines(0))
    read_s = time.monotonic() - begin
    hardware.pulse(lines(1, 1, 2, 1), lines(0, 1, 0, 0), np.ones(4, np.int16), 0.0, 0.0)
    pulse_s = time.monotonic() - begin - read_s

    assert read_s >= 0.03
    assert pulse_s >= 0.06  # of three lines, one after the other
    assert (hardware.description.row_read_s, hardware.description.row_write_s) == (0.01, 0.02)


def test_memories_are_set_by_a_write_and_drift():
    clock = [1e9]
    hardware = board(PcmMemory(read_noise_siemens=0, read_noise_slope=0), lambda: clock[0],
                     drift=True)  # fmt: skip
    assert np.abs(hardware.read(*EVERY) - 0.1e-6).max() < 0.05e-6
    hardware.set(*EACH, np.full(len(EACH[0]), 10e-6, np.float32))
    written = hardware.read(*EVERY)
    clock[0] += 2000
    left = hardware.read(*EVERY) / written

    assert abs(written.mean() - 10e-6) < 4 * written.std() / 600**0.5
    assert 0.7e-6 < written.std() < 1.1e-6  # 0.26 + 1.965 g - 1.17 g**2 at g of 0.4: 0.86 uS
    exponents = -np.log(left) / np.log(101)
    assert abs(exponents.mean() - 0.049) < 0.003
    with pytest.raises(RequestRefused, match="these memories are set, not pulsed"):
        pulsed(hardware, 1)


def test_devices_lose_what_their_retention_says():
    clock = [0.0]
    device = EXACT.model_copy(update={"retention": Retention(time_s=100)})
    hardware = board(device, lambda: clock[0], drift=True, stuck=0.1)
    stuck = hardware.read(*EVERY) != hardware.read(*EVERY)[0, 0]
    before = pulsed(hardware, 20)
    clock[0] += 50
    middle = EXACT.electrical.siemens(0.5)
    left = (hardware.read(*EVERY) - middle) / (before - middle)

    np.testing.assert_allclose(left[~stuck], np.exp(-0.5), rtol=1e-4)
    np.testing.assert_allclose(left[stuck], 1, rtol=1e-6)


@pytest.mark.parametrize("device", [EXACT, Pcm(cycle_noise=0.1, read_noise_siemens=0)])
def test_devices_come_near_to_what_they_are_set_to(device):
    """Set by the board, and by the server where the board only pulses."""
    low, high = device.electrical.off_siemens, device.electrical.on_siemens
    some = EACH[0] < 5
    rows, cols = (each[some] for each in EACH)
    wanted = np.linspace(low + 0.3 * (high - low), low + 0.7 * (high - low), len(rows))
    for without in ((), ("set",)):
        hardware = board(device, without=without, read_noise=0)
        others = hardware.read(*EVERY)[5:]
        if without:
            set_by_pulses(hardware, rows, cols, wanted.astype(np.float32), 0.0, 300)
        else:
            hardware.set(rows, cols, wanted.astype(np.float32))
        found = hardware.read(*EVERY)
        error = (found[:5].reshape(-1) - wanted) / (high - low)
        assert np.abs(error).max() < device.granularity
        np.testing.assert_array_equal(found[5:], others)


def test_abilities_are_as_asked_for():
    assert board().description.can == ("set", "product")
    assert board(without=("product",), celsius=40.0).description.can == ("set", "celsius")
    assert board(celsius=40.0).celsius() == 40
    with pytest.raises(ConfigError, match="without must be of set, product, got read"):
        board(without=("read",))
    with pytest.raises(ConfigError, match="without must leave set to memories"):
        board(PcmMemory(), without=("set",))


def test_a_state_survives_the_board(tmp_path):
    fields = {"seed": 3, "read_noise": 0.01, "wear": 30}
    path = tmp_path / "state.npz"

    def made_of(**others):
        rows, cols = SHAPE
        return Simulation(device=DEVICE, rows=rows, cols=cols, **{**fields, **others}).digest

    whole, first = board(DEVICE, **fields), board(DEVICE, **fields)
    with KeptBoard(first, path, made_of()):
        pulsed(first, 12)
    again = board(DEVICE, **fields)
    with KeptBoard(again, path, made_of()):
        seen = pulsed(again, 12)
    pulsed(whole, 12)
    np.testing.assert_array_equal(seen, pulsed(whole, 12))

    with pytest.raises(ConfigError, match="must be of a board of this device, size, seed"):
        KeptBoard(board(DEVICE, **fields), path, made_of(seed=4))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"state\.npz must be a state of a board, got"):
        KeptBoard(board(DEVICE, **fields), path, made_of())
    missing = tmp_path / "none" / "state.npz"
    with pytest.raises(ConfigError, match="must be writable: No such file"):
        KeptBoard(board(), missing, made_of()).__enter__()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("reram-es-gong-2018", "exp_step"), ("soft_bounds", "soft_bounds"),
        ("{kind: pcm, cycle_noise: 0}", "pcm"), ("{extends: ecram-li-tang-2018}", "linear_step"),
    ],
)  # fmt: skip
def test_devices_are_named_as_in_configs(text, kind):
    device = device_named(text)
    assert device.kind == kind
    assert board(device).read(*EVERY).shape == SHAPE


def test_the_memories_of_a_cell_are_its_memories():
    assert device_named("pcm-memory") == PcmMemory()
    assert device_named("{kind: pcm_3t1c, pcm: {write_noise: 0.5}}").write_noise == 0.5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{kind: pair}", "DEVICE must be a device alone, got a cell of kind pair"),
        ("{kind: ideal}", "DEVICE must be a device alone, got a cell of kind ideal"),
        ("{kind: pcm", "DEVICE must be YAML like {kind: soft_bounds}, got {kind: pcm"),
        ("reram-es-gong", "got reram-es-gong; did you mean reram-es-gong-2018"),
        ("{kind: pcm, cycle_noise: -1}", "cycle_noise must be at least 0.0, got -1"),
    ],
)
def test_what_is_no_device_is_refused(text, says):
    with pytest.raises(ConfigError) as caught:
        device_named(text)
    assert says in str(caught.value)

"""The 2PCM+3T1C cell: transfer, polarity inversion, leak and drift do what they say."""

import numpy as np
import pytest
from pydantic import ValidationError

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.cells import Pcm3T1C, PcmMemory, Transfer
from crossmesh.tiles.analog.cells.pcm_3t1c.clock import DRIFT_EVERY, LEAK_EVERY, Clock
from crossmesh.tiles.analog.crossbar import EXAMPLE_S, build
from crossmesh.tiles.analog.devices.capacitor import Capacitor
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.analog.update import UpdateConfig

SHAPE = (12, 70)
STREAM = Stream(seed=4, owner=2)
ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)
SILENT = {
    "leak_noise": 0.0, "size_noise": 0.0, "pull_up_noise": 0.0, "pull_down_noise": 0.0,
    "cycle_noise": 0.0, "slope_noise": 0.0, "threshold_noise_v": 0.0,
}  # fmt: skip
STABLE = {**SILENT, "leak_s": None}
EXACT = PcmMemory(
    write_noise=0, lost_siemens=0, reset_siemens=0, reset_noise_siemens=0, drift=0,
    read_noise_siemens=0, read_noise_slope=0,
)  # fmt: skip


def cell(*, every=100, transfer=(), capacitor=STABLE, pcm=EXACT, **rest):
    """A cell without variability, but for what a test is about."""
    timing = Transfer(every=every, read_noise_siemens=0, **dict(transfer))
    return Pcm3T1C(transfer=timing, capacitor=Capacitor(**capacitor), pcm=pcm, **rest)


def crossbar_of(config, shape=SHAPE, stream=STREAM, update=ONE_PULSE):
    return build(config, shape, stream, update)


def weights_of(shape=SHAPE, most=0.1, seed=0):
    return np.random.default_rng(seed).uniform(-most, most, shape).astype(np.float32)


def wait(crossbar, first, last):
    """Let examples pass that pulse nothing."""
    rows, cols = crossbar.weights.shape
    for e in range(first, last):
        crossbar.update(np.zeros((1, rows), np.float32), np.zeros((1, cols), np.float32), 1, e)


def push(crossbar, first, last, sign=1):
    """One pulse of the weights' ``sign`` on every cell in each of so many examples."""
    rows, cols = crossbar.weights.shape
    x, d = np.ones((1, rows), np.float32), np.full((1, cols), sign, np.float32)
    for e in range(first, last):
        crossbar.update(x, d, 1e6, e)


def capacitor_state(crossbar):
    return crossbar.state()["voltage"]


# Transfer


def test_a_transfer_without_noise_keeps_every_weight_within_half_a_pulse():
    config = cell(every=50)
    crossbar = crossbar_of(config)
    crossbar.write(weights_of())
    push(crossbar, 0, 49)
    before = crossbar.weights.copy()

    wait(crossbar, 49, 50)

    np.testing.assert_allclose(crossbar.weights, before, atol=0.5 * config.granularity * 1.02)
    assert (
        np.abs(crossbar.state()["plus"] - crossbar.state()["minus"] - before).max() < 0.051
    )  # twice the offset


def test_a_transfer_with_all_noise_keeps_weights_within_its_stated_error():
    """Where the capacitor can correct: half a pulse, and two measurements of the weight."""
    config = Pcm3T1C(transfer=Transfer(every=40), capacitor=Capacitor(leak_s=None))
    crossbar = crossbar_of(config, (64, 128))
    crossbar.write(weights_of((64, 128)))
    wait(crossbar, 0, 39)
    before = crossbar.weights.copy()

    wait(crossbar, 39, 40)

    error = crossbar.weights - before
    lower, upper = config.capacitor.limits
    free = (capacitor_state(crossbar) > 0.36) & (capacitor_state(crossbar) < upper - 0.01)
    assert lower == 0.0
    assert free.mean() > 0.9
    measured = np.sqrt(2) * config.transfer.read_noise_siemens / config.unit_siemens
    deviation = np.hypot(measured, config.granularity / np.sqrt(12))
    assert error[free].std() == pytest.approx(deviation, rel=0.15)
    assert np.abs(error[free]).max() < 0.5 * 1.5 * config.granularity + 5 * measured
    assert abs(error[free].mean()) < 5 * deviation / np.sqrt(free.sum())


def test_what_a_write_misses_is_what_the_capacitor_holds():
    config = cell(pcm=EXACT.model_copy(update={"write_noise": 1.0}))
    crossbar = crossbar_of(config, (64, 128))
    wanted = weights_of((64, 128), 0.05)
    crossbar.write(wanted)

    state = crossbar.state()
    pair = state["plus"] - state["minus"]
    assert (pair - wanted).std() > 3 * config.granularity
    held = (state["voltage"] - 0.5) * config.capacitor.slope_siemens_per_v / config.unit_siemens
    linear = state["voltage"] > config.capacitor.threshold_v + config.capacitor.softness_v
    free = linear & (state["voltage"] < 0.99)
    np.testing.assert_allclose((pair + held)[free], wanted[free], atol=0.51 * config.granularity)


def test_the_offset_is_left_to_the_capacitor_to_pull_up():
    config = cell(every=10)
    crossbar = crossbar_of(config)
    wanted = np.where(weights_of() > 0, np.float32(0.2), np.float32(-0.2))
    offset = config.transfer.offset_siemens / config.unit_siemens
    for polarity in (1, -1):
        crossbar.write(wanted) if polarity == 1 else wait(crossbar, 0, 10)
        state = crossbar.state()
        np.testing.assert_allclose(
            state["plus"] - state["minus"], wanted - polarity * offset, atol=1e-3
        )
        assert np.all(state["voltage"] > 0.5)


def test_small_weights_reset_both_memories():
    config = cell()
    offset = config.transfer.offset_siemens / config.unit_siemens
    crossbar = crossbar_of(config, (1, 3))

    crossbar.write(np.array([[1.5 * offset, 0.5 * offset, -2.5 * offset]], np.float32))

    state = crossbar.state()
    assert state["plus"].tolist() == [[0, 0, 0]]
    assert state["minus"][0, 0] == 0
    np.testing.assert_allclose(state["minus"][0, 1:], [0.5 * offset, 3.5 * offset], rtol=1e-5)


def test_word_lines_are_transferred_one_after_the_other():
    config = cell(every=40, transfer={"examples_per_row": 3})
    crossbar = crossbar_of(config)
    crossbar.write(np.zeros(SHAPE, np.float32))
    seen = {}
    for e in range(79):
        before = crossbar.state()["plus"].copy()
        push(crossbar, e, e + 1)
        rows = np.flatnonzero(np.any(crossbar.state()["plus"] != before, axis=1))
        if len(rows):
            seen[e + 1] = rows.tolist()

    assert seen == {40 + 3 * row: [row] for row in range(SHAPE[0])}


def test_updates_go_on_while_word_lines_are_transferred():
    """Every weight ends where the pulses lead it, whatever was written meanwhile."""
    config = cell(every=40, transfer={"examples_per_row": 3}, polarity_inversion=True)
    crossbar = crossbar_of(config)
    start = weights_of()
    crossbar.write(start)

    push(crossbar, 0, 90)

    moved = crossbar.weights - start
    np.testing.assert_allclose(moved, 90 * config.granularity, rtol=0.03)


# Polarity inversion

BIASED = {**STABLE, "step_loss": 0.0}


def biased(config):
    """Pulses up and down in turn, on cells whose pull-ups and pull-downs differ."""
    crossbar = crossbar_of(config, (16, 130))
    crossbar.write(np.zeros((16, 130), np.float32))
    drifts = [crossbar.weights.copy()]
    for interval in range(2):
        for e in range(100 * interval, 100 * (interval + 1)):
            push(crossbar, e, e + 1, 1 if e % 2 else -1)
        drifts.append(crossbar.weights.copy())
    return drifts[1] - drifts[0], drifts[2] - drifts[1], config.granularity


def test_without_inversion_a_bias_of_the_cell_adds_up():
    capacitor = {**BIASED, "pull_up_noise": 0.2, "pull_down_noise": 0.2}
    first, second, step = biased(cell(capacitor=capacitor, polarity_inversion=False))

    assert first.std() > 8 * step
    np.testing.assert_allclose(second, first, atol=1.5 * step)


def test_with_inversion_a_bias_cancels_over_two_intervals():
    capacitor = {**BIASED, "pull_up_noise": 0.2, "pull_down_noise": 0.2}
    first, second, step = biased(cell(capacitor=capacitor))

    assert first.std() > 8 * step
    np.testing.assert_allclose(second, -first, atol=1.5 * step)


def test_with_inversion_updates_keep_their_direction():
    crossbar = crossbar_of(cell(every=10))
    crossbar.write(np.zeros(SHAPE, np.float32))
    for interval in range(4):
        before = crossbar.weights.copy()
        push(crossbar, 10 * interval, 10 * interval + 9)
        assert np.all(crossbar.weights > before)
        wait(crossbar, 10 * interval + 9, 10 * interval + 10)


def test_the_polarity_of_a_word_line_is_that_of_its_transfers():
    clock = Clock(rows=4, every=20, examples_per_row=5)

    assert clock.transfers(19).tolist() == [0, 0, 0, 0]
    assert clock.transfers(20).tolist() == [1, 0, 0, 0]
    assert clock.transfers(34).tolist() == [1, 1, 1, 0]
    assert clock.transfers(45).tolist() == [2, 2, 1, 1]
    assert clock.written(34).tolist() == [20, 25, 30, 0]


# Time


def test_the_charge_leaks_towards_its_asymptote():
    config = cell(every=10**6, capacitor={**SILENT, "leak_s": 1e-4})
    crossbar = crossbar_of(config)
    crossbar.write(np.zeros(SHAPE, np.float32))
    start = capacitor_state(crossbar).astype(float)
    n = 10 * LEAK_EVERY

    wait(crossbar, 0, n)

    expected = 0.8 + (start - 0.8) * np.exp(-n * EXAMPLE_S / 1e-4)
    np.testing.assert_allclose(capacitor_state(crossbar), expected, atol=2e-6)


def test_time_constants_differ_from_cell_to_cell_and_the_shared_cell_leaks_if_told():
    capacitor = {**SILENT, "leak_s": 2e-4, "leak_noise": 0.3}
    means = {}
    for leaks in (False, True):
        config = cell(every=10**6, capacitor=capacitor, reference_leaks=leaks)
        crossbar = crossbar_of(config, (64, 128))
        crossbar.write(np.zeros((64, 128), np.float32))
        wait(crossbar, 0, 10 * LEAK_EVERY)
        assert capacitor_state(crossbar).std() > 0.01
        means[leaks] = crossbar.weights.mean()

    assert means[False] > 0.02
    assert abs(means[True]) < 0.2 * means[False]


def test_memories_drift_by_their_power_law_and_a_transfer_reads_them_drifted():
    config = cell(
        every=10 * DRIFT_EVERY, pcm=EXACT.model_copy(update={"drift": 1.0, "drift_start_s": 1e-5})
    )
    crossbar = crossbar_of(config, (4, 70))
    crossbar.write(np.full((4, 70), 0.5, np.float32))
    start, held = crossbar.weights.copy(), crossbar.state()["plus"].copy()
    x, d = np.zeros((100, 4), np.float32), np.zeros((100, 70), np.float32)
    for e in range(0, 10 * DRIFT_EVERY - 100, 100):
        crossbar.update(x, d, 1, e)
    age = 9 * DRIFT_EVERY * EXAMPLE_S
    exponents = -np.log(1 - (start - crossbar.weights) / held) / np.log1p(age / 1e-5)
    drifted = crossbar.weights.copy()
    crossbar.update(x, d, 1, 10 * DRIFT_EVERY - 100)

    assert exponents.mean() == pytest.approx(0.049, abs=0.002)
    assert exponents.std() == pytest.approx(0.008, rel=0.2)
    lost = np.exp(-exponents * np.log1p(10 * DRIFT_EVERY * EXAMPLE_S / 1e-5))
    assert np.all(crossbar.weights < drifted)
    np.testing.assert_allclose(crossbar.weights, start - held * (1 - lost), atol=config.granularity)


# Writing


def test_writes_scatter_by_the_published_polynomial():
    rng = np.random.default_rng(3)
    for target in (1e-6, 5e-6, 12e-6, 20e-6):
        siemens = PcmMemory().written(
            np.full((200, 500), target, np.float32),
            lambda draw: rng.standard_normal((200, 500)).astype(np.float32),
        )
        g = target / 25e-6
        expected = (0.26348 + 1.965 * g - 1.1731 * g**2) * 1e-6
        assert siemens.std() == pytest.approx(expected, rel=0.02)
        assert siemens.mean() == pytest.approx(target, abs=5 * expected / np.sqrt(1e5))


def test_beyond_the_range_control_is_lost():
    rng = np.random.default_rng(3)
    siemens = PcmMemory().written(
        np.full((200, 500), 30e-6, np.float32),
        lambda draw: rng.standard_normal((200, 500)).astype(np.float32),
    )

    assert siemens.mean() == pytest.approx(20e-6, abs=1e-7)
    assert siemens.std() == pytest.approx(2e-6, rel=0.02)


def test_further_attempts_bring_writes_within_the_tolerance():
    rng = np.random.default_rng(3)
    missed = []
    for attempts in (1, 4):
        siemens = PcmMemory(attempts=attempts).written(
            np.full((200, 500), 10e-6, np.float32),
            lambda draw: rng.standard_normal((200, 500)).astype(np.float32),
        )
        missed.append(np.mean(np.abs(siemens - 10e-6) > 0.5e-6))

    assert missed[1] == pytest.approx(missed[0] ** 4, rel=0.1)


def test_targets_of_zero_are_reset():
    rng = np.random.default_rng(3)
    siemens = PcmMemory().written(
        np.zeros((200, 500), np.float32),
        lambda draw: rng.standard_normal((200, 500)).astype(np.float32),
    )

    assert siemens.mean() == pytest.approx(0.1e-6, rel=0.01)
    assert siemens.std() == pytest.approx(0.01e-6, rel=0.02)


def test_memories_fluctuate_from_read_to_read_as_published():
    config = cell(pcm=EXACT.model_copy(update={"read_noise_siemens": 0.13e-6,
                                               "read_noise_slope": 0.03}))  # fmt: skip
    crossbar = crossbar_of(config)
    crossbar.write(np.full(SHAPE, 0.5, np.float32))

    g_plus = crossbar.state()["plus"] * config.pcm.range_siemens
    siemens = np.hypot(0.13e-6 + 0.03 * g_plus, 0.13e-6) / config.pcm.range_siemens
    np.testing.assert_allclose(np.sqrt(crossbar.variance), siemens, rtol=1e-5)


# State


@pytest.mark.parametrize("examples_per_row", [0, 3])
@pytest.mark.parametrize("stop", [33, 41, 64, 1010])
def test_a_loaded_state_goes_on_exactly(examples_per_row, stop):
    """At any time: between leaks, amid a transfer, and between drifts."""
    config = Pcm3T1C(
        transfer=Transfer(every=40, examples_per_row=examples_per_row),
        pcm=PcmMemory(drift_start_s=1e-5), reference_leaks=True,
    )  # fmt: skip
    original, copy = crossbar_of(config), crossbar_of(config)
    original.write(weights_of())
    push(original, 0, stop)
    copy.load({name: array.copy() for name, array in original.state().items()})
    np.testing.assert_array_equal(copy.weights, original.weights)

    for crossbar in (original, copy):
        push(crossbar, stop, stop + 60, -1)

    for name, array in original.state().items():
        np.testing.assert_array_equal(copy.state()[name], array)
    np.testing.assert_array_equal(copy.weights, original.weights)
    np.testing.assert_array_equal(copy.variance, original.variance)


def test_a_micro_batch_is_cut_where_something_is_due():
    """Without noise, examples together end where they end one by one."""
    config = cell(every=40, transfer={"examples_per_row": 2}, capacitor={**SILENT, "leak_s": 1e-3})
    rng = np.random.default_rng(1)
    x = rng.random((96, SHAPE[0]), np.float32)
    d = rng.normal(0, 0.1, (96, SHAPE[1])).astype(np.float32)
    alone, together = (crossbar_of(config, update=UpdateConfig()) for _ in range(2))
    for crossbar in (alone, together):
        crossbar.write(weights_of())

    for e in range(96):
        alone.update(x[e : e + 1], d[e : e + 1], 0.01, e)
    for e in (0, 48):
        together.update(x[e : e + 48], d[e : e + 48], 0.01, e)

    np.testing.assert_array_equal(alone.state()["examples"], together.state()["examples"])
    np.testing.assert_allclose(alone.weights, together.weights, atol=1e-6)


def test_the_mean_of_many_updates_is_the_outer_product():
    config = cell(every=50)
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, SHAPE[0]).astype(np.float32)
    d = rng.normal(0, 0.1, SHAPE[1]).astype(np.float32)
    crossbar = crossbar_of(config, update=UpdateConfig())
    crossbar.write(np.zeros(SHAPE, np.float32))
    n = 400

    for e in range(n):
        crossbar.update(x[np.newaxis], d[np.newaxis], 0.001, e)

    expected = n * 0.001 * np.outer(x, d)
    slope = (crossbar.weights * expected).sum() / (expected**2).sum()
    assert slope == pytest.approx(1, abs=0.03)


# Refusals


@pytest.mark.parametrize(
    ("section", "field", "value", "rule"),
    [
        (Pcm3T1C, "gain", 0, "greater than or equal to 0.0"),
        (Transfer, "every", 0, "greater than or equal to 1"),
        (Transfer, "examples_per_row", -1, "greater than or equal to 0"),
        (Transfer, "offset_siemens", -1e-6, "greater than or equal to 0"),
        (Capacitor, "step_v", -1e-3, "greater than or equal to 0.0"),
        (Capacitor, "leak_s", 0, "greater than or equal to 0.0"),
        (Capacitor, "initial_v", 1.5, "must lie between lower_v"),
        (Capacitor, "initial_v", 0.0, "must lie between lower_v"),
        (PcmMemory, "range_siemens", 0, "greater than or equal to 0.0"),
        (PcmMemory, "write_noise", -1, "greater than or equal to 0"),
        (PcmMemory, "attempts", 9, "less than or equal to 8"),
    ],
)
def test_what_a_cell_cannot_be_is_refused(section, field, value, rule):
    with pytest.raises(ValidationError, match=rule):
        section(**{field: value})


def test_a_transistor_that_is_off_at_the_start_is_refused():
    with pytest.raises(ValidationError, match=r"capacitor\.initial_v must be above threshold_v"):
        Pcm3T1C(capacitor=Capacitor(threshold_v=0.6))


def test_word_lines_that_would_never_be_transferred_are_refused():
    tile = {"rows": 256, "cell": {"kind": "pcm_3t1c",
                                  "transfer": {"every": 100, "examples_per_row": 1}}}  # fmt: skip
    with pytest.raises(
        ValidationError, match=r"cell\.transfer\.every must be at least .* \(256\), got 100"
    ):
        TileConfig.model_validate(tile)

"""Updates and reads against numbers recorded from IBM aihwkit 1.1.0.

``test_reference.py`` lists what is recorded and not compared.
"""

import json
import math
from collections import defaultdict

import numpy as np
import pytest

from crossmesh.common.random import Purpose, Stream
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import ConstantStep
from crossmesh.tiles.analog.read import Cells, Converter, ReadConfig, Reader
from crossmesh.tiles.analog.update import UpdateConfig
from tests.tiles.analog.reference_material import (
    BOUND,
    DEVICES,
    ONE_PULSE,
    REFERENCE,
    SHAPE,
    STREAM,
    alike,
    hidden,
    noiseless,
    pulse,
    rows_of,
)

pytestmark = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="needs shared/reference/aihwkit beside the repository"
)


TRAINS = {"STOCHASTIC_COMPRESSED": "stochastic", "STOCHASTIC": "stochastic"}


def update_cases():
    path = REFERENCE / "part2_summary.json"
    return json.loads(path.read_text())["cases"] if path.is_file() else {}


STOCHASTIC_CASES = [name for name, case in update_cases().items() if case["pulse_type"] in TRAINS]


DETERMINISTIC_CASES = [name for name in update_cases() if name not in STOCHASTIC_CASES]


def outer_product():
    table = np.array([[float(row["x"]), float(row["d"])] for row in rows_of("part2_x_d.csv")])
    return table[:, 0].astype(np.float32), table[:, 1].astype(np.float32)


def crossbar_of(case, trains):
    device = alike(ConstantStep(step=case["dw_min"], cycle_noise=case["dw_min_std"]))
    config = UpdateConfig(
        trains=trains,
        length=case["desired_bl"],
        update_management=case["update_management"] or case["update_bl_management"],
        length_management=case["update_bl_management"],
    )
    return build(device, SHAPE, Stream(seed=3, owner=0), config)


def probabilities(case, x, d):
    """The rule: train length and the probabilities of both sides, clipped at 1."""
    needed = case["lr"] * abs(x).max() * abs(d).max() / case["dw_min"]
    longest = case["desired_bl"]
    length = min(longest, math.ceil(needed)) if case["update_bl_management"] else longest
    scale = math.sqrt(case["lr"] / (case["dw_min"] * length))
    balance = 1.0
    if case["update_management"] or case["update_bl_management"]:
        balance = math.sqrt(abs(d).max() / max(1, needed / longest) / abs(x).max())
    p_x, p_d = scale * balance * abs(x), scale / balance * abs(d)
    return length, np.minimum(1, p_x), np.minimum(1, p_d)


def repeated_updates(case, x, d):
    """Changes ``(repeats, rows, cols)`` of a zero crossbar, each with random numbers of its own.

    The weight grows by ``x * d`` here and falls by it there, hence the sign.
    """
    crossbar = crossbar_of(case, "stochastic")
    changes = np.empty((case["repeats"], *SHAPE), np.float32)
    zero = np.zeros(SHAPE, np.float32)
    for k, change in enumerate(changes):
        crossbar.write(zero)
        crossbar.update(x[None], -d[None], case["lr"], k)
        change[:] = crossbar.weights
    return changes


def predicted_update(case, x, d):
    """The rule's mean and variance of each element, and the probability of a coincidence."""
    length, p_x, p_d = probabilities(case, x, d)
    assert length == case["predicted_train_length"]
    p = np.outer(p_x, p_d)
    mean = -np.outer(np.sign(x), np.sign(d)) * length * case["dw_min"] * p
    variance = case["dw_min"] ** 2 * length * p * (1 - p + case["dw_min_std"] ** 2)
    return mean, variance, p


@pytest.mark.slow
@pytest.mark.parametrize("name", STOCHASTIC_CASES)
def test_updates_have_the_recorded_mean_and_spread(name):
    """2,000 repeats of 64 x 64 updates, against the rule and against the recorded run.

    Mean: each element within 6 standard errors of the rule, whose scores spread by 1 within 15 %
    (rows and columns share trains, so scores are correlated); the slope on the ideal within 5 of
    its own. Spread: rms over elements within 1 % of rule and record.
    """
    case = update_cases()[name]
    x, d = outer_product()
    changes = repeated_updates(case, x, d)
    n = len(changes)
    mean = changes.mean(axis=0, dtype=float)
    rms = math.sqrt(changes.var(axis=0, dtype=float).mean())

    predicted, variance, p = predicted_update(case, x, d)
    certain = p > 1 - 1e-9
    np.testing.assert_allclose(mean[certain], predicted[certain], rtol=1e-6)
    rounding = 1e-8  # of 31 steps that are added one after the other
    z = (mean - predicted)[~certain] / np.sqrt(variance[~certain] / n + rounding**2)
    assert np.abs(z).max() < 6
    assert z.std() == pytest.approx(1, abs=0.15)
    assert rms == pytest.approx(math.sqrt(variance.mean()), rel=0.01)
    assert rms == pytest.approx(case["rms_std_predicted_binomial"], rel=0.01)
    assert rms == pytest.approx(case["rms_std_measured"], rel=0.01)

    ideal = -case["lr"] * np.outer(x, d).astype(float)
    slopes = (changes * ideal).sum(axis=(1, 2), dtype=float) / (ideal**2).sum()
    error = slopes.std() / math.sqrt(n)
    assert abs(slopes.mean() - (predicted * ideal).sum() / (ideal**2).sum()) < BOUND * error
    assert abs(slopes.mean() - case["slope_mean_vs_ideal"]) < BOUND * math.sqrt(2) * error


def deterministic_update(name):
    """Changes by one update with deterministic trains, the ideal ones, and those of the rule."""
    case = update_cases()[name]
    x, d = outer_product()
    crossbar = crossbar_of(case, "deterministic")
    crossbar.update(x[None], -d[None], case["lr"], 0)
    ideal = -case["lr"] * np.outer(x, d).astype(float)
    return crossbar.weights.astype(float), ideal, predicted_update(case, x, d)[0]


@pytest.mark.parametrize("name", DETERMINISTIC_CASES)
def test_deterministic_trains_follow_the_same_mean_rule(name):
    """Within what is rounded: each side's pulses, weighted by the other side, and coincidences.

    Slopes on the ideal differ by less than 0.001.
    """
    case = update_cases()[name]
    changes, ideal, predicted = deterministic_update(name)
    _, p_x, p_d = probabilities(case, *outer_product())

    counts = changes / case["dw_min"]
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)
    rounding = 0.5 + (p_x[:, None] + p_d) / 2 + 0.25 / case["desired_bl"]
    assert np.all(np.abs(counts - predicted / case["dw_min"]) <= rounding + 1e-3)
    slope = (changes * ideal).sum() / (ideal**2).sum()
    assert slope == pytest.approx(case["slope_mean_vs_ideal"], abs=1e-3)


def test_deterministic_trains_are_those_of_mean_count():
    """All that is recorded about its 4,096 elements agrees to float32."""
    (name,) = (name for name in DETERMINISTIC_CASES if name.endswith("mean_count"))
    case = update_cases()[name]
    changes, ideal, predicted = deterministic_update(name)

    slope = (changes * ideal).sum() / (ideal**2).sum()
    ratio = np.abs(changes).sum() / np.abs(ideal).sum()
    residual = math.sqrt(((changes - predicted) ** 2).mean())
    assert slope == pytest.approx(case["slope_mean_vs_ideal"], rel=1e-6)
    assert ratio == pytest.approx(case["ratio_sum_abs_mean_to_ideal"], rel=1e-6)
    assert residual == pytest.approx(case["rms_residual_to_clipped_prediction"], rel=1e-6)
    assert np.abs(changes).max() == pytest.approx(case["max_abs_mean"], rel=1e-6)


GRANULARITY = [
    (name, direction)
    for name in DEVICES
    for direction in ("up", "down")
    if (name, direction) != ("PCM_single", "down")  # cannot go below its start
]


@pytest.mark.parametrize(("name", "direction"), GRANULARITY)
def test_trains_are_scaled_for_the_same_granularity(name, direction):
    """Within 2 %; 5 % for PCM, whose step falls within a recorded train."""
    (row,) = rows_of("part2b_granularity.csv", device=name, direction=direction)
    device = noiseless(DEVICES[name])
    crossbar = build(device, (1, 1), STREAM, ONE_PULSE)

    pulse(crossbar, direction == "up", 0)

    step = hidden(crossbar).item()
    assert step == pytest.approx(float(row["step_at_zero"]), rel=1e-5)
    rel = 0.05 if name == "PCM_single" else 0.02
    assert device.granularity == pytest.approx(float(row["implied_granularity"]), rel=rel)
    recorded = float(row["mean_update_over_ideal"])
    assert abs(step) / device.granularity == pytest.approx(recorded, rel=rel)


def read_cases():
    path = REFERENCE / "part3_summary.json"
    return json.loads(path.read_text())["cases"] if path.is_file() else {}


NOT_EXPRESSIBLE = {
    "w_noise_0.02_pcm_read_no_out_noise": "noise of a weight grows with its magnitude",
    "dac_stochastic_rounding": "converters round to the nearest level",
    "adc_stochastic_rounding": "converters round to the nearest level",
    "nm_constant_2": "noise management is none or by the largest magnitude",
    "nm_abs_max_np_sum": "noise management is none or by the largest magnitude",
    "bm_worst_case_out_bound_1": "bound management is none or iterative",
    "out_nonlinearity_0.1": "outputs are linear up to the converter",
}


EXPRESSIBLE = [case for case in read_cases() if case.split("/")[0] not in NOT_EXPRESSIBLE]


def read_config(changes):
    """The recorded base settings with a case's changes."""
    changes = dict(changes)
    if changes.pop("is_perfect", False):
        return ReadConfig(dac=None, adc=None, output_noise=0)
    has_dac, has_adc = (changes.pop(key, 0) >= 0 for key in ("inp_res", "out_res"))
    bound = changes.pop("out_bound", 12.0)
    changes.pop("w_noise_type", None)
    config = ReadConfig(
        noise_management={"None": "none"}.get(changes.pop("noise_management", ""), "abs_max"),
        bound_management={"None": "none"}.get(changes.pop("bound_management", ""), "iterative"),
        dac=Converter(bits=7, range=1.0) if has_dac else None,
        adc=Converter(bits=9, range=bound) if has_adc else None,
        input_noise=changes.pop("inp_noise", 0.0),
        weight_noise=changes.pop("w_noise", 0.0),
        output_noise=changes.pop("out_noise", 0.06),
        max_input_reduction=changes.pop("max_bm_factor", 1000.0),
    )
    assert not changes
    return config


def recorded_read(case):
    """Driven vector, weights (inputs, outputs) and recorded outputs of a case."""
    name, direction = case.split("/")
    weights = np.array(
        [[float(row[f"col{j}"]) for j in range(64)] for row in rows_of("part3_W.csv")], np.float32
    )  # (outputs, inputs)
    column = "x" if direction == "forward" else "d"
    vector = np.array([float(row[column]) for row in rows_of("part3_x_d.csv")], np.float32)
    vector *= np.float32(read_cases()[case]["input_factor"])
    columns = defaultdict(list)
    for row in rows_of("part3_outputs.csv", case=name, direction=direction):
        for key in ("y_exact", "y_mean", "y_std"):
            columns[key].append(float(row[key]))
    outputs = {key: np.array(values) for key, values in columns.items()}
    return vector, weights.T if direction == "forward" else weights, outputs


def our_reads(case, n):
    vector, weights, outputs = recorded_read(case)
    reader = Reader(
        read_config(read_cases()[case]["changes"]),
        forward=case.endswith("/forward"),
    )
    keys = np.stack([STREAM.key(Purpose.FORWARD_INPUT), STREAM.key(Purpose.FORWARD_OUTPUT)])
    y = reader.product(np.tile(vector, (n, 1)), Cells(weights), 0, keys).astype(float)
    np.testing.assert_allclose(vector @ weights, outputs["y_exact"], atol=2e-6)
    return y, outputs


def test_all_recorded_reads_are_compared_or_said_not_to_be():
    assert {case.split("/")[0] for case in read_cases()} >= set(NOT_EXPRESSIBLE)
    assert len(EXPRESSIBLE) == 44


NOISE_FREE = [c for c in EXPRESSIBLE if read_cases()[c]["std_rms_over_outputs"] < 1e-9]


@pytest.mark.parametrize("case", NOISE_FREE)
def test_reads_without_noise_are_the_same(case):
    """To 1e-6, which float32 leaves: no output is off by a level."""
    y, outputs = our_reads(case, 2)

    np.testing.assert_allclose(y, np.tile(outputs["y_mean"], (2, 1)), atol=1e-6)


@pytest.mark.parametrize("case", [c for c in EXPRESSIBLE if c not in NOISE_FREE])
def test_noisy_reads_have_the_same_mean_and_spread(case):
    """2,000 repeats there, 8,000 here, of 64 outputs."""
    y, outputs = our_reads(case, 8000)

    n = 1 / (1 / 2000 + 1 / len(y))
    deviation = y.std(axis=0)
    # A saturated output leaves its level so rarely that one sample may show it and one not.
    larger = np.maximum(deviation, outputs["y_std"])
    difference = np.abs(y.mean(axis=0) - outputs["y_mean"])
    assert np.all(difference <= BOUND * larger / math.sqrt(n) + 1e-6)
    often = (y != np.median(y, axis=0)).mean(axis=0) > 0.01
    centred = y - y.mean(axis=0)
    error = np.sqrt(np.maximum((centred**4).mean(axis=0) - deviation**4, 0) / n)
    variance = np.abs(deviation**2 - outputs["y_std"] ** 2)
    assert np.all((variance <= BOUND * error)[often])
    rms = math.sqrt((deviation**2).mean())
    assert rms == pytest.approx(read_cases()[case]["std_rms_over_outputs"], rel=0.015)


REPEATING = [c for c in EXPRESSIBLE if "bound_management_factor_counts" in read_cases()[c]]


@pytest.mark.parametrize("case", REPEATING)
def test_bound_management_reduces_as_often(case):
    """Seen from the outputs: all of them are multiples of the reduction times a step."""
    counts = read_cases()[case]["bound_management_factor_counts"]
    y, _ = our_reads(case, 8000)
    vector, _, _ = recorded_read(case)
    step = read_config(read_cases()[case]["changes"]).adc.step * np.abs(vector).max()
    reductions = np.ones(len(y))
    for f in (2, 4, 8, 16, 32):
        levels = y / (f * step)
        reductions[np.all(np.abs(levels - np.rint(levels)) < 1e-3, axis=1)] = f
    for f, count in counts.items():
        p = count / 2000
        share = (reductions == int(f)).mean()
        assert abs(share - p) <= BOUND * math.sqrt(p * (1 - p) * (1 / 2000 + 1 / len(y))) + 1e-9

"""Programmed memories: published polynomials, recorded statistics of aihwkit, and compensation."""

import csv
import math

import numpy as np
import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.common.random import Stream
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.retention import age, parse_times, summed_up, time_text
from crossmesh.emulator.training.training import evaluate, train
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.programmed import MODELS, ProgrammedPcm
from crossmesh.tiles.analog.retention import Aging, aged
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from tests.jobs import small_config
from tests.tiles.analog.reference_material import REFERENCE

SHAPE = (300, 400)
rng = np.random.default_rng(12)
recorded = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="needs shared/reference/aihwkit beside the repository"
)


def normals():
    return rng.standard_normal(SHAPE).astype(np.float32)


def rows(name):
    with (REFERENCE / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Published formulas

SCATTERS = {  # microsiemens at g = 0.5, worked out by hand
    "pcm": 0.26348 + 1.965 * 0.5 - 1.1731 * 0.25,
    "hermes": 0.15782 + 2.32444 * 0.5 - 2.16311 * 0.25 + 0.68842 * 0.125,
    "hermes-2": 0.16603 + 4.71806 * 0.5 - 8.48101 * 0.25 + 4.68961 * 0.125,
    "reram": 0.348 + 16.030 * 0.5 - 43.853 * 0.25 + 45.393 * 0.125 - 16.815 * 0.0625,
}


@pytest.mark.parametrize("name", MODELS)
def test_programmed_conductances_scatter_as_published(name):
    model = MODELS[name]
    after_s = 1.0
    siemens = model.programmed(np.full(SHAPE, 0.5, np.float32), normals(), after_s)

    assert siemens.mean() == pytest.approx(0.5 * model.full_scale_siemens, rel=0.005)
    assert siemens.std() == pytest.approx(SCATTERS[name] * 1e-6, rel=0.01)
    assert set(SCATTERS) == set(MODELS)


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("pcm", 0.049, 0.008),
        ("hermes", 0.0736 - 0.0126 * 0.5 - 0.0436 * 0.25, 0.0104 + 0.0116 * 0.5 - 0.0165 * 0.25),
        ("hermes-2", 0.0736 - 0.0126 * 0.5 - 0.0436 * 0.25, 0.0073 + 0.0093 * 0.5 - 0.0118 * 0.25),
        ("reram", 0, 0),
    ],
)
@pytest.mark.parametrize("after_s", [60.0, 86400.0, 31536000.0])
def test_conductances_drift_as_published(name, mean, deviation, after_s):
    model = MODELS[name]
    start = np.full(SHAPE, 1e-6, np.float32)
    now = model.drifted(start, np.full(SHAPE, 0.5, np.float32), normals(), after_s)
    exponents = -np.log(now / start) / math.log1p(after_s / model.start_s)

    assert exponents.mean() == pytest.approx(mean, abs=2e-4)
    assert exponents.std() == pytest.approx(deviation, rel=0.01, abs=1e-6)


def test_read_noise_grows_with_the_logarithm_of_time():
    model = ProgrammedPcm()
    g = np.full((1, 1), 12.5e-6, np.float32)
    for after_s in (0.0, 3600.0, 1e7):
        relative = 0.0088 / 0.5**0.65 * math.sqrt(math.log((after_s + 20 + 250e-9) / 500e-9))
        assert model.read_deviation(g, g, after_s)[0, 0] == pytest.approx(
            12.5e-6 * relative, rel=1e-5
        )


def test_the_scatter_of_resistive_memory_grows_between_its_measured_times():
    model, g = MODELS["reram"], np.array([[0.5]], np.float32)
    at = [float(model.scatter(g, t)[0, 0]) for t in (0.1, 1, 300, 86400, 120000, 172800, 1e9)]

    assert at[0] == at[1] == pytest.approx(SCATTERS["reram"] * 1e-6, rel=1e-5)
    assert at[5] == at[6]
    assert at[1] < at[2] < at[3]
    assert min(at[3], at[5]) <= at[4] <= max(at[3], at[5])


# Records of aihwkit


@recorded
def test_conductances_are_those_of_the_record():
    """To 0.02 uS in the mean and 2.5 % in the spread, 200,000 devices on their side."""
    model = ProgrammedPcm()
    shape = (400, 500)
    compared = 0
    for row in rows("part5a_conductance.csv"):
        target = np.full(shape, float(row["g_target_over_g_max"]), np.float32)
        after_s = float(row["t_inference_s"])
        normal = [rng.standard_normal(shape).astype(np.float32) for _ in range(3)]
        fresh = model.programmed(target, normal[0])
        drifted = model.drifted(fresh, target, normal[1], after_s)
        deviation = model.read_deviation(fresh, drifted, after_s)
        seen = np.maximum(drifted + deviation * normal[2], 0)
        for ours, name in ((fresh, "g_prog"), (seen, "g_drift")):
            mean, std = float(row[f"{name}_mean_uS"]), float(row[f"{name}_std_uS"])
            assert ours.mean() * 1e6 == pytest.approx(mean, abs=0.02)
            assert ours.std() * 1e6 == pytest.approx(std, rel=0.025)
            compared += 1
    assert compared >= 60


@recorded
def test_drift_exponents_are_those_of_the_record():
    for row in rows("part5a_drift_exponent.csv"):
        g = np.full(SHAPE, float(row["g_target_over_g_max"]), np.float32)
        now = ProgrammedPcm().drifted(np.ones(SHAPE, np.float32), g, normals(), 20 * (math.e - 1))
        exponents = -np.log(now)
        assert exponents.mean() == pytest.approx(float(row["nu_mean"]), rel=0.01)
        assert exponents.std() == pytest.approx(float(row["nu_std"]), rel=0.015)


@recorded
def test_weights_of_a_tile_are_those_of_the_record():
    """With a perfect readout, as theirs: means to 0.006, spreads to 8 % and 0.003.

    There drift acts on the difference of a pair, here on each of its memories, so the memory that
    is aimed at 0 drifts too.
    """
    targets = sorted({float(row["w_target"]) for row in rows("part5b_weights.csv")})
    weights = np.tile(np.array(targets, np.float32), (2000, 1))
    compared = 0
    for row in rows("part5b_weights.csv"):
        if row["compensation_readout"] != "perfect_readout":
            continue
        column = targets.index(float(row["w_target"]))
        for compensated, name in ((False, "w_drift"), (True, "w_compensated")):
            ages = Aging(
                model=ProgrammedPcm(), repetition=0, after_s=float(row["t_inference_s"]),
                compensated=compensated,
            )  # fmt: skip
            then = aged(weights, Stream(seed=3, owner=0), ages)
            seen = then.unit * (then.plus - then.minus)[:, column]
            spread = math.hypot(seen.std(), math.sqrt(then.variance[:, column].mean()))
            assert seen.mean() == pytest.approx(float(row[f"{name}_mean"]), abs=0.006)
            assert spread == pytest.approx(float(row[f"{name}_std"]), rel=0.08, abs=0.003)
            compared += 1
    assert compared > 50


@recorded
def test_compensation_factors_are_those_of_the_record():
    targets = sorted({float(row["w_target"]) for row in rows("part5b_weights.csv")})
    weights = np.tile(np.array(targets, np.float32), (500, 24))
    for row in rows("part5b_compensation_factor.csv"):
        if row["compensation_readout"] != "perfect_readout":
            continue
        ages = Aging(
            model=ProgrammedPcm(),
            repetition=0,
            after_s=float(row["t_inference_s"]),
            compensated=True,
        )
        factor = aged(weights, Stream(seed=3, owner=0), ages).unit / np.abs(weights).max()
        assert factor == pytest.approx(float(row["alpha_mean"]), rel=0.01)


# Tiles


def tile_with(weights):
    config = TileConfig.model_validate({"cell": {"kind": "ideal"}, "read": {"output_noise": 0}})
    tile = Tile(config, Block(tile=0, layer="", row=0, col=0, shape=weights.shape), 0.5, 0)
    tile.write(weights)
    return tile


def ageing(**changes):
    return Aging(
        **{"model": ProgrammedPcm(), "repetition": 0, "after_s": 1e7, "compensated": True} | changes
    )


def test_compensation_restores_the_mean():
    weights = rng.uniform(-0.5, 0.5, (200, 150)).astype(np.float32)
    then = {
        compensated: aged(weights, Stream(seed=1, owner=1), ageing(compensated=compensated))
        for compensated in (False, True)
    }
    slopes = {
        compensated: float((a.unit * (a.plus - a.minus) * weights).sum() / (weights**2).sum())
        for compensated, a in then.items()
    }

    assert slopes[False] < 0.65
    assert slopes[True] == pytest.approx(1, abs=0.03)


def test_ageing_leaves_the_state_alone():
    tile = tile_with(rng.uniform(-0.5, 0.5, (20, 15)).astype(np.float32))
    x, digest = rng.random((3, 20), np.float32), tile.digest()
    before = tile.forward(x, 0)

    tile.age(ageing())
    aged_outputs = tile.forward(x, 0)
    tile.age(None)

    assert np.abs(aged_outputs - before).max() > 0.01
    np.testing.assert_array_equal(tile.forward(x, 0), before)
    assert tile.digest() == digest


def test_repetitions_are_programmed_anew_and_the_same_again():
    weights = rng.uniform(-0.5, 0.5, (20, 15)).astype(np.float32)
    stream = Stream(seed=1, owner=1)
    one, other, again = (aged(weights, stream, ageing(repetition=k)) for k in (0, 1, 0))

    np.testing.assert_array_equal(one.plus, again.plus)
    assert not np.array_equal(one.plus, other.plus)


def test_a_tile_of_zeros_can_age():
    then = aged(np.zeros((4, 5), np.float32), Stream(seed=1, owner=1), ageing())

    assert np.all(np.isfinite(then.plus))


# The command's work


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("aged") / "run"
    config = small_config("soft_bounds")
    train(config, path)
    return path, config


def test_a_run_is_tested_at_every_age_and_left_as_it_is(run):
    path, config = run
    directory = RunDirectory.existing(path)
    before = evaluate(directory, config, str)
    ages = age(directory, config, (1.0, 1e7), repeats=3)

    assert ages.table.num_rows == 2 * 2 * 3
    assert (path / "after.parquet").is_file()
    assert [(row.after_s, row.compensated) for row in summed_up(ages.table)] == [
        (1.0, False), (1.0, True), (1e7, False), (1e7, True),
    ]  # fmt: skip
    assert evaluate(directory, config, str) == before


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_ray_ages_the_same(run):
    path, config = run
    directory = RunDirectory.existing(path)
    here = age(directory, config, (3600.0,), repeats=2)
    engine = config.engine.model_copy(update={"kind": "ray", "tiles_per_actor": 4})
    there = age(directory, config.model_copy(update={"engine": engine}), (3600.0,), repeats=2)

    assert there.table == here.table


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s,1h", (1, 3600)),
        ("1y, 30d", (2592000, 31536000)),
        ("5min", (300,)),
        ("0s", (0,)),
        (".5h", (1800,)),
    ],
)
def test_times_are_read(text, seconds):
    assert parse_times(text) == seconds
    assert parse_times(",".join(map(time_text, seconds))) == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "s", "1x", "-1s", "1s,,2s", "1 s h", "1e3s", "9" * 400 + "s"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(
        ConfigError, match=r"--after must be (times such as 1s,1h,30d with a unit|at most)"
    ):
        parse_times(text)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"inference": "pmc"}, "inference must be of pcm, hermes, hermes-2, reram, got pmc"),
        ({"repeats": 0}, "--repeats must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(run, changes, rule):
    path, config = run
    with pytest.raises(ConfigError, match=rule):
        age(RunDirectory.existing(path), config, (1.0,), **changes)

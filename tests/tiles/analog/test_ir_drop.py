"""Wire resistance, to first order and exactly, against Kirchhoff's laws."""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from crossmesh.common.random import Stream
from crossmesh.emulator.cli import main
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.training.training import train
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.ir_drop import (
    LARGEST_LOSS,
    Wires,
    largest_loss,
    lost_to_first_order,
    model_of,
)
from crossmesh.tiles.analog.nodal import WireNetwork
from crossmesh.tiles.analog.read import ReadConfig
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.analog.update import UpdateConfig
from crossmesh.tiles.analog.warming import warm_up
from tests import naive
from tests.jobs import CELLS, small_config, small_job

SHAPES = [(8, 8), (16, 12), (5, 20)]
PERFECT = {"noise_management": "none", "bound_management": "none", "dac": None, "adc": None,
           "output_noise": 0.0}  # fmt: skip
rng = np.random.default_rng(8)
MNIST = Path(__file__).parents[4] / "shared" / "data" / "mnist"


def array_of(shape, kind="uniform"):
    g = {"all on": np.ones(shape), "uniform": rng.random(shape), "sparse": rng.random(shape) ** 9}
    return g[kind].astype(np.float32)


def effective(g, resistance):
    return g - lost_to_first_order(g, resistance)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_order_is_that_of_kirchhoffs_laws(shape):
    """Half the resistance leaves a quarter of the error."""
    g, x = array_of(shape), rng.random(shape[0])
    errors = []
    for resistance in (4e-4, 2e-4, 1e-4):
        exact = naive.currents(g.astype(float), resistance, x)
        errors.append(np.abs(x @ effective(g, resistance) - exact).max())

    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_left_out_is_the_square_of_what_is_taken_off(shape):
    g, x = array_of(shape), rng.random(shape[0])
    resistance = 2e-4
    exact, ideal = naive.currents(g.astype(float), resistance, x), x @ g
    loss = np.abs(exact / ideal - 1).max()
    error = np.abs(x @ effective(g, resistance) / exact - 1).max()

    assert 0.005 < loss < 0.1
    assert error < 1.5 * loss**2


@pytest.mark.parametrize("shape", SHAPES)
def test_backwards_the_array_is_the_transposed_one(shape):
    g, d = array_of(shape), rng.random(shape[1])
    g = g * 0.9 + 0.1 * (rng.random(shape) > 0.5).astype(np.float32)
    resistance = 1e-4
    exact = naive.currents(g.astype(float), resistance, d, backward=True)

    np.testing.assert_allclose(effective(g, resistance) @ d, exact, rtol=2e-3)


def with_devices(cell, **changes):
    """A cell of other devices."""
    inner = next((name for name in ("pair", "device") if name in cell), None)
    return {**cell, **({inner: with_devices(cell[inner], **changes)} if inner else changes)}


NO_SPREAD = {"device_noise": 0.0, "lower_device_noise": 0.0, "upper_device_noise": 0.0}
REFERENCED = {
    f"{kind} with references": with_devices(cell, reference_mean=0.3, reference_noise=0.02)
    for kind, cell in CELLS.items()
    if kind not in {"ideal", "pcm_3t1c"}
}
REFERENCED["at symmetry points"] = with_devices(CELLS["pairs"], symmetry_referenced=True)
ALL_CELLS = CELLS | REFERENCED


@pytest.mark.parametrize("kind", ALL_CELLS)
def test_a_cells_arrays_add_up_to_its_weights(kind):
    tile = TileConfig.model_validate({"rows": 9, "cell": ALL_CELLS[kind]})
    crossbar = build(tile.cell, (9, 70), Stream(seed=2, owner=1), UpdateConfig())
    crossbar.write(rng.uniform(-0.3, 0.3, (9, 70)).astype(np.float32))
    for e in range(40):
        x, d = rng.random((1, 9), np.float32), rng.normal(0, 0.1, (1, 70)).astype(np.float32)
        crossbar.update(x, d, 0.05, e)

    arrays = crossbar.arrays()
    assert len(arrays) == tile.cell.n_arrays
    total = sum(factor * g for factor, g in arrays)
    np.testing.assert_allclose(total, crossbar.weights, atol=2e-6)


@pytest.mark.parametrize("kind", [kind for kind in REFERENCED if "jump_table" not in kind])
def test_no_device_and_no_reference_within_bounds_conducts_less_than_nothing(kind):
    """Those of jump tables have bounds of their own table, and not typical ones."""
    changes = {"reference_noise": 0.0, "write_noise": 0.0}
    config = with_devices(REFERENCED[kind], **changes, **({} if "pcm" in kind else NO_SPREAD))
    cell = TypeAdapter(Cell).validate_python(config)
    crossbar = build(cell, (9, 30), Stream(seed=2, owner=1), UpdateConfig())
    crossbar.write(rng.uniform(-2, 2, (9, 30)).astype(np.float32))

    for _, g in crossbar.arrays():
        assert g.min() >= -1e-6
        assert g.max() <= cell.largest_conductance + 1e-6


@pytest.mark.parametrize(("own", "common"), [(0.3, 0.0), (0.0, 0.0), (0.3, 0.5), (0.1, 0.4)])
def test_wires_see_what_conducts_and_not_what_is_read(own, common):
    """Devices stand at 0, which is 0.6 above their lower bound."""
    device = {"kind": "soft_bounds", "reference_mean": own, **NO_SPREAD}
    alone = (
        {"kind": "shared_reference", "reference": common, "device": device} if common else device
    )
    pair = {"kind": "pair", "device": device}
    against = [(-1, 0.6 + own + common), (1, 0.6)]
    in_pair = [(-1, 0.6 + own), (1, 0.6 + own)] * (1 + bool(own))
    for config, weight, expected in ((alone, -own - common, against), (pair, 0, in_pair)):
        cell = TypeAdapter(Cell).validate_python(config)
        crossbar = build(cell, (3, 4), Stream(seed=2, owner=1), UpdateConfig())
        crossbar.write(np.full((3, 4), weight, np.float32))
        found = sorted((factor, float(np.mean(g))) for factor, g in crossbar.arrays())

        assert [f for f, _ in found] == [f for f, _ in sorted(expected)]
        assert [g for _, g in found] == pytest.approx([g for _, g in sorted(expected)], abs=1e-6)
        assert cell.largest_conductance == pytest.approx(max(1.2, *(g for _, g in expected)))


# The exact model


KINDS = ("all on", "uniform", "sparse")
RESISTANCES = (1e-6, 1e-5, 1e-4)
SMALL = [(shape, kind, r) for shape in ((32, 32), (64, 64), (20, 96), (96, 20), (1, 7), (7, 1))
         for kind in KINDS for r in RESISTANCES]  # fmt: skip
LARGE = [((128, 128), kind, 1e-4) for kind in KINDS] + [((128, 128), "sparse", 1e-6)]
LARGE += [((256, 256), "uniform", 1e-4)]


def errors_of_drop(lost, exact, g, drives):
    """Relative errors of what wires take off, for every drive."""
    dropped = drives @ (g - exact)
    difference = drives @ lost - dropped
    return np.linalg.norm(difference, axis=1) / np.linalg.norm(dropped, axis=1)


def drives_of(n):
    return np.stack([np.ones(n), rng.uniform(-1, 1, n), np.arange(n) == n // 2])


def check_exact(shape, kind, resistance):
    g = array_of(shape, kind)
    exact = naive.transfer(g.astype(float), resistance)
    network = WireNetwork(g, resistance)
    x, d = drives_of(shape[0]), drives_of(shape[1])
    by_vector = network.lost(x.astype(np.float32)), network.lost_backward(d.astype(np.float32))

    assert errors_of_drop(network.matrix(), exact, g, x).max() < 5e-4
    for drives, vectors, matrix in ((x, by_vector[0], g - exact), (d, by_vector[1], (g - exact).T)):
        right = drives @ matrix
        assert np.all(
            np.linalg.norm(vectors - right, axis=1) < 5e-4 * np.linalg.norm(right, axis=1)
        )


def test_the_oracle_for_larger_arrays_is_that_for_small_ones():
    g, x = rng.random((7, 9)), rng.random(7)

    np.testing.assert_allclose(x @ naive.transfer(g, 0.02), naive.currents(g, 0.02, x), rtol=1e-10)


@pytest.mark.parametrize(("shape", "kind", "resistance"), SMALL)
def test_exact_is_kirchhoffs_laws_within_a_thousandth_of_the_drop(shape, kind, resistance):
    check_exact(shape, kind, resistance)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "kind", "resistance"), LARGE)
def test_exact_is_kirchhoffs_laws_on_large_arrays(shape, kind, resistance):
    check_exact(shape, kind, resistance)


@pytest.mark.parametrize("resistance", [1e-3, 0.03, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_exact_holds_where_wires_take_nearly_everything(kind, resistance):
    check_exact((48, 40), kind, resistance)


def test_devices_that_do_not_conduct_lose_nothing():
    for g in (np.zeros((5, 6), np.float32), np.zeros((1, 1), np.float32)):
        assert not WireNetwork(g, 1e-3).matrix().any()


def test_conductances_that_are_not_finite_give_nan_and_no_error():
    g = array_of((5, 6))
    g[2, 3] = np.nan

    assert np.isnan(WireNetwork(g, 1e-3).matrix()).any()


def test_a_vectors_bits_do_not_depend_on_the_others():
    network = WireNetwork(array_of((33, 17)), 1e-3)
    x = rng.uniform(-1, 1, (7, 33)).astype(np.float32)
    together = network.lost(x)

    for e in range(7):
        np.testing.assert_array_equal(network.lost(x[e : e + 1])[0], together[e])


FIRST_ORDER = [  # sizes and resistances at which ``auto`` takes it
    (size, resistance)
    for size in (32, 64, 128)
    for resistance in (3e-7, 1.2e-6, 2e-6, 4.7e-6)
    if model_of("auto", (size, size), resistance, 1.0) == "first_order"
]


def test_auto_takes_the_first_order_where_little_is_lost():
    assert {size for size, _ in FIRST_ORDER} == {32, 64, 128}
    for size in (32, 64, 128):
        assert model_of("auto", (size, size), 9e-6, 1.0) == "exact"
        assert largest_loss((size, size), 9e-6, 1.0) > LARGEST_LOSS


@pytest.mark.parametrize(("size", "resistance"), FIRST_ORDER)
@pytest.mark.parametrize("kind", KINDS)
def test_auto_errs_by_two_percent_of_the_drop_at_most(size, kind, resistance):
    """Where it takes the first order; the exact model is checked above."""
    shape = (size, size)
    g = array_of(shape, kind)
    right = g - WireNetwork(g, resistance).matrix()
    lost = lost_to_first_order(g, resistance)

    assert errors_of_drop(lost, right, g, drives_of(size)).max() < 0.02


def test_auto_takes_the_exact_model_for_a_state_beyond_what_devices_hold():
    g = 40 * array_of((32, 32))
    wires = Wires(4e-6, "auto", (32, 32), 1.0)
    seen = wires.behind(g, lambda: [(1.0, g)], backward=False).weights

    np.testing.assert_allclose(g - seen, WireNetwork(g, 4e-6).matrix(), rtol=2e-2, atol=1e-5)


@pytest.mark.parametrize("kind", ALL_CELLS)
def test_few_and_many_vectors_read_the_same(kind):
    """Solved vector by vector, or as a matrix, forward and backward, for every cell."""
    read = {**PERFECT, "wire_resistance": 1e-4, "wire_model": "exact"}
    config = TileConfig.model_validate({"rows": 9, "cell": ALL_CELLS[kind], "read": read})
    few, many = (Tile(config, Block(tile=0, layer="", row=0, col=0, shape=(9, 30)), 1.0, 0)
                 for _ in range(2))  # fmt: skip
    draw = np.random.default_rng(30)
    w = draw.uniform(-0.3, 0.3, (9, 30)).astype(np.float32)
    x, d = draw.uniform(-1, 1, (3, 9)).astype(np.float32), draw.random((3, 30), np.float32)
    for tile, examples in ((few, 1), (many, 100)):
        tile.write(w)
        tile.begin(None, examples)

    forward, backward = few.forward(x, 0), few.backward(d, 0)
    # Both are solved to a part of the drops, which are those of whole arrays and not of weights.
    np.testing.assert_allclose(forward, many.forward(x, 0), rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(backward, many.backward(d, 0), rtol=1e-4, atol=2e-4)
    assert forward.dtype == backward.dtype == np.float32


@pytest.mark.parametrize("model", ["auto", "exact", "first_order"])
def test_the_warm_up_solves_by_vector_and_as_a_matrix(monkeypatch, model):
    """So that no run compiles a solve in its middle; a state may ask any model for one."""
    solved = set()

    def watched(name):
        solve = getattr(WireNetwork, name)
        return lambda *arguments: solved.add(name) or solve(*arguments)

    ways = {"lost", "lost_backward", "matrix"}
    for name in ways:
        monkeypatch.setattr(WireNetwork, name, watched(name))
    warm_up(TileConfig(read=ReadConfig(wire_resistance=1e-6, wire_model=model)))

    assert solved == ways


def test_tiles_that_are_never_updated_are_read_as_matrices(monkeypatch):
    expected, expect = set(), Wires.expect

    def watched(wires, vectors):
        expected.add(vectors)
        expect(wires, vectors)

    monkeypatch.setattr(Wires, "expect", watched)
    frozen, trained = [{"kind": "linear", "outputs": 10, "activation": "softmax", "frozen": frozen}
                       for frozen in (True, False)]  # fmt: skip
    read = {"wire_resistance": 1e-4, "wire_model": "exact"}
    training = {"batch": 1, "epochs": 1, "examples": 4, "test_examples": 1}
    for layers, vectors in (([{**frozen, "activation": "tanh"}, trained], {2, math.inf}),
                            ([trained], {2})):  # fmt: skip
        expected.clear()
        job = small_job(tile={"read": read}, network=layers, training=training)
        executor = LocalExecutor(job)
        executor.run(job.epoch(0), lambda progress: None)
        executor.close()

        assert expected == vectors


# Tiles and runs


def tile_of(resistance, shape=(12, 16)):
    read = ReadConfig(**PERFECT, wire_resistance=resistance)
    cell = {"kind": "pair", "device": {"kind": "constant_step", "lower": 0, "upper": 1}}
    config = TileConfig.model_validate({"cell": cell, "read": read.model_dump()})
    return Tile(config, Block(tile=0, layer="", row=0, col=0, shape=shape), 1.0, 0)


def test_a_tile_reads_both_of_its_arrays_behind_their_wires():
    tile = tile_of(1e-4)
    weights = rng.uniform(-0.5, 0.5, (12, 16)).astype(np.float32)
    tile.write(weights)
    x, d = rng.random((1, 12), np.float32), rng.random((1, 16), np.float32)
    plus, minus = (np.maximum(sign * tile.weights, 0).astype(float) for sign in (1, -1))

    for drives, read, backward in ((x, tile.forward, False), (d, tile.backward, True)):
        exact = sum(
            sign * naive.currents(g, 1e-4, drives[0], backward=backward)
            for sign, g in ((1, plus), (-1, minus))
        )
        np.testing.assert_allclose(read(drives, 0)[0], exact, atol=2e-4)


def test_what_is_read_follows_updates_and_states():
    tile, other = tile_of(1e-3), tile_of(1e-3)
    x = np.ones((1, 12), np.float32)
    tile.write(np.full((12, 16), 0.2, np.float32))
    before = tile.forward(x, 0)

    tile.update(x, np.ones((1, 16), np.float32), 0.01, 0)
    other.load(tile.state())

    assert np.all(tile.forward(x, 1) > before)
    np.testing.assert_array_equal(tile.forward(x, 1), other.forward(x, 1))


def test_wires_slow_learning_only_as_far_as_they_matter():
    """A whole training runs, and without resistance it is the one without wires."""
    without = train(small_config("soft_bounds"))
    none, some = (
        train(small_config("soft_bounds", tile={"read": {"wire_resistance": resistance}}))
        for resistance in (0.0, 1e-3)
    )

    assert none.state_digest == without.state_digest
    assert some.state_digest != without.state_digest


def test_reads_of_a_tile_tend_to_those_without_wires():
    """Devices below a typical lower bound are read as they are, whatever the wires."""
    cell = {"kind": "constant_step", "lower_device_noise": 0.3}
    blocks = Block(tile=0, layer="", row=0, col=0, shape=(12, 16))
    w = rng.uniform(-1, 1, (12, 16)).astype(np.float32)
    weights = []
    for resistance in (0.0, 1e-12):
        read = {**PERFECT, "wire_resistance": resistance}
        tile = Tile(TileConfig.model_validate({"cell": cell, "read": read}), blocks, 1.0, 0)
        tile.write(w * 2)
        weights.append(tile.forward(np.eye(12, dtype=np.float32), 0))

    np.testing.assert_allclose(*weights, atol=1e-6)


@pytest.mark.parametrize("model", ["auto", "exact"])
def test_a_large_loss_is_computed_and_not_refused(model):
    read = {"wire_resistance": 0.1, "wire_model": model}
    result = train(small_config("soft_bounds", tile={"read": read}))

    assert np.isfinite(result.train_loss)


def test_first_order_is_refused_where_it_says_nothing():
    rule = (
        "read.wire_model must be auto or exact where a device may lose more than 50% of its "
        "current, got first_order, which takes up to 790% on tiles of 256 x 256"
    )
    with pytest.raises(ValidationError, match=re.escape(rule)):
        TileConfig(read=ReadConfig(wire_resistance=1e-4, wire_model="first_order"))


@pytest.mark.parametrize("resistance", [-1, 1.01, 1e3])
def test_a_resistance_must_be_between_0_and_1(resistance):
    with pytest.raises(ValidationError, match="than or equal to"):
        ReadConfig(wire_resistance=resistance)


def test_tiles_that_take_too_many_solves_are_refused():
    rule = "read.wire_resistance must leave a read within 10000 solves of all lines, got 1, which"
    with pytest.raises(ValidationError, match=re.escape(rule)):
        TileConfig(rows=8192, cols=8192, read=ReadConfig(wire_resistance=1))


@pytest.fixture
def run(monkeypatch, capsys):
    """``crossmesh train`` within this process: exit code and standard error."""

    def run(config, *options):
        words = ["crossmesh", "train", config, "--engine", "local", *options]
        monkeypatch.setattr(sys, "argv", words)
        return main.run(), capsys.readouterr().err

    return run


def settings(*values):
    return [word for value in values for word in ("--set", value)]


FEW = ("--examples", "8", "--epochs", "1")


@pytest.mark.parametrize("model", ["auto", "exact", "first_order"])
def test_the_model_is_named_before_the_run(run, tmp_path, model):
    resistance, words = ("1e-6", "first order") if model == "first_order" else ("1e-4", "exact")
    options = settings(f"tile.read={{wire_resistance: {resistance}, wire_model: {model}}}")
    code, reported = run("digits", *FEW, "--run-dir", str(tmp_path / "run"), *options)

    assert code == 0, reported
    assert f"wires: {words} on 4 tiles" in reported
    assert reported.index("wires: ") < reported.index("training: ")


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not in ../shared/data")
def test_the_helps_example_trains_on_the_shipped_config(run, tmp_path):
    """1 ohm and 25 uS; ``docs/physics.md`` and the field's help name it."""
    options = settings("tile.read.wire_resistance=2.5e-5", "training.test_examples=4")
    where = ("--data-dir", str(MNIST.parent), "--run-dir", str(tmp_path / "run"))
    code, reported = run("mnist-constant-step", *FEW, *where, *options)

    assert code == 0, reported
    assert "wires: exact on " in reported


def test_a_resistance_beyond_the_rule_is_refused_before_the_run(run, tmp_path):
    where = tmp_path / "run"
    options = settings("tile.read={wire_resistance: 1e3}")
    code, reported = run("digits", *FEW, "--run-dir", str(where), *options)

    assert code == 2
    assert "tile.read.wire_resistance must be" in reported
    assert not where.exists()


def test_a_chip_that_cannot_be_timed_costs_no_results(run, tmp_path, monkeypatch):
    def fails(*_arguments, **_options):
        raise MemoryError

    monkeypatch.setattr("crossmesh.emulator.training.whole_run.chip_of", fails)
    code, reported = run("digits", *FEW, "--run-dir", str(tmp_path / "run"))

    assert code == 0, reported
    assert "timing the chip failed (MemoryError); the summary has no chip figures" in reported
    assert json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))["chip"] is None


def test_a_batch_beyond_the_data_is_all_of_the_data(run, tmp_path):
    where = str(tmp_path / "run")
    code, reported = run("digits", *FEW, "--run-dir", where, *settings("training.batch=1000000000"))

    assert code == 0, reported
    summary = json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))
    assert summary["chip"]["examples_per_s"] > 0

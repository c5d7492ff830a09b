"""Scaling: what is counted, what the model finds in it, what grows, and the command itself."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.cluster.scaling.explain import placed
from crossmesh.cluster.scaling.load import Load, host_loads, load_of
from crossmesh.cluster.scaling.model import CostModel, HostCost, errors, fit, nonnegative
from crossmesh.cluster.scaling.plan import ScalingPlan, counts, grown
from crossmesh.cluster.scaling.replay import pace
from crossmesh.cluster.scaling.spans import spans
from crossmesh.cluster.scaling.turns import Contestant, takes
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import dumped, load_config
from crossmesh.emulator.executors.placement import Machine, place, tile_sizes
from crossmesh.tiles.runtime.program import Operation
from tests.emulator.commands.shell import refused
from tests.jobs import SCHEDULES, small_config, small_job

ROOT = Path(__file__).parents[3]
PRICES = CostModel(read_s=2e-11, update_s=2e-10, operation_s=5e-6, message_s=2e-5, byte_s=3e-10)


def crossmesh(*arguments, cwd):
    command = [sys.executable, "-m", "crossmesh", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "110"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


# The cost model


def synthetic_rows(prices, n=40, noise=0.0):
    """Hosts of many sizes that cost exactly what the prices say, but for relative noise."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        amounts = rng.uniform(0.1, 1.0, 5) * [1e10, 1e10, 1e5, 1e4 * (i % 4 > 0), 1e8 * (i % 4 > 0)]
        load, factor = Load(*amounts), 1 + noise * rng.standard_normal()
        compute = prices.seconds(load._replace(messages=0, bytes=0))
        message = prices.seconds(load) - compute
        rows.append(HostCost(load=load, compute_s=factor * compute, message_s=factor * message))
    return rows


def test_a_fit_finds_the_prices_that_made_the_rows():
    rows = synthetic_rows(PRICES)
    found = fit(rows)

    for name in ("read_s", "update_s", "operation_s", "message_s", "byte_s"):
        assert getattr(found, name) == pytest.approx(getattr(PRICES, name), rel=1e-6)
    off = errors([found.seconds(row.load) for row in rows], [row.busy_s for row in rows])
    assert off.largest < 1e-9
    assert off.n == len(rows)


def test_noise_moves_prices_by_about_as_much():
    found = fit(synthetic_rows(PRICES, n=400, noise=0.02))
    assert found.update_s == pytest.approx(PRICES.update_s, rel=0.05)
    assert found.message_s == pytest.approx(PRICES.message_s, rel=0.05)


def test_what_no_row_tells_costs_nothing():
    alone = [
        replace(row, load=row.load._replace(messages=0.0, bytes=0.0), message_s=0.0)
        for row in synthetic_rows(PRICES)
    ]
    found = fit(alone)
    assert found.message_s == found.byte_s == 0
    assert found.update_s == pytest.approx(PRICES.update_s, rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_a_nonnegative_solution_is_the_best_of_those(seed, columns):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((12, columns)), rng.standard_normal(12)
    x = nonnegative(a, b)

    assert (x >= 0).all()
    # The rule of Karush, Kuhn and Tucker, which holds at the best solution and nowhere else.
    gradient = a.T @ (a @ x - b)
    assert (gradient > -1e-9).all()
    assert np.abs(gradient[x > 0]).max(initial=0) < 1e-9


def test_errors_are_relative_and_without_sign():
    off = errors([1.1, 1.8, 3.0], [1.0, 2.0, 3.0])
    assert (off.median, off.largest, off.n) == (pytest.approx(0.1), pytest.approx(0.1), 3)
    assert errors([], []) is None


# What is counted


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_work_is_the_same_for_every_number_of_actors_but_for_messages(schedule):
    job = small_job(schedule=schedule)
    span = job.epoch(0)
    totals = []
    for actors in (1, 2, 5):
        loads = host_loads(job.program, span, placed(job, actors))
        assert len(loads) == actors
        totals.append(np.sum(loads, axis=0))
    alone, *others = totals

    for total in others:
        assert total[:3] == pytest.approx(alone[:3])
        assert (total[3:] > 0).all()
    devices = sum(math.prod(block.shape) for block in job.program.blocks)
    assert alone[1] == pytest.approx(devices * span.n_examples)
    assert (alone[3:] == 0).all()


def test_tiles_lie_where_the_executor_puts_them():
    job = small_job()
    machine = Machine(node="a", ip="127.0.0.1", cpus=2, memory_bytes=1 << 40)
    for actors in (1, 2, 3, len(job.program.blocks)):
        engine = job.config.engine.model_copy(update={"actors": actors})
        assert placed(job, actors) == place(tile_sizes(job), engine, [machine]).host_of


# The replay


def priced(job, actors, seconds, cpus=None):
    """The pace of a job whose operations take a second and whose messages take ``seconds``."""
    span = job.epoch(0)
    cost = {True: 1.0, False: seconds}
    host_of = placed(job, actors)
    return pace(job.program, span.schedule, host_of, lambda a: cost[isinstance(a, Operation)], cpus)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_host_takes_the_sum_of_its_operations(schedule):
    job = small_job(schedule=schedule)
    alone = priced(job, 1, 0.0)

    assert alone.interval_s == pytest.approx(len(job.program.operations))
    assert alone.fill_s == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("actors", [2, 3, 6])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_hosts_are_as_fast_as_the_slowest_at_most(schedule, actors):
    job = small_job(schedule=schedule)
    loads = host_loads(job.program, job.epoch(0), placed(job, actors))
    per_micro_batch = job.epoch(0).n_examples / job.epoch(0).micro_batch
    slowest = max(load.operations for load in loads) / per_micro_batch
    free, dear = priced(job, actors, 0.0), priced(job, actors, 0.5)

    assert slowest - 1e-9 <= free.interval_s <= len(job.program.operations) + 1e-9
    assert dear.interval_s > free.interval_s
    crowded = priced(job, actors, 0.0, cpus=1)
    assert crowded.interval_s == pytest.approx(len(job.program.operations))


def test_a_sequential_schedule_overlaps_nothing_but_updates():
    job = small_job(schedule="sequential")
    chain = sum(operation.kind != "pulse" for operation in job.program.operations)
    one_tile_each = len(job.program.blocks)
    layers = {block.layer for block in job.program.blocks}
    # Tiles of a layer read at the same time; layers follow each other.
    reads = sum(operation.kind in {"read", "read_back"} for operation in job.program.operations)

    interval = priced(job, one_tile_each, 0.0).interval_s
    assert chain - reads + len(layers) <= interval <= chain + 1


def test_a_pipeline_beats_a_sequence():
    intervals = {name: priced(small_job(schedule=name), 3, 0.01).interval_s for name in SCHEDULES}
    assert intervals["asynchronous"] < intervals["synchronous"] < intervals["sequential"]


# What grows


def test_hidden_layers_grow_and_the_ends_stay():
    layers = load_config("synthetic-scaling").network
    wider = grown(layers, 4.0)
    assert [layer.outputs for layer in wider] == [4096, 2048, 4096, 1024, 10]
    assert grown(layers, 1.0) == list(layers)


def test_a_named_output_behind_a_function_keeps_its_width():
    changes = [
        {"kind": "linear", "outputs": 10, "name": "out"},
        {"kind": "tanh", "input": "hidden", "name": "side"},
    ]
    config = small_config(
        network=[
            {"kind": "linear", "outputs": 8, "name": "hidden"},
            changes[1],
            changes[0],
            {"kind": "softmax", "input": "out"},
        ]
    )
    widths = [getattr(layer, "outputs", None) for layer in grown(config.network, 2.0)]
    assert widths == [11, None, 10, None]


def test_devices_grow_about_as_the_actors_do():
    config = small_config()
    plan = ScalingPlan(config=config, actors=(1, 4), is_weak=True)
    few, many = (
        sum(math.prod(block.shape) for block in plan.job(n).program.blocks) for n in plan.actors
    )
    assert 1.5 < many / few < 4
    assert plan.job(4).config.engine.actors == 4
    assert plan.job(0).config.engine.kind == "local"
    assert plan.job(0).program == plan.job(1).program


def test_without_growth_all_share_one_network():
    jobs = ScalingPlan(config=small_config(), actors=(1, 2)).jobs((0, 1, 2))
    assert jobs[1].program is jobs[2].program is jobs[0].program
    assert [jobs[n].config.engine.actors for n in (0, 1, 2)] == [None, 1, 2]


@pytest.mark.parametrize("text", ["", "0,1", "2,1", "1,1", "1,x", "1,,2", "-1", "1.5"])
def test_numbers_of_actors_rise_from_one(text):
    with pytest.raises(ConfigError) as caught:
        counts(text, "--actors")
    assert (
        str(caught.value) == f"--actors must be increasing whole numbers such as 1,2,4, got {text}"
    )


def test_a_network_without_hidden_layers_cannot_grow():
    config = small_config(network=[{"kind": "linear", "outputs": 10, "activation": "softmax"}])
    with pytest.raises(ConfigError) as caught:
        grown(config.network, 2.0)
    rule = "--weak needs a hidden linear layer to widen, got a network without one"
    assert str(caught.value) == rule


# Turns


def test_a_turn_follows_its_warm_up():
    job = small_job()
    warm, timed = spans(job, 40)
    assert (warm.first, warm.n_examples) == (0, 8)
    assert (timed.first, timed.n_examples, timed.epoch) == (8, 40, 0)
    warm, timed = spans(job, 50)  # a whole epoch
    assert (timed.first, timed.n_examples, timed.epoch) == (0, 50, 1)


def test_this_process_computes_all_the_time():
    job = small_job()
    training, reading = takes(Contestant(kind="local", actors=0, job=job), 16, 0)

    assert training.is_training
    assert not reading.is_training
    assert training.examples == 16
    (host,) = training.hosts
    assert host.tiles == len(job.program.blocks)
    assert host.wait_s == host.message_s == host.messages == 0
    assert 0 < host.run_s <= training.seconds
    assert host.operations == 4 * len(job.program.operations)


@pytest.mark.slow
@pytest.mark.ray
def test_actors_do_what_the_model_counts():
    job = small_job(schedule="asynchronous", engine={"kind": "ray", "actors": 2})
    (turn,) = takes(Contestant(kind="ray", actors=2, job=job), 32, 0)
    loads = host_loads(job.program, turn.span, placed(job, 2))

    n = turn.span.n_micro_batches
    assert len(turn.hosts) == len(loads) == 2
    ends = sum(load.messages for load in loads)
    assert 2 * sum(host.messages for host in turn.hosts) == pytest.approx(ends)
    for host, load in zip(turn.hosts, loads, strict=True):
        assert host.operations == pytest.approx(load.operations + load.messages)
        assert host.messages % n == 0
    payload = sum(load.bytes for load in loads) / 2
    sent = sum(host.bytes for host in turn.hosts)
    assert payload < sent < payload + 200 * sum(host.messages for host in turn.hosts)


def test_actions_are_told_apart():
    job = small_job()
    loads = [load_of(op, job.program.blocks, 4) for op in job.program.operations]
    assert {(load.read > 0, load.updated > 0) for load in loads} == {
        (True, False), (False, True), (False, False),
    }  # fmt: skip


# The command


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale")
    (folder / "small.yaml").write_text(dumped(small_config(schedule="asynchronous")))
    return folder


@pytest.fixture(scope="module")
def scaled(small_file):
    options = ("--actors", "1,2", "--repeats", "2", "--examples", "32", "--project", "4,8")
    fabric = ("--network", "ethernet-25g", "--nodes", "2,4")
    return crossmesh("scale", "small.yaml", *options, *fabric, "--independent", cwd=small_file)


@pytest.mark.slow
@pytest.mark.ray
def test_a_measurement_leaves_tables_a_plot_and_a_model(scaled, small_file):
    assert scaled.returncode == 0, scaled.stderr
    folder = small_file / "runs" / "small-scale"
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "scale.json", "scaling.parquet", "hosts.parquet", "scaling.png",
        "projection.png",
    }  # fmt: skip
    rows = pq.read_table(folder / "scaling.parquet").to_pylist()
    who = {(row["kind"], row["actors"], row["repeat"]) for row in rows}
    kinds = [("local", 0), ("ray", 1), ("ray", 2), ("independent", 2)]
    assert who == {(*kind, repeat) for kind in kinds for repeat in range(2)}
    assert {row["examples"] for row in rows} == {32, 64}

    hosts = pq.read_table(folder / "hosts.parquet").to_pylist()
    assert len(hosts) == 2 * (2 + 1 + 2)
    for row in hosts:
        parts = row["compute_s"] + row["message_s"] + row["wait_s"]
        assert parts == pytest.approx(row["run_s"])
        assert row["predicted_busy_s"] > 0

    scale = json.loads((folder / "scale.json").read_text())
    assert scale["scaling"] == "strong"
    assert [(point["actors"], point["nodes"]) for point in scale["projection"]] == [(4, 2), (8, 4)]
    for point in scale["projection"]:
        assert point["low"] <= point["examples_per_s"] <= point["high"]
        assert max(point["bounds_s"].values()) <= point["interval_s"] * (1 + 1e-9)
        assert point["limited_by"].startswith(max(point["bounds_s"], key=point["bounds_s"].get))
    assert all(price >= 0 for price in scale["model"]["prices"].values())
    one = next(point for point in scale["measured"] if point["actors"] == 1)
    assert one["speed_up"] == {"median": 1.0, "low": 1.0, "high": 1.0}


@pytest.mark.slow
@pytest.mark.ray
def test_a_measurement_is_told_in_words(scaled):
    for words in (
        "small: strong scaling, 2 rounds",
        "2 independent processes",
        "Where the time goes",
        "times as long as this process without Ray",
        "cost model: ",
        "Projection by the model; not measured",
        "limited by",
        "tables and plot: runs/small-scale",
    ):
        assert words in scaled.stdout
    assert "round 2 of 2: 2 actors" in scaled.stderr
    assert "replaying 8 actors" in scaled.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_weak_scaling_widens_the_network(small_file):
    options = ("--actors", "1,2", "--repeats", "1", "--examples", "16", "--weak", "--project", "3")
    done = crossmesh(
        "scale", "small.yaml", *options, "--json", "--quiet", "--output", "weak", cwd=small_file
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    scale = json.loads(done.stdout)
    assert scale["path"] == "weak"
    assert scale["scaling"] == "weak"
    small, one, two = (point["devices"] for point in scale["measured"])
    assert small == one < two
    again = crossmesh("scale", "small.yaml", "--output", "weak", cwd=small_file)
    assert again.returncode == 2
    assert again.stderr == "error: --output must be new or empty, got weak\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--actors", "2,1"), "--actors must be increasing whole numbers such as 1,2,4, got 2,1"),
        (
            ("--actors", "1,99"),
            "--actors must be at most 16, the number of tiles of small, got 99",
        ),
        (
            ("--project", "200"),
            "--project must be at most 16, the number of tiles of small, got 200",
        ),
        (("--project", "no"), "--project must be increasing whole numbers such as 1,2,4, got no"),
        (("--set", "training.batch=0"), "training.batch must be at least 1, got 0"),
    ],
)
def test_mistakes_are_one_line(options, message, small_file, tmp_path):
    said = refused("scale", small_file / "small.yaml", *options, "--quiet", folder=tmp_path)
    assert said == f"error: {message}"
    assert not list(tmp_path.iterdir())

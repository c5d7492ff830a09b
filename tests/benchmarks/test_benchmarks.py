"""The benchmark: what it writes, and what its figures are made of."""

import json
import subprocess
import sys

import pytest

from benchmarks.figures import figure, ratios, take_turns

pytestmark = pytest.mark.slow


def bench(*options):
    command = (sys.executable, "-m", "benchmarks", *options)
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    output = tmp_path_factory.mktemp("bench") / "bench.json"
    run = bench("--quick", "--only", "kernels,cells,training,interconnect", "--output", str(output))
    assert run.returncode == 0, run.stderr
    return json.loads(output.read_text("utf-8")), run.stdout


def test_every_figure_is_a_median_within_its_range(written):
    measured, _ = written
    assert {row["suite"] for row in measured["figures"]} == {
        "kernels", "cells", "training", "interconnect",
    }  # fmt: skip

    for row in measured["figures"]:
        assert 0 < row["low"] <= row["value"] <= row["high"]
        assert row["rounds"] >= (1 if "until settled" in row["name"] else 5)


def test_aims_are_those_we_set_ourselves(written):
    measured, text = written
    aims = {row["name"]: row["aim"] for row in measured["figures"] if row["aim"]}
    assert aims == {
        "forward: noise, 7-bit DAC, 9-bit ADC / product": 2.5,
        "update, constant_step / product": 13.0,
        "update, soft_bounds / product": 30.0,
        "update, exp_step / product": 60.0,
        "update, pcm_3t1c / constant_step": 2.0,
        "transfer of 512 x 512 cells": 50.0,
        "mnist-2018, batch 1": 3000.0,
        "mnist-2018-pcm-only, batch 1": 1540.0,
        "local, batch 1, one tile per layer": 10_000.0,
        "local, batch 64, one tile per layer": 45_000.0,
        "cycles, 64 nodes, load 0.1": 100_000.0,
        "flits over links, 64 nodes, load 0.1": 2e6,
        "flits over links, 4,096 nodes, load 0.05": 3e6,
    }
    assert "of 13 aims reached" in text


def test_the_machine_is_named(written):
    measured, text = written
    assert measured["machine"]["cores"] >= 1
    assert measured["machine"]["numba"].count(".") == 2
    assert f"trained on {measured['examples']}" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--only", "speed"),
            "--only must be of kernels, wires, convolution, imported, cells, training, algorithms, "
            "interconnect, wire, ray, scaling, growth, checkpoints, large, startup, actors, "
            "got speed",
        ),
        (("--output", "/no/such/folder/b.json"), "--output must be in an existing folder"),
    ],
)
def test_mistakes_are_one_line(options, message):
    run = bench(*options)
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {message}")
    assert run.stderr.count("\n") == 1


def test_turns_are_taken_round_by_round():
    order = []
    seconds = take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4
    assert [len(times) for times in seconds.values()] == [3, 3]


def test_ratios_are_taken_within_a_round():
    taken = ratios({"a": [2.0, 9.0], "b": [1.0, 3.0]}, "a", "b")
    assert taken == [2.0, 3.0]
    made = figure("suite", "name", taken, "ratio", aim=2.5)
    assert (made.value, made.low, made.high, made.reached) == (2.5, 2.0, 3.0, True)
    assert figure("suite", "name", taken, "examples/s", aim=3, better="high").reached is False
    assert figure("suite", "name", taken, "ratio").reached is None

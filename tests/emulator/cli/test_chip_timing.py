"""The timing of a chip: its time is said beforehand, and how far it is."""

import io

import pytest
from rich.console import Console

from crossmesh.emulator.chip import patience
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.cli import chip_timing
from crossmesh.emulator.cli.chip_timing import ChipTiming
from crossmesh.emulator.config.chip import Chip
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.training.training import train
from tests.jobs import small_config, small_job


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets by hand."""
    now = [0.0]
    monkeypatch.setattr(chip_timing.time, "monotonic", lambda: now[0])
    return now


def timed(chip, steps, clock):
    """What is said of a timing that has done so much at so many seconds."""
    written = io.StringIO()
    with ChipTiming(chip, Console(file=written, width=100)) as timing:
        for clock[0], done, total in steps:
            timing.watch(done, total)
    return written.getvalue().splitlines()


def test_a_long_one_is_said_beforehand_and_told_now_and_then(clock):
    total = 100_000_000
    steps = [(0, 0, total), (40, 0, total), (45, 10_000_000, total), (60, 40_000_000, total)]

    assert timed(Chip(), steps, clock) == [
        "timing 100 million hops of flits takes about 15 s; --set chip.model=packet: about 5 s",
        "timing the chip: 40.0 %, 30 s left",  # since the kernels are compiled, at 40 s
    ]


def test_a_longer_run_of_the_search_is_said_too(clock):
    steps = [(0, 0, 100_000_000), (9, 0, 150_000_000)]

    assert [line.split(" takes")[0] for line in timed(Chip(), steps, clock)] == [
        "timing 100 million hops of flits",
        "timing 150 million hops of flits",
    ]


def test_a_model_that_was_chosen_is_said_beside_the_next_better(clock):
    steps = [(0, 0, 300_000_000), (60, 0, 12_900_000_000)]

    assert timed(Chip(), steps, clock) == [
        "timing 300 million hops of flits by packet, about 15 s; --set chip.model=flit: about 45 s",
        "timing 12,900 million hops of flits by analytic, seconds; "
        "--set chip.model=packet: about 10 min 45 s",
    ]


@pytest.mark.parametrize("model", ["auto", "flit"])
def test_circuits_take_as_long_as_packets(model, clock):
    chip = Chip(model=model, topology="circuit_mesh")

    assert timed(chip, [(0, 0, 100_000_000)], clock) == []
    assert timed(chip, [(0, 0, 300_000_000)], clock) == [
        "timing 300 million hops of flits takes about 15 s"
    ]


@pytest.mark.parametrize("model", ["packet", "analytic"])
def test_quick_models_say_nothing_of_what_takes_seconds(model, clock):
    assert timed(Chip(model=model), [(0, 0, 100_000_000), (3, 60, 100_000_000)], clock) == []


@pytest.mark.parametrize("model", ["auto", "flit", "packet", "analytic"])
def test_a_report_tells_all_hops_of_its_runs(model):
    job, seen = small_job(chip={"model": model}), []
    report = chip_of(job, watch=lambda *share: seen.append(share))

    runs = report.time.steady.timing
    flits = len(runs.started) * (runs.link_flits.sum() + report.time.own_ports[0].sum())
    assert seen[0][0] == 0
    assert seen[-1][1] == flits  # of the last run, over links and into tiles


def test_a_placement_of_more_than_three_seconds_says_how_far_it_is(clock):
    written = io.StringIO()
    with ChipTiming(Chip(), Console(file=written, width=100)) as timing:
        for clock[0], done in ((5, 0), (7, 10), (9, 20), (12, 35), (20, 75), (25, 100)):
            timing.placing(done, 100)

    assert written.getvalue().splitlines() == [
        "placing tiles: 20 %, 16 s left",
        "placing tiles: 75 %, 5 s left",
    ]


def test_training_says_how_far_the_placement_of_its_chip_is(monkeypatch):
    monkeypatch.setattr(patience, "_PLACING_S", 0.0)
    lines = []

    class Noted(NoCallbacks):
        def note(self, text):
            lines.append(text)

    train(small_config("soft_bounds"), callbacks=Noted())

    assert [line for line in lines if line.startswith("placing tiles: ")]

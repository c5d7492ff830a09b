"""Reads that bound management repeats: counted in training, and charged to the chip of a run."""

import pytest

from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.chip.use import TileUse
from crossmesh.emulator.training.training import train
from tests.jobs import SCHEDULES, small_config, small_job

# The least that the ADCs take is less than what most sums are.
TIGHT = {"read": {"adc": {"bits": 9, "range": 0.5}}}


def used(job, repeats):
    every = chip_of(job).time.pipeline.events
    lines = [each.lines for events in every for each in events.pulsing.values()]
    return chip_of(job, tuple(TileUse(pulses=n, repeats=repeats) for n in lines))


@pytest.mark.parametrize("repeats", [1.0, 0.25])
def test_a_repeated_read_takes_array_and_converters_again(repeats):
    job = small_job()
    never, often = used(job, 0.0), used(job, repeats)
    n, chip = never.time.micro_batch, never.time.chip
    rows = sum(block.shape[0] for block in job.program.crossbars)
    cols = sum(block.shape[1] for block in job.program.crossbars)
    more = {name: often.energy.events[name] - never.energy.events[name] for name in ("dac", "adc")}
    array = (often.time.busy_cycles - never.time.busy_cycles)[:, 0]

    assert more["dac"] == pytest.approx(repeats * rows, abs=len(job.program.crossbars))
    assert more["adc"] == pytest.approx(repeats * cols, abs=len(job.program.crossbars))
    drive = chip.cycles(chip.phases.integration_s)
    assert (array >= repeats * n * drive).all()
    assert often.time.interval_s > never.time.interval_s
    assert (never.repeats, often.repeats) == (0, repeats * len(job.program.crossbars))
    assert chip_of(job).repeats is None


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_counts_what_it_repeats_and_evaluations_do_not(schedule):
    result = train(small_config(schedule=schedule, tile=TIGHT))
    wide = train(small_config(schedule=schedule))
    repeats = result.tiles["repeats"].to_pylist()

    assert sum(repeats) > 0
    assert result.chip["repeats_per_example"] == pytest.approx(sum(repeats) / 100)
    assert result.chip["interval_s"] > wide.chip["interval_s"]


def test_repeats_survive_a_resume(tmp_path):
    whole = train(small_config(tile=TIGHT, training={"epochs": 2}))
    train(small_config(tile=TIGHT, training={"epochs": 1}), tmp_path / "run")
    half = small_config(tile=TIGHT, training={"epochs": 2})
    resumed = train(half, tmp_path / "run", resume=True)

    assert resumed.tiles["repeats"] == whole.tiles["repeats"]

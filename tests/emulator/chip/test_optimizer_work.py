"""Steps of optimisers in digital memory are work of the chip: time, energy and area."""

import math

import pytest

from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.report import chip_of
from tests.emulator.commands.shell import done
from tests.jobs import SCHEDULES, small_job

WORD_BITS = 32
DIGITAL = [
    {"kind": "linear", "outputs": 16, "activation": "tanh", "digital": True},
    {"kind": "linear", "outputs": 10, "activation": "softmax"},
]
OPTIMIZERS = {  # operations of a step per parameter, numbers kept beside it
    "momentum": ({"kind": "sgd", "momentum": 0.9}, 4, 2),
    "adam": ({"kind": "adam"}, 13, 3),
    "adamw": ({"kind": "adamw", "weight_decay": 0.1}, 15, 3),
}
PARAMETERS = 64 * 16 + 16  # of the layer in digital memory and its bias


def report(schedule="sequential", **training):
    return chip_of(small_job("soft_bounds", schedule, network=DIGITAL, training=training))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_costs_operations_and_memory_of_every_parameter(name, schedule):
    optimizer, operations, kept = OPTIMIZERS[name]
    plain, by_steps = report(schedule), report(schedule, optimizer=optimizer)
    more = {n: by_steps.energy.events[n] - plain.energy.events[n] for n in ("digital", "memory")}
    batch = SCHEDULES[schedule]["batch"]

    assert more["digital"] == math.ceil(PARAMETERS * operations / batch)
    moved = 2 * (1 + kept) * WORD_BITS
    assert more["memory"] == math.ceil(PARAMETERS * moved / batch)
    assert by_steps.energy.per_example_j.value > plain.energy.per_example_j.value
    bits = [report.area.held.by_purpose["digital parameters"] for report in (by_steps, plain)]
    assert bits[0] - bits[1] == PARAMETERS * kept * WORD_BITS


def test_a_step_is_timed_on_the_digital_unit_behind_the_updates_of_a_batch():
    chips = [report(optimizer=each) for each in ({"kind": "sgd"}, {"kind": "adam"})]
    steps = [[s for s in chip.time.pipeline.steps if s.kind == "step"] for chip in chips]
    (tile,) = {step.tile for step in steps[1]}
    work = [
        chip.time.pipeline.flow.busy_cycles.reshape(-1, len(TileResource))[tile, 2]
        for chip in chips
    ]

    assert not steps[0]
    assert work[1] - work[0] == math.ceil(PARAMETERS * 13 / chips[0].time.chip.phases.digital_lanes)


def test_clipping_is_counted():
    alone, clipped = report(optimizer={"kind": "adam"}), report(
        optimizer={"kind": "adam"}, clip={"norm": 1.0}
    )  # fmt: skip

    more = clipped.energy.events["digital"] - alone.energy.events["digital"]
    assert more == PARAMETERS * 3 / 4


def test_the_command_shows_that_adam_costs_more_than_sgd():
    """Of a layer in digital memory, and of mixed precision's numbers beside the tiles."""
    settings = {
        "layer": (
            "network=[{{kind: linear, outputs: 16, digital: true}}, "
            "{{kind: linear, outputs: 10, activation: softmax}}]",
            "training.optimizer={{kind: {}}}",
        ),
        "mixed": (
            "tile.cell={{kind: soft_bounds}}",
            "training.algorithm={{kind: mixed_precision, every_counts: batches, "
            "optimizer: {{kind: {}}}}}",
        ),
    }
    for fields in settings.values():
        chips = []
        for kind in ("sgd", "adam"):
            words = [w for field in fields for w in ("--set", field.format(kind))]
            chips.append(done("chip", "digits", "--json", *words).answer)
        sgd, adam = chips
        assert adam["energy_j_per_example"] > sgd["energy_j_per_example"]
        assert adam["area_mm2"] > sgd["area_mm2"]
        assert adam["interval_s"] >= sgd["interval_s"]

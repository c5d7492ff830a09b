"""What limits accuracy: each rule on both sides of its threshold, and a failed training."""

import dataclasses

import numpy as np
import pytest

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.training.diagnosis import limits
from crossmesh.emulator.training.diagnosis.limits import (
    chance_lines,
    chance_of_failed,
    findings,
)
from crossmesh.emulator.training.diagnosis.reading import ReadCosts
from crossmesh.emulator.training.diagnosis.states import LayerState, imbalance


def layer(*fields, **changes):
    """A layer whose cells do well."""
    tile = load_config("digits", ["tile.cell={kind: constant_step}", *fields]).tile
    state = LayerState(
        name="a", tile=tile, scale=1.0, deviation=0.2, pulses=100.0, repeats=0.0, at_bounds=0.0
    )
    return dataclasses.replace(state, **changes)


def suspects(*layers, costs=None, gap=None):
    return [finding.cause for finding in findings(layers, costs, gap) if finding.limits]


def costs(examples=1000, as_read=0.9, without_noise=0.9, without_converters=0.9, exact=0.9):
    return ReadCosts(
        examples=examples, as_read=as_read, without_noise=without_noise,
        without_converters=without_converters, exact=exact, is_accuracy=True,
    )  # fmt: skip


def test_good_cells_are_no_suspects():
    assert suspects(layer(), costs=costs(), gap=0.001) == []


@pytest.mark.parametrize(
    ("cause", "state"),
    [
        ("cells at their bounds", layer(at_bounds=0.06)),
        ("coarse steps", layer("tile.cell.step=0.02")),
        ("coarse steps", layer(deviation=0.005)),
        ("up and down steps that differ", layer("tile.cell.asymmetry=0.3")),
        ("stuck devices", layer("tile.cell.stuck={fraction: 0.02}")),
        ("noise of outputs", layer("tile.read.output_noise=1")),
        ("range of the ADC", layer(repeats=0.2)),
        ("few pulses", layer(pulses=0.5)),
    ],
)
def test_each_cause_is_found(cause, state):
    assert suspects(layer(), state) == [cause]


def test_what_reading_and_training_cost_is_told_apart():
    read = costs(as_read=0.90, without_noise=0.93, exact=0.94)

    assert suspects(layer(), costs=read, gap=0.045) == ["reading the weights", "noise of reads"]
    assert suspects(layer(), costs=costs(), gap=0.05) == ["training on these devices"]


def test_a_few_answers_are_no_cost():
    assert suspects(layer(), costs=costs(examples=100, exact=0.92)) == []
    assert suspects(layer(), costs=costs(examples=1000, exact=0.92)) == ["reading the weights"]


def test_the_imbalance_is_that_of_the_device():
    """A step up of 1 and one down of ``1 - a`` differ by ``a`` over ``1 - a / 2`` of their mean."""
    fields = "kind: constant_step, device_noise: 0, cycle_noise: 0, asymmetry_device_noise: 0"
    cells = [
        load_config("digits", [f"tile.cell={{{fields}, asymmetry: {a}}}"]).tile.cell
        for a in (0.0, 0.2)
    ]

    np.testing.assert_allclose([imbalance(cell) for cell in cells], [0.0, 0.2 / 0.9], atol=0.01)


@pytest.fixture(scope="module")
def job():
    return prepare(load_config("digits", ["engine.kind=local"]))


def test_a_run_nearer_to_guessing_than_to_its_twin_has_failed(job):
    classes = job.dataset.test.targets
    chance = np.bincount(classes).max() / len(classes)

    assert chance_of_failed(job, 0.3, 0.95) == pytest.approx(chance)
    assert chance_of_failed(job, 0.9, 0.95) is None
    assert chance_of_failed(job, 0.1, 0.15) is None  # the twin has not learnt either
    assert chance_of_failed(job, None, None) is None


def test_the_causes_of_a_failure_are_named_or_how_to_look_for_them():
    found = findings([layer("tile.cell.step=0.5")])
    first, *causes = chance_lines(0.1, 0.11, 0.9, found)
    assert first.startswith("the test accuracy of 11.00 % is that of guessing (10.00 %) while")
    assert causes[0].startswith("likely cause: coarse steps: a pulse moves a weight of a by 2.5 of")

    lines = list(chance_lines(0.1, 0.3, 0.9, findings([layer()])))
    assert "nearer to that of guessing" in lines[0]
    assert lines[1].startswith("no known cause stands out")


def test_every_rule_has_a_case():
    found = {finding.cause for finding in findings([layer()])}

    assert len(found) == len(limits._RULES)

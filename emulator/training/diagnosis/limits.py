"""What limits accuracy: a rule for each cause, with its figure, its threshold and what helps.

Thresholds are assumed unless they name a source: they say what to look at first.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.training.diagnosis.reading import ReadCosts
from crossmesh.emulator.training.diagnosis.states import LayerState, imbalance, layer_states
from crossmesh.tiles.runtime.measure import TileReport

AT_BOUNDS = 0.05  # share of a layer's cells
POINTS = 0.005  # of accuracy
FEWEST_ANSWERS = 3  # test examples that a way of reading changes, to count
FEWEST_ACROSS = 100  # steps of a pulse across the range of a cell
FEWEST_IN_SPREAD = 10  # steps in the standard deviation of a layer's weights
IMBALANCE = 0.15  # of up and down steps
STUCK = 0.01  # share of the devices
REPEATS = 0.1  # of a forward read
NOISE = 0.05  # of outputs, as a share of the ADC's range
LEARNT = 0.25  # of the way from guessing to no mistake, from which on a twin has learnt
GUESSED = 0.02  # of accuracy above guessing, which is still that
FEWEST_PULSES = 1.0  # on lines, per crosspoint


class Finding(NamedTuple):
    """A possible cause of lost accuracy.

    Attributes:
        cause: What it is.
        figure: How much of it there is, in words.
        limits: Whether the figure is beyond the threshold.
        advice: What helps.
    """

    cause: str
    figure: str
    limits: bool
    advice: str


def findings(
    layers: Sequence[LayerState], costs: ReadCosts | None = None, gap: float | None = None
) -> list[Finding]:
    """What may limit accuracy, what does so first.

    Args:
        layers: The layers on tiles.
        costs: Accuracies of the network read in several ways, if it was tested.
        gap: Accuracy of the float32 twin less that of the run, if there was one.
    """
    found = [*_of_costs(costs, gap)] if costs else []
    analog = [layer for layer in layers if not layer.tile.cell.holds_anything]
    if analog:
        found += [one for rule in _RULES if (one := rule(analog))]
    return sorted(found, key=lambda finding: not finding.limits)


def chance_of_failed(job: Job, accuracy: float | None, twin: float | None) -> float | None:
    """Accuracy of guessing, where a run is nearer to that than to its twin, which has learnt.

    Args:
        job: The job.
        accuracy: Test accuracy of the run.
        twin: Test accuracy of the float32 twin.
    """
    if accuracy is None or twin is None or not job.dataset.has_classes:
        return None
    _, counts = np.unique(job.dataset.test.targets, return_counts=True)
    chance = float(counts.max() / counts.sum())
    has_failed = accuracy < (chance + twin) / 2
    return chance if has_failed and twin > chance + LEARNT * (1 - chance) else None


def chance_lines(
    chance: float, accuracy: float, twin: float, found: Sequence[Finding]
) -> Iterator[str]:
    """That a run has learnt nothing or little, and its likely causes, a line each."""
    is_guessing = accuracy < chance + GUESSED
    yield (
        f"the test accuracy of {100 * accuracy:.2f} % is {'' if is_guessing else 'nearer to '}that "
        f"of guessing ({100 * chance:.2f} %) {'while' if is_guessing else 'than to that of'} the "
        f"float32 twin {'has learnt ' if is_guessing else ''}({100 * twin:.2f} %): the analog "
        "training has failed"
    )
    causes = [finding for finding in found if finding.limits]
    for finding in causes:
        yield f"likely cause: {finding.cause}: {finding.figure}; {finding.advice}"
    if not causes:
        yield (
            "no known cause stands out; a smaller or larger training.learning_rate, "
            "tile.weight_scale=auto and tile.cell.kind=ideal tell causes apart"
        )


def failure_of(
    job: Job,
    accuracy: float | None,
    twin: float | None,
    reports: Sequence[TileReport],
    examples: int,
) -> tuple[str, ...]:
    """That a run has failed beside a twin that has learnt, and the causes that its tiles show.

    Args:
        job: The job.
        accuracy: Test accuracy of the run.
        twin: Test accuracy of the float32 twin.
        reports: Rows of the table of tiles, in tile order.
        examples: Examples trained.

    Returns:
        Lines; none where it has learnt.
    """
    chance = chance_of_failed(job, accuracy, twin)
    if chance is None or accuracy is None or twin is None:
        return ()
    found = findings(layer_states(job, reports, examples))
    return tuple(chance_lines(chance, accuracy, twin, found))


def _of_costs(costs: ReadCosts, gap: float | None) -> Iterator[Finding]:
    """What reading costs, and what is left for training."""

    def words(better: float) -> str:
        return _difference(costs, better)

    def is_much(better: float) -> bool:
        least = max(POINTS, FEWEST_ANSWERS / costs.examples)
        return costs.cost(better) >= least and costs.is_accuracy

    reading = costs.cost(costs.exact)
    if gap is not None and costs.is_accuracy:
        training = gap - reading
        yield Finding(
            "training on these devices",
            f"{100 * training:.2f} points: the run is {100 * gap:.2f} below its float32 twin, of "
            f"which reading costs {100 * reading:.2f}",
            training >= 2 * POINTS,
            "the causes below; another training.algorithm; tile.cell.kind=ideal for comparison",
        )
    yield Finding(
        "reading the weights", f"{words(costs.exact)} with the same weights multiplied exactly",
        is_much(costs.exact), "the read path: noise, bits and ranges of tile.read",
    )  # fmt: skip
    yield Finding(
        "noise of reads", f"{words(costs.without_noise)} without input, weight and output noise",
        is_much(costs.without_noise), "lower tile.read.output_noise; a larger weight_scale",
    )  # fmt: skip
    yield Finding(
        "converters", f"{words(costs.without_converters)} without DACs and ADCs",
        is_much(costs.without_converters), "more tile.read.adc.bits; a range that fits the outputs",
    )  # fmt: skip


def _difference(costs: ReadCosts, better: float) -> str:
    """What is lost to a better way of reading, with the two results that say so."""
    cost = costs.cost(better)
    if not costs.is_accuracy:
        lost = f"{cost:.4g} of the loss" if cost > 0 else "nothing"
        return f"costs {lost}: {costs.as_read:.4g}, and {better:.4g}"
    lost = f"{100 * cost:.2f} points" if cost > 0 else "nothing"
    return f"costs {lost}: {100 * costs.as_read:.2f} %, and {100 * better:.2f} %"


def _saturation(layers: Sequence[LayerState]) -> Finding | None:
    seen = [(layer.at_bounds, layer.name) for layer in layers if layer.at_bounds is not None]
    if not seen:
        return None
    share, name = max(seen)
    return Finding(
        "cells at their bounds", f"{100 * share:.1f} % of {name}, the most of all layers",
        share >= AT_BOUNDS, "a larger tile.weight_scale, or auto; weight decay",
    )  # fmt: skip


def _coarse(layers: Sequence[LayerState]) -> Finding:
    worst = min(layers, key=lambda layer: layer.steps_in_spread)
    return Finding(
        "coarse steps",
        f"a pulse moves a weight of {worst.name} by {1 / worst.steps_in_spread:.2g} of the spread "
        f"of all; {worst.steps_across:,.4g} such steps across the range",
        worst.steps_across < FEWEST_ACROSS or worst.steps_in_spread < FEWEST_IN_SPREAD,
        "smaller steps, a smaller tile.weight_scale, cells of several devices, or Tiki-Taka",
    )


def _unbalanced(layers: Sequence[LayerState]) -> Finding:
    shares = {cell: imbalance(cell) for cell in dict.fromkeys(layer.tile.cell for layer in layers)}
    worst = max(layers, key=lambda layer: shares[layer.tile.cell])
    share = shares[worst.tile.cell]
    return Finding(
        "up and down steps that differ",
        f"by {100 * share:.0f} % of their mean at weight 0 in a typical cell of {worst.name}",
        share >= IMBALANCE,
        "symmetry_referenced: true, a Tiki-Taka algorithm, or pairs of devices",
    )


def _stuck(layers: Sequence[LayerState]) -> Finding:
    shares = [
        (device.stuck.fraction if getattr(device, "stuck", None) else 0.0, layer.name)
        for layer in layers
        for device in layer.tile.cell.devices
    ]
    share, name = max(shares, default=(0.0, ""))
    return Finding(
        "stuck devices", f"{100 * share:.2g} % of the devices of {name}" if share else "none",
        share >= STUCK, "training with the same devices stuck, and a smaller learning rate",
    )  # fmt: skip


def _clipped(layers: Sequence[LayerState]) -> Finding | None:
    known = [layer for layer in layers if layer.tile.read.adc is not None]
    if not known:
        return None
    worst = max(known, key=lambda layer: layer.repeats)
    read = worst.tile.read
    assert read.adc is not None  # of those that are known
    if read.bound_management == "iterative":
        figure = f"{worst.repeats:.2g} repetitions of a forward read of {worst.name} for its range"
    else:
        figure = f"outputs beyond ±{read.adc.range:g} of {worst.name} are clipped, uncounted"
    return Finding(
        "range of the ADC",
        f"{figure}; a step of {read.adc.step:.2g} beside noise of {read.output_noise:.2g}",
        worst.repeats >= REPEATS, "a larger tile.read.adc.range, with more bits",
    )  # fmt: skip


def _noisy(layers: Sequence[LayerState]) -> Finding | None:
    reads = [(layer.tile.read, layer.name) for layer in layers if layer.tile.read.adc is not None]
    if not reads:
        return None
    share, read, name = max(
        ((read.output_noise / read.adc.range, read, name) for read, name in reads if read.adc),
        key=lambda found: found[0],
    )
    return Finding(
        "noise of outputs",
        f"{read.output_noise:.3g} in {name}, {100 * share:.1f} % of the range of its ADC",
        share >= NOISE, "a lower tile.read.output_noise; a larger tile.weight_scale",
    )  # fmt: skip


def _unmoved(layers: Sequence[LayerState]) -> Finding:
    least = min(layers, key=lambda layer: layer.pulses)
    return Finding(
        "few pulses",
        f"{least.pulses:,.3g} pulses on the lines of {least.name} per crosspoint, the fewest",
        least.pulses < FEWEST_PULSES, "a larger training.learning_rate; more epochs",
    )  # fmt: skip


_RULES: tuple[Callable[[Sequence[LayerState]], Finding | None], ...] = (
    _saturation, _coarse, _unbalanced, _stuck, _noisy, _clipped, _unmoved,
)  # fmt: skip

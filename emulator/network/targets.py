"""Targets: what a loss and the outputs of a network can be given, checked before a run."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import DataError
from crossmesh.emulator.data import Dataset
from crossmesh.emulator.data.examples import Examples
from crossmesh.tiles.digital import ACTIVATIONS, Function, Loss

Values = NDArray[np.int32] | NDArray[np.float32]

_TOLERANCE = 1e-3  # of the sum of a distribution in float32, or rounded by hand
_ROUNDING = 1e-5  # of a value at a limit, which it may be beyond
_AT_ONCE = 1 << 16  # examples that are looked at together


def as_values(dataset: Dataset, n_outputs: int) -> Dataset:
    """The data with class numbers as values, ``n_outputs`` in each target."""

    def part(examples: Examples) -> Examples:
        answers = examples.answers.astype(np.float32).reshape(len(examples), n_outputs)
        return replace(examples, answers=answers)

    parts: dict[str, Any] = {name: part(examples) for name, examples in dataset.sets.items()}
    return replace(dataset, **parts, n_outputs=n_outputs)


def check_targets(dataset: Dataset, output: Function | None) -> None:
    """Refuse values that the outputs of a network can never have.

    Args:
        dataset: Training and test examples.
        output: The last function of the network, if it has one.

    Raises:
        DataError: If values lie beyond the limits of the output, or are no distribution where the
            output is one.
    """
    if dataset.has_classes or output is None:
        return
    name = next((name for name, f in ACTIVATIONS.items() if f is output), "the output")
    for part, number, targets in _windows(dataset):
        low, high = output.limits
        beyond = (targets < low - _ROUNDING) | (targets > high + _ROUNDING)
        if beyond.any():
            example = int(beyond.any(axis=1).argmax())
            got = targets[example][beyond[example]][0]
            raise _refusal(
                f"{_within(output.limits)}, as outputs of {name} are", got, part, number + example
            )  # fmt: skip
        if output.sums_to_one:
            _check_sums(part, number, targets, name)


def has_accuracy(dataset: Dataset, loss: Loss) -> bool:
    """Whether outputs are right or wrong: of classes, distributions, labels, one-hot values."""
    if dataset.has_classes or loss.behind or loss.counts_values:
        return True
    return all(
        targets.shape[1] > 1
        and bool(((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all())
        for _, _, targets in _windows(dataset)
    )


def _windows(dataset: Dataset) -> Iterator[tuple[str, int, Values]]:
    """Part, number of the first example and values of some examples at a time."""
    for name, examples in dataset.sets.items():
        part = "training" if name == "train" else name
        for start in range(0, len(examples), _AT_ONCE):
            yield part, start, examples.some_targets(slice(start, start + _AT_ONCE))


def _check_sums(part: str, number: int, targets: Values, name: str) -> None:
    sums = targets.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1) > _TOLERANCE
    if off.any():
        example = int(off.argmax())
        rule = f"that add up to 1 in every example, as outputs of {name} do (several labels of an "
        rule += "example take sigmoid and the loss binary_cross_entropy)"
        raise _refusal(rule, sums[example], part, number + example, "a sum of ")


def _refusal(rule: str, got: float, part: str, number: int, of: str = "") -> DataError:
    said = f"{of}{got:.7g}"  # all digits of float32, so that no value reads like its limit
    return DataError(f"data must have targets {rule}, got {said} in {part} example {number}")


def _within(limits: tuple[float, float]) -> str:
    low, high = limits
    return f"of at least {low:g}" if np.isinf(high) else f"from {low:g} to {high:g}"

"""Inputs that are numbers of tokens."""

from collections.abc import Iterator

import numpy as np

from crossmesh.common.errors import DataError
from crossmesh.emulator.data.errors import Place
from crossmesh.emulator.data.examples import Dataset, Examples

INPUTS = "inputs"  # what messages call inputs that have no targets


def check_tokens(dataset: Dataset, tokens: int) -> None:
    """Refuse inputs that are no numbers of tokens.

    Args:
        dataset: The data.
        tokens: Size of the vocabulary.

    Raises:
        DataError: If an input is no whole number from 0 to below ``tokens``.
    """
    for part, examples in _parts(dataset):
        first = 0
        for some in examples.parts():
            values = some.inputs
            wrong = (values < 0) | (values >= tokens) | (values != np.floor(values))
            if wrong.any():
                example = int(wrong.any(axis=1).argmax())
                rule = f"whole numbers of tokens below {tokens}"
                got = f"{values[example][wrong[example]][0]:g}"
                if not dataset.has_targets:
                    raise Place(INPUTS, dataset.name).refusal(rule, got)
                raise DataError(
                    f"data must have inputs that are {rule}, got {got} in {part} example "
                    f"{first + example}"
                )
            first += len(some)


def _parts(dataset: Dataset) -> Iterator[tuple[str, Examples]]:
    for name, examples in dataset.sets.items():
        if name == "test" or dataset.has_targets:
            yield "training" if name == "train" else name, examples

"""How far two rows of a study lie apart, with an interval by paired bootstrap.

``python examples/transfer/interval.py STUDY ROW OTHER`` takes the runs of two titles in the folder
of a study, under the same seeds, and their outputs for the same test examples.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmesh import RunDirectory, predict
from crossmesh.emulator.data import load

RESAMPLES = 10_000
LEVELS = (2.5, 97.5)  # percent: the bounds of 95 %


def is_right(folder: Path) -> NDArray[np.bool_]:
    """Whether a run has the class of each test example right ``(n,)``."""
    run = RunDirectory(folder)
    config = run.config()
    plain = load(config.data.model_copy(update={"standardise": False}))  # predict does that
    test = plain.test.first(config.training.test_examples or len(plain.test))
    inputs = test.inputs.reshape(-1, *plain.shape)
    outputs = predict(run, inputs, overrides=["engine.kind=local"]).outputs
    return outputs.argmax(1) == test.targets


def interval(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[float, tuple[float, float]]:
    """Difference of two accuracies, and the bounds of 95 % by paired bootstrap.

    Test examples are drawn again, each with what all runs of both make of it.

    Args:
        one: Whether each run is right ``(seeds, n)``.
        other: The same of those it is compared with.
    """
    gains = one.mean(0) - other.mean(0)
    n, draws = len(gains), np.random.default_rng(0)
    means = [gains[draws.integers(n, size=n)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, LEVELS)
    return float(gains.mean()), (float(low), float(high))


def main(study: str, *titles: str) -> None:
    """Print the accuracies of two rows, their difference and its interval."""
    runs = Path(study) / "runs"
    seeds = sorted(path.name.rpartition("-seed")[2] for path in runs.glob(f"{titles[0]}-seed*"))
    one, other = (
        np.stack([is_right(runs / f"{title}-seed{seed}") for seed in seeds]) for title in titles
    )
    difference, (low, high) = interval(one, other)
    for title, right in zip(titles, (one, other), strict=True):
        print(f"{title}: {100 * right.mean():.2f} %")
    print(
        f"difference {100 * difference:+.2f} points, 95 % from {100 * low:+.2f} to "
        f"{100 * high:+.2f} ({one.shape[1]} test examples, {len(seeds)} seeds)"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

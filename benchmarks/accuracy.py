"""Accuracy on MNIST beside published and measured references; ``make validate`` writes the table.

The references are runs of aihwkit 1.1.0 on the same network, images and settings: 20,000 or 60,000
images in file order, batch 1, learning rate 0.01, update and pulse-length management on.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.training.training import train

ONE_TILE = ("tile.rows=600",)  # one tile per layer, as aihwkit was run
AS_AIHWKIT = ("training.shuffle=false", "training.examples=20000", "training.epochs=1")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row of the table.

    Attributes:
        title: What is run.
        config: Shipped config.
        overrides: Changes to it.
        seeds: Seeds that the mean is taken over.
        reference: Test accuracy of the reference, or None.
        source: Where the reference comes from.
    """

    title: str
    config: str
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    reference: float | None = None
    source: str = ""


def cases() -> Iterator[Case]:
    """The rows of the table."""
    yield Case(
        title="ideal, 10 epochs, 256 x 256 tiles",
        config="mnist-ideal",
        reference=0.980,
        source="a float32 run of this network",
    )
    for config, reference in (("mnist-constant-step", 0.9174), ("mnist-soft-bounds", 0.8854)):
        for tiles, overrides in (("one tile per layer", ONE_TILE), ("256 x 256 tiles", ())):
            yield Case(
                title=f"{config.removeprefix('mnist-')}, 20,000 images, {tiles}",
                config=config,
                overrides=(*AS_AIHWKIT, *overrides),
                seeds=(0, 1, 2, 3),
                reference=reference,
                source="aihwkit, mean of 4 runs, one tile per layer",
            )
    for tiles, overrides in (("one tile per layer", ONE_TILE), ("256 x 256 tiles", ())):
        yield Case(
            title=f"constant-step, 3 epochs of 60,000, {tiles}",
            config="mnist-constant-step",
            overrides=("training.shuffle=false", "training.epochs=3", *overrides),
            reference=0.9601,
            source="aihwkit, 1 run, one tile per layer",
        )
    for config in ("mnist-constant-step", "mnist-soft-bounds"):
        yield Case(
            title=f"{config.removeprefix('mnist-')}, 10 epochs, 256 x 256 tiles", config=config
        )


def row(case: Case, directory: str) -> str:
    """Run a case; its row as Markdown."""
    accuracies, speeds = [], []
    for seed in case.seeds:
        overrides = (*case.overrides, f"seed={seed}", "engine.kind=local")
        config = load_config(case.config, (*overrides, f"data.directory={directory}"))
        summary = train(config).summary
        accuracies.append(100 * summary["test_accuracy"])
        speeds.append(summary["emulation"]["examples_per_s"])
        print(f"{case.title}, seed {seed}: {accuracies[-1]:.2f} %", file=sys.stderr)  # noqa: T201  because it shows how far the command is
    mean = statistics.mean(accuracies)
    spread = f" ({min(accuracies):.2f} to {max(accuracies):.2f})" if len(accuracies) > 1 else ""
    reference = "-" if case.reference is None else f"{100 * case.reference:.2f}"
    difference = "-" if case.reference is None else f"{mean - 100 * case.reference:+.2f}"
    return (
        f"| {case.title} | {len(case.seeds)} | {mean:.2f}{spread} | {reference} | {difference} "
        f"| {case.source or '-'} |"
    )


HEAD = """# Accuracy on MNIST

Network 528-250-125-10, tanh, softmax and cross-entropy, batch 1, learning rate 0.01, images cropped
to rows 3-25 and columns 2-26, tested on all 10,000 test images through the same noisy read path.
Test accuracy in percent. Regenerate with `make validate DATA=folder`: 20 minutes on one core.

| what | seeds | accuracy | reference | difference | source of the reference |
|---|---|---|---|---|---|
"""


def main() -> None:
    """Write ``docs/validation/mnist.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", required=True, help="folder that holds mnist/")
    parser.add_argument("--output", type=Path, default=Path("docs/validation/mnist.md"))
    arguments = parser.parse_args()
    rows = [row(case, arguments.data_dir) for case in cases()]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(HEAD + "\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()

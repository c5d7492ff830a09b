"""Large networks beside their float twins; ``make validate`` writes the table.

Every network is trained on tiles, and once more as plain float32 numbers on the same examples with
the same initial weights, in the same order and at the same rates.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.training.training import train

CONFIGS = (
    "mnist-lenet5",
    "mnist-lenet5-constant-step",
    "cifar10-vgg8-small",
    "cifar10-resnet20-small",
    "shakespeare-lstm-small",
    "shakespeare-gpt-small",
    "fashion-mobilenet",
    "fashion-vit",
    "shakespeare-bert",
    "shakespeare-tagger",
)

HEAD = """# Large networks beside their float twins

Each shipped network as its config trains it, seed 0, tested on the whole test set through the same
tiles; and its float twin: plain float32 numbers, the same examples, initial weights, order, rates.
CIFAR-10 here is 4,000 images to train on and 1,000 to test with, if the folder holds only those.
Accuracy in percent (of characters, for texts), loss in nats. Regenerate with
`make validate DATA=folder`; `--runs FOLDER` of `python -m benchmarks.networks` keeps the
runs and takes up those that are there.

| config | device | weights | tiles | accuracy | float | loss | float | training |
|---|---|---:|---:|---:|---:|---:|---:|---:|
"""


def row(name: str, directory: str, runs: Path | None) -> str:
    """Train a network and its twin; their row as Markdown."""
    overrides = [f"data.directory={directory}", "engine.kind=local", "training.baseline=true"]
    config = load_config(name, overrides)
    folder = runs / name if runs else None
    result = train(config, folder, resume=folder is not None and folder.exists())
    summary, tiles = result.summary, result.tiles.to_pydict()
    weights = sum(r * c for r, c in zip(tiles["rows"], tiles["cols"], strict=True))
    cells = (
        name, config.tile.cell.kind.replace("_", "-"), f"{weights:,}",
        str(summary["emulation"]["tiles"]), *_beside(summary), _duration(summary),
    )  # fmt: skip
    print(" ".join(cells), file=sys.stderr)  # noqa: T201  because it shows how far the command is
    return f"| {' | '.join(cells)} |"


def _beside(summary: dict[str, Any]) -> Iterator[str]:
    yield f"{100 * summary['test_accuracy']:.2f}"
    yield f"{100 * summary['baseline_test_accuracy']:.2f}"
    yield f"{summary['test_loss']:.3f}"
    yield f"{summary['baseline_test_loss']:.3f}"


def _duration(summary: dict[str, Any]) -> str:
    return f"{summary['emulation']['wall_s'] / 60:.1f} min"


def main() -> None:
    """Write ``docs/validation/networks.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", required=True, help="folder that holds the data sets")
    parser.add_argument("--runs", type=Path, help="folder to keep the runs in")
    parser.add_argument("--output", type=Path, default=Path("docs/validation/networks.md"))
    arguments = parser.parse_args()
    rows = [row(name, arguments.data_dir, arguments.runs) for name in CONFIGS]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(HEAD + "\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()

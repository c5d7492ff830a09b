"""docs/validation/hardware-aware.md: trained weights on inference memories, by how they learned.

``python -m benchmarks.hardware_aware [--data-dir FOLDER]`` trains digits, and MNIST where a folder
is given.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.compiler.mapping import join
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.training.tested import test_network
from crossmesh.tiles.analog.programmed import MODELS
from crossmesh.tiles.analog.retention import Aging

PAGE = Path(__file__).parents[1] / "docs/validation/hardware-aware.md"
SEEDS, REPEATS = (0, 1, 2), 3
DAY, YEAR = 86400.0, 365 * 86400.0
AGES = (("pcm", 0.0), ("pcm", DAY), ("pcm", YEAR), ("reram", 1.0), ("reram", DAY))
EXACT = [
    "tile.read.noise_management=none", "tile.read.bound_management=none", "tile.read.dac=null",
    "tile.read.adc=null", "tile.read.output_noise=0",
]  # fmt: skip
OF = "training.algorithm"
MANAGED = f"{OF}.input_range=null"  # inputs are scaled by noise management
PLAIN = [f"{OF}.weight_noise=0", f"{OF}.clip=null", MANAGED]
PROGRAMMING = [f"{OF}.noise_kind=programming", f"{OF}.memory=reram", f"{OF}.weight_noise=1.5"]
VARIANTS = {  # what the shipped config becomes
    "plain digital": [*PLAIN, *EXACT],
    "periphery": PLAIN,
    "weight noise": PLAIN[1:],
    "weight noise, clipping": [MANAGED],
    "and input ranges": [],
    "programming noise, clipping": [*PROGRAMMING, MANAGED],
}
CONFIGS = {
    "Digits": ("digits-hardware-aware", "", []),
    "MNIST": (
        "mnist-hardware-aware",
        ", on 20,000 examples, tested on 2,000",
        ["training.examples=20000", "training.test_examples=2000"],
    ),
}


class Row(NamedTuple):
    """Accuracies of a variant and seed: as trained, and after each of ``AGES``."""

    variant: str
    trained: float
    aged: tuple[float, ...]


def run(name: str, changes: Sequence[str], seed: int, data: Sequence[str]) -> Row:
    """Train one network and program it to every memory.

    What learned without a periphery is programmed to tiles with the one of the config.
    """
    variant, *settings = changes
    sources = [f"seed={seed}", "engine.kind=local", *data]
    job = prepare(load_config(name, [*settings, *sources]))
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    for epoch in range(job.config.training.epochs):
        executor.run(job.epoch(epoch), lambda progress: None)
    trained = test_network(job, executor, 0).accuracy
    if EXACT[0] in settings:
        tiles = prepare(load_config(name, [*PLAIN, *sources]))
        executor = moved(job, executor, tiles)
        job = tiles
    aged = tuple(float(np.mean(list(tests(job, executor, *age)))) for age in AGES)
    return Row(variant, trained, aged)


def moved(job: Job, executor: LocalExecutor, tiles: Job) -> LocalExecutor:
    """The weights of an executor on the tiles of another job."""
    parts = ((tile.block, tile.weights) for tile in executor.host.tiles.values())
    whole = join(parts, job.network.matrices)
    other = LocalExecutor(tiles)
    other.host.write(
        lambda layer, corner, shape: whole[layer][corner[0] :, corner[1] :][: shape[0], : shape[1]]
    )
    return other


def tests(job: Job, executor: LocalExecutor, memory: str, after_s: float) -> Iterator[float]:
    """Accuracies at an age, with compensation, over repeated programming."""
    for repetition in range(REPEATS):
        executor.age(Aging(model=MODELS[memory], repetition=repetition, after_s=after_s,
                           compensated=True))  # fmt: skip
        yield test_network(job, executor, repetition).accuracy
    executor.age(None)


def table(rows: Sequence[Row]) -> str:
    """Means and standard deviations over the seeds, in percent."""
    head = ["training", "as trained", *(f"{memory}, {_age(after)}" for memory, after in AGES)]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for variant in VARIANTS:
        mine = [[row.trained, *row.aged] for row in rows if row.variant == variant]
        mean, spread = 100 * np.mean(mine, axis=0), 100 * np.std(mine, axis=0, ddof=1)
        cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, spread, strict=True)]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _age(after_s: float) -> str:
    return {0.0: "0 s", 1.0: "1 s", DAY: "1 day", YEAR: "1 year"}[after_s]


def main() -> None:
    """Train, measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", help="folder with the files of MNIST")
    folder = parser.parse_args().data_dir
    parts = []
    with threadpool_limits(1):
        for title, (name, how, few) in CONFIGS.items():
            if title == "MNIST" and folder is None:
                continue
            data = [*few, f"data.directory={folder}"] if title == "MNIST" else few
            rows = []
            for seed in SEEDS:
                for variant, settings in VARIANTS.items():
                    rows.append(run(name, [variant, *settings], seed, data))
                    print(title, seed, rows[-1], flush=True)  # noqa: T201  it takes minutes
            parts.append(f"## {title}\n\n`{name}`{how}\n\n{table(rows)}\n")
    head = PAGE.read_text("utf-8").partition("## ")[0]
    PAGE.write_text(head + "\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()

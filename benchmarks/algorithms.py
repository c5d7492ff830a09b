"""Training algorithms, against plain gradient descent on the same devices."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

from benchmarks.figures import Figure, figure, ratios, take_turns
from benchmarks.training import rate_figure, turn_of
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.engines import create

ALGORITHMS = {
    "tiki_taka_2": "{extends: tiki-taka-2-reram}",
    "agad": "{extends: agad-reram}",
    "mixed_precision": "{kind: mixed_precision}",
    "mixed_precision, a batch": "{kind: mixed_precision, every_counts: batches}",
}
LARGEST = {"tiki_taka_2": 1 / 0.6, "agad": 1 / 0.6, "mixed_precision": 1 / 0.4}  # of SGD's time
EXAMPLES = {1: 1_280, 64: 5_120}  # of a turn, by batch
QUICK = 16  # so many times fewer examples


def algorithms(rounds: int, data: list[str], *, quick: bool) -> Iterator[Figure]:
    """Training 528-250-125-10 on soft-bounds devices, in one process."""
    for batch, n in EXAMPLES.items():
        jobs = {
            name: _job(batch, n // (QUICK if quick else 1), data, algorithm)
            for name, algorithm in {"sgd": "{kind: sgd}", **ALGORITHMS}.items()
        }
        with ExitStack() as stack:
            turns = {
                name: turn_of(stack.enter_context(closing(create(job))), job)
                for name, job in jobs.items()
            }
            seconds = take_turns(turns, rounds)
        yield rate_figure(f"sgd, batch {batch}", seconds["sgd"], jobs["sgd"], "algorithms")
        for name in ALGORITHMS:
            slower = ratios(seconds, name, "sgd")
            aim = LARGEST.get(name) if batch == 1 else None
            title = f"{name} / sgd, time, batch {batch}"
            yield figure("algorithms", title, slower, "ratio", aim=aim)


def _job(batch: int, n: int, data: list[str], algorithm: str) -> Job:
    changes = (
        "engine.kind=local", "tile.rows=600", "tile.cell={kind: soft_bounds}",
        f"training.algorithm={algorithm}", f"training.batch={batch}", f"training.examples={n}",
        "training.test_examples=1",
    )  # fmt: skip
    return prepare(load_config("mnist-constant-step", (*data, *changes)))

"""Training 528-250-125-10: plain NumPy, tiles in one process, and tiles in Ray actors."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count, product

from benchmarks.figures import Figure, Seconds, figure, ratios, take_turns
from benchmarks.plain import PlainNetwork
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.rates import first_rate
from crossmesh.emulator.executors.engines import create
from crossmesh.emulator.executors.executor import Executor

TILINGS = {"one tile per layer": "tile.rows=600", "256 x 256 tiles": "tile.rows=256"}
EXAMPLES = {1: 2_560, 64: 10_240}  # of a turn, by batch
AIMS = {("one tile per layer", 1): 10_000.0, ("one tile per layer", 64): 45_000.0}
RAY_AIMS = {
    ("asynchronous", "one tile per layer", 1): 4_000.0,
    ("sequential", "one tile per layer", 1): 2_500.0,
}
QUICK = 16  # so many times fewer examples


def training(rounds: int, data: list[str], *, quick: bool) -> Iterator[Figure]:
    """In one process, against the plain NumPy loop."""
    for tiling, batch in product(TILINGS, EXAMPLES):
        case = f"batch {batch}, {tiling}"
        job = _job(batch, data, tiling, quick=quick)
        with closing(create(job)) as local:
            turns = {"numpy": _numpy(job), "local": turn_of(local, job)}
            seconds = take_turns(turns, rounds)
        yield rate_figure(f"plain NumPy, {case}", seconds["numpy"], job, "training")
        yield rate_figure(
            f"local, {case}", seconds["local"], job, "training", AIMS.get((tiling, batch))
        )
        slower = ratios(seconds, "local", "numpy")
        yield figure("training", f"local / NumPy, time, {case}", slower, "ratio")


def on_ray(rounds: int, data: list[str], *, quick: bool) -> Iterator[Figure]:
    """One tile per actor, against one process."""
    for tiling, batch in product(TILINGS, EXAMPLES):
        case = f"batch {batch}, {tiling}"
        local = _job(batch, data, tiling, quick=quick)
        for schedule in ("sequential", "asynchronous"):
            engine = ("engine.kind=ray", "engine.tiles_per_actor=1")
            job = _job(batch, data, tiling, *engine, f"training.schedule={schedule}", quick=quick)
            with closing(create(local)) as here, closing(create(job)) as there:
                turns = {"local": turn_of(here, local), "ray": turn_of(there, job)}
                seconds = take_turns(turns, rounds)
                sent = sum(host.messages for host in there.hosts()) / (rounds + 1)
            aim = RAY_AIMS.get((schedule, tiling, batch))
            yield rate_figure(f"{schedule}, {case}", seconds["ray"], job, "ray", aim)
            slower = ratios(seconds, "ray", "local")
            yield figure("ray", f"{schedule} / local, time, {case}", slower, "ratio")
            if schedule == "sequential":
                yield _message_cost(seconds, sent, case)


def _message_cost(seconds: Seconds, sent: float, case: str) -> Figure:
    """What a message adds where nothing overlaps: the schedule ``sequential`` waits for each."""
    extra = zip(seconds["ray"], seconds["local"], strict=True)
    costs = [1e6 * (there - here) / sent for there, here in extra]
    return figure("ray", f"cost per message, sequential, {case}", costs, "us")


def _job(batch: int, data: list[str], tiling: str, *overrides: str, quick: bool) -> Job:
    n = EXAMPLES[batch] // (QUICK if quick else 1)
    common = (f"training.batch={batch}", f"training.examples={n}", "training.test_examples=1")
    engine = () if overrides else ("engine.kind=local",)
    changes = (*data, TILINGS[tiling], *common, *engine, *overrides)
    return prepare(load_config("mnist-constant-step", changes))


def turn_of(executor: Executor, job: Job) -> Callable[[], object]:
    """A turn trains one more epoch."""
    executor.write_initial_weights()
    epochs = count()
    return lambda: executor.run(job.epoch(next(epochs)), lambda progress: None)


def _numpy(job: Job) -> Callable[[], None]:
    """The same examples in the same batches through a float32 network."""
    network, feed = PlainNetwork(job), job.feeds["train"]
    epochs, batch = count(), job.config.training.batch
    rate = first_rate(job.config.training.learning_rate)

    def turn() -> None:
        epoch = next(epochs)
        for start in range(0, job.n_train, batch):
            stop = start + batch
            x, targets = feed.inputs(epoch, start, stop), feed.targets(epoch, start, stop)
            network.step(x, targets, rate)

    return turn


def rate_figure(
    name: str, seconds: list[float], job: Job, suite: str, aim: float | None = None
) -> Figure:
    """Examples per second, from the seconds of each turn."""
    rates = [job.n_train / s for s in seconds]
    return figure(suite, name, rates, "examples/s", aim=aim, better="high")

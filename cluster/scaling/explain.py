"""The cost model of a measurement: its fit, its errors, and what it expects of more actors."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from crossmesh.cluster.scaling.doubts import doubts
from crossmesh.cluster.scaling.events import Deployment
from crossmesh.cluster.scaling.load import devices_of, host_loads, load_of
from crossmesh.cluster.scaling.measured import Measured
from crossmesh.cluster.scaling.model import CostModel, Errors, HostCost, errors, fit
from crossmesh.cluster.scaling.plan import ScalingPlan, check_room
from crossmesh.cluster.scaling.projection import HERE, Projection
from crossmesh.cluster.scaling.replay import Replay
from crossmesh.cluster.scaling.turns import Contestant, Turn
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.placement import balanced, tile_sizes

MOST = 64  # actors that are projected to unless asked for more


@dataclass(frozen=True, kw_only=True)
class Projected:
    """Prediction of the cost model for a number of actors that was not measured.

    Attributes:
        actors: Tile hosts, each with a processor of its own.
        nodes: Machines like those that were measured, on average, that have so many processors.
        examples_per_s: Examples per second.
        low: The same, less the model's error.
        high: The same, and the model's error.
        speed_up: Devices updated per second over those measured for the smallest number of actors.
        efficiency: Speed-up per actor.
        busy: Mean share of time that hosts are busy.
        interval_s: Seconds per micro-batch, once the pipeline is full.
        bounds_s: What it is at least, by what bounds it; the largest first.
    """

    actors: int
    nodes: int
    examples_per_s: float
    low: float
    high: float
    speed_up: float
    efficiency: float
    busy: float
    interval_s: float
    bounds_s: Mapping[str, float]

    @property
    def limited_by(self) -> str:
        """What saturates first, and how far it is from saturated."""
        name, seconds = next(iter(self.bounds_s.items()))
        return f"{name} ({100 * seconds / self.interval_s:.0f} %)"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A model of a measurement.

    Attributes:
        model: Its prices.
        predicted: Examples per second that it gives for each contestant but independent ones.
        hosts: Errors of its predictions of the seconds in which hosts are busy.
        throughput: Errors of its predictions of examples per second.
        left_out: The same for numbers of actors that it was not fitted to, each left out in turn.
        crowded: The same where actors share processors, which it is never fitted to.
        projections: What it expects of more actors.
        prices_messages: Whether any host that it was fitted to sent messages.
        doubts: Reasons not to trust the measurement, nor the projections.
    """

    model: CostModel
    predicted: dict[str, float]
    hosts: Errors | None
    throughput: Errors | None
    left_out: Errors | None
    crowded: Errors | None
    projections: list[Projected]
    prices_messages: bool
    doubts: tuple[str, ...]

    @property
    def error(self) -> float:
        """The largest relative error of a throughput, left out or not."""
        return max(e.largest for e in (self.throughput, self.left_out) if e is not None)


def target_jobs(plan: ScalingPlan, projection: Projection) -> dict[int, Job]:
    """The jobs to project to, by number of actors.

    Args:
        plan: The plan of the measurement.
        projection: What to project to; by default powers of two, as far as there are tiles.

    Raises:
        ConfigError: If there are fewer tiles than one of the numbers of actors.
    """
    targets = projection.actors
    if not targets:
        wanted = [2**k for k in range(MOST.bit_length()) if 2**k > plan.actors[-1]]
        found = plan.jobs(wanted).items()
        return {n: job for n, job in found if n <= len(job.program.crossbars)}
    jobs = plan.jobs(targets)
    check_room("--project", jobs)
    return jobs


def explain(
    measured: Measured,
    targets: Mapping[int, Job],
    projection: Projection = HERE,
    watch: Callable[[int], None] = lambda actors: None,
) -> Explained:
    """Fit the model, try it, and project.

    Args:
        measured: A measurement.
        targets: The jobs to project to, by number of actors.
        projection: The nodes and the network to project to.
        watch: Called with each number of actors before it is projected to.
    """
    fitted = [c for c in measured.contestants if c.kind != "independent"]
    quiet = [c for c in fitted if not measured.is_crowded(c)]
    rows = {c.name: list(_rows(measured, c)) for c in quiet}
    model = fit(_joined(rows.values()))
    predicted = {c.name: _rate(measured, model, c) for c in fitted}
    throughput = _throughput_errors(measured, predicted, quiet)
    left_out = _throughput_errors(measured, dict(_left_out(measured, rows, quiet)), quiet)
    every = _joined(rows.values())
    hosts = errors([model.seconds(row.load) for row in every], [row.busy_s for row in every])
    crowded = [c for c in fitted if c not in quiet]
    largest = max((e.largest for e in (throughput, left_out) if e), default=0.0)
    return Explained(
        model=model,
        predicted=predicted,
        hosts=hosts,
        throughput=throughput,
        left_out=left_out,
        crowded=_throughput_errors(measured, predicted, crowded),
        projections=[
            _projected(measured, model, largest, target, projection)
            for target in _watched(targets, watch)
        ],
        prices_messages=any(row.load.messages for row in every),
        doubts=tuple(doubts(measured)),
    )


def placed(job: Job, actors: int) -> tuple[int, ...]:
    """Host of each block; this process for no actors."""
    of_tile = balanced(tile_sizes(job), max(1, actors))
    return tuple(of_tile[unit] for unit in job.program.units)


def costs(turn: Turn) -> list[HostCost]:
    """Work of each host in a turn."""
    job, actors = turn.contestant.job, turn.contestant.actors
    loads = host_loads(job.program, turn.span, placed(job, actors))
    return [
        HostCost(load=load, compute_s=report.compute_s, message_s=report.message_s)
        for load, report in zip(loads, turn.hosts, strict=True)
    ]


def _rows(measured: Measured, contestant: Contestant) -> Iterable[HostCost]:
    for turn in measured.turns:
        if turn.contestant is contestant:
            yield from costs(turn)


def _joined(rows: Iterable[Iterable[HostCost]]) -> list[HostCost]:
    return [row for some in rows for row in some]


def _left_out(
    measured: Measured, rows: dict[str, list[HostCost]], contestants: Sequence[Contestant]
) -> Iterable[tuple[str, float]]:
    """Examples per second by models that know the other contestants only."""
    for contestant in contestants:
        others = _joined(some for name, some in rows.items() if name != contestant.name)
        sends = any(row.load.messages for row in rows[contestant.name])
        if others and (not sends or any(row.load.messages for row in others)):
            yield contestant.name, _rate(measured, fit(others), contestant)


def _throughput_errors(
    measured: Measured, predicted: dict[str, float], contestants: Sequence[Contestant]
) -> Errors | None:
    some = [c for c in contestants if c.name in predicted]
    rates = [measured.rate(c).median for c in some]
    return errors([predicted[c.name] for c in some], rates)


def _rate(measured: Measured, model: CostModel, contestant: Contestant) -> float:
    """Examples per second of a turn."""
    span = measured.trainings(contestant)[0].span
    replay = _replay(model, contestant.job, contestant.actors, Deployment(cpus=measured.cpus))
    return span.n_examples / replay.pace().seconds(span.n_examples / span.micro_batch)


def _replay(model: CostModel, job: Job, actors: int, site: Deployment) -> Replay:
    span, blocks = job.epoch(0), job.program.blocks
    return Replay(
        job.program,
        span.schedule,
        placed(job, actors),
        lambda action: model.seconds(load_of(action, blocks, span.micro_batch)),
        span.micro_batch,
        site,
    )


def _watched(targets: Mapping[int, Job], watch: Callable[[int], None]) -> Iterable[tuple[int, Job]]:
    for actors, job in targets.items():
        watch(actors)
        yield actors, job


def _projected(
    measured: Measured,
    model: CostModel,
    error: float,
    target: tuple[int, Job],
    projection: Projection,
) -> Projected:
    actors, job = target
    nodes = projection.nodes_of(actors, -(-actors * measured.nodes // measured.cpus))
    replay = _replay(model, job, actors, projection.site(actors, nodes))
    pace = replay.pace()
    seconds = pace.seconds(job.n_train / job.epoch(0).micro_batch)
    rate = job.n_train / seconds
    first = measured.first
    before = devices_of(first.job) * measured.rate(first).median
    speed_up = devices_of(job) * rate / before
    loads = host_loads(job.program, job.epoch(0), placed(job, actors))
    busy = sum(model.seconds(load) for load in loads)
    return Projected(
        actors=actors,
        nodes=nodes,
        examples_per_s=rate,
        low=rate / (1 + error),
        high=rate * (1 + error),
        speed_up=speed_up,
        efficiency=speed_up * first.actors / actors,
        busy=busy / actors / seconds,
        interval_s=pace.interval_s,
        bounds_s=replay.bounds(),
    )

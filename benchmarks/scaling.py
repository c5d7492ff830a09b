"""Throughput of 1 and 2 actors, beside one process without Ray and two independent ones."""

from collections.abc import Iterator
from typing import Any

from benchmarks.figures import Figure
from crossmesh.cluster.scaling.measure import measure
from crossmesh.cluster.scaling.measured import Measured, Spread
from crossmesh.cluster.scaling.plan import ScalingPlan
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.runs.callbacks import NoCallbacks

EXAMPLES = {False: 4_096, True: 512}  # of a turn, by --quick


def scaling(rounds: int, *, quick: bool) -> Iterator[Figure]:
    """The config ``synthetic-scaling``: 24 tiles of 512 x 512 at batch 64."""
    plan = ScalingPlan(
        config=load_config("synthetic-scaling"),
        actors=(1, 2),
        repeats=rounds,
        examples=EXAMPLES[quick],
        with_independent=True,
    )
    measured = measure(plan, NoCallbacks())
    for contestant in measured.contestants:
        yield _figure(measured, contestant.name, measured.rate(contestant), unit="examples/s")
    one, two = (measured.of("ray", n) for n in plan.actors)
    speed_up, share = measured.speed_up(two), measured.of_independent(two)
    over = measured.ray_over_local
    assert share is not None
    assert over is not None
    name = f"{two.name} / {one.name}, throughput"
    yield _figure(measured, name, speed_up, aim=1.9, better="high")
    name = f"{two.name} / 2 independent processes, throughput"
    yield _figure(measured, name, share, aim=0.97, better="high")
    yield _figure(measured, f"{one.name} / this process, time", over, aim=1.05)


def _figure(
    measured: Measured, name: str, value: Spread, unit: str = "ratio", **more: Any
) -> Figure:
    return Figure(
        suite="scaling",
        name=name,
        value=value.median,
        low=value.low,
        high=value.high,
        unit=unit,
        rounds=measured.plan.repeats,
        **more,
    )

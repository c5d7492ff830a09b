"""Output files of a measurement: ``scaling.parquet``, ``hosts.parquet`` and ``scale.json``."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import pyarrow as pa

from crossmesh.cluster.scaling.explain import Explained, costs
from crossmesh.cluster.scaling.load import devices_of
from crossmesh.cluster.scaling.measured import Measured, Spread
from crossmesh.cluster.scaling.turns import Contestant

SCHEMA = 1
_REAL, _WHOLE, _TEXT = pa.float64(), pa.int64(), pa.string()


class ScalingRow(NamedTuple):
    """A row of ``scaling.parquet``: a contestant in a round.

    Attributes:
        kind: ``local``, ``ray`` or ``independent``.
        actors: Actors, or independent processes; 0 for this process.
        repeat: Number of the round.
        tiles: Tiles of the network, or of each of the independent ones.
        devices: Their crosspoints.
        examples: Examples trained, by all.
        seconds: Wall seconds.
        examples_per_s: Examples per second.
        device_updates_per_s: Crosspoints times examples per second.
    """

    kind: str
    actors: int
    repeat: int
    tiles: int
    devices: int
    examples: int
    seconds: float
    examples_per_s: float
    device_updates_per_s: float


class HostRow(NamedTuple):
    """A row of ``hosts.parquet``: a tile host in a round.

    Attributes:
        kind: ``local`` or ``ray``.
        actors: Actors; 0 for this process.
        repeat: Number of the round.
        span: ``training``, or ``test``: reads only, for the cost model.
        host: Number of the host.
        node: Name of its machine in the cluster.
        ip: Its address.
        tiles: Tiles that it holds.
        run_s: Wall seconds of its span.
        compute_s: Of these, work on tiles and in digital units.
        message_s: Of these, sending and receiving.
        wait_s: Of these, waiting.
        messages: Messages sent.
        bytes: Their bytes.
        operations: Steps performed.
        read: Crosspoints read forward or backward, times examples.
        updated: Crosspoints updated, times examples.
        predicted_busy_s: What the cost model gives for ``compute_s`` and ``message_s`` together.
    """

    kind: str
    actors: int
    repeat: int
    span: str
    host: int
    node: str
    ip: str
    tiles: int
    run_s: float
    compute_s: float
    message_s: float
    wait_s: float
    messages: int
    bytes: int
    operations: int
    read: float
    updated: float
    predicted_busy_s: float


_ROW = [_TEXT, *[_WHOLE] * 5, *[_REAL] * 3]
_HOST_ROW = [_TEXT, _WHOLE, _WHOLE, _TEXT, _WHOLE, _TEXT, _TEXT, _WHOLE,
             *[_REAL] * 4, *[_WHOLE] * 3, *[_REAL] * 3]  # fmt: skip


def scaling_table(measured: Measured) -> pa.Table:
    """A row for every contestant and round."""
    rows = [
        ScalingRow(
            kind=turn.contestant.kind,
            actors=turn.contestant.actors,
            repeat=turn.repeat,
            tiles=len(turn.contestant.job.program.blocks),
            devices=(devices := devices_of(turn.contestant.job)),
            examples=turn.examples,
            seconds=turn.seconds,
            examples_per_s=turn.examples_per_s,
            device_updates_per_s=devices * turn.examples_per_s,
        )
        for turn in measured.turns
        if turn.is_training
    ]
    return _table(rows, ScalingRow._fields, _ROW)


def hosts_table(measured: Measured, explained: Explained) -> pa.Table:
    """A row for every tile host and span."""
    return _table(list(_host_rows(measured, explained)), HostRow._fields, _HOST_ROW)


def _host_rows(measured: Measured, explained: Explained) -> Iterator[HostRow]:
    for turn in measured.turns:
        if not turn.hosts:
            continue
        for cost, report in zip(costs(turn), turn.hosts, strict=True):
            yield HostRow(
                kind=turn.contestant.kind,
                actors=turn.contestant.actors,
                repeat=turn.repeat,
                span="training" if turn.is_training else "test",
                compute_s=report.compute_s,
                read=cost.load.read,
                updated=cost.load.updated,
                predicted_busy_s=explained.model.seconds(cost.load),
                **report._asdict(),
            )


def _table(rows: list[Any], names: tuple[str, ...], types: list[pa.DataType]) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    return pa.table(arrays, names=list(names))


def summary(measured: Measured, explained: Explained) -> dict[str, Any]:
    """The contents of ``scale.json``."""
    plan = measured.plan
    turn = measured.trainings(measured.first)[0]
    return {
        "schema": SCHEMA,
        "name": plan.config.name,
        "scaling": "weak" if plan.is_weak else "strong",
        "growth": plan.growth,
        "schedule": plan.config.training.schedule,
        "cpus": measured.cpus,
        "nodes": measured.nodes,
        "repeats": plan.repeats,
        "examples_per_repeat": turn.span.n_examples,
        "measured": [_point(measured, explained, c) for c in measured.contestants],
        "ray_over_local": _spread(measured.ray_over_local),
        "doubts": list(explained.doubts),
        "model": {
            "prices": asdict(explained.model),
            "errors": {
                name: None if errors is None else asdict(errors)
                for name, errors in (
                    ("host_busy_s", explained.hosts),
                    ("examples_per_s", explained.throughput),
                    ("examples_per_s_left_out", explained.left_out),
                    ("examples_per_s_crowded", explained.crowded),
                )
            },
        },
        "projection": [
            {**asdict(projected), "limited_by": projected.limited_by}
            for projected in explained.projections
        ],
    }


def _point(measured: Measured, explained: Explained, contestant: Contestant) -> dict[str, Any]:
    is_alone = contestant.kind == "independent"
    return {
        "kind": contestant.kind,
        "actors": contestant.actors,
        "tiles": len(contestant.job.program.blocks),
        "devices": devices_of(contestant.job),
        "is_crowded": measured.is_crowded(contestant),
        "examples_per_s": _spread(measured.rate(contestant)),
        "speed_up": _spread(measured.speed_up(contestant)),
        "efficiency": _spread(measured.efficiency(contestant)),
        "of_independent": _spread(measured.of_independent(contestant)),
        "predicted_examples_per_s": explained.predicted.get(contestant.name),
        "hosts": [] if is_alone else [host._asdict() for host in measured.shares(contestant)],
    }


def _spread(value: Spread | None) -> dict[str, float] | None:
    return None if value is None else value._asdict()

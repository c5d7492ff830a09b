"""Seconds that the operations of each tile take; measured on demand, since it has a price."""

import time

from crossmesh.tiles.runtime.plan import Action
from crossmesh.tiles.runtime.program import Operation, Span
from crossmesh.tiles.runtime.steps import Step, Steps


def timed(steps: Steps, seconds: dict[int, float]) -> Steps:
    """Steps that do the same, and add what each operation takes to the seconds of its tile.

    Sending and receiving are not counted.
    """
    return [
        [[(action, _timed(action, step, seconds)) for action, step in stage] for stage in phase]
        for phase in steps
    ]


def _timed(action: Action, step: Step, seconds: dict[int, float]) -> Step:
    if not isinstance(action, Operation):
        return step
    tile = action.tile
    seconds.setdefault(tile, 0.0)

    def measured(m: int, first: int, span: Span) -> None:
        started = time.perf_counter()
        step(m, first, span)
        seconds[tile] += time.perf_counter() - started

    return measured

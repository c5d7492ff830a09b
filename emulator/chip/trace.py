"""A timeline of the settled pipeline that Perfetto and chrome://tracing open.

Chrome's trace format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
A track for every resource that does one thing at a time, an arrow for every message.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.tasks import purpose
from crossmesh.emulator.chip.timing import ChipTime

_PERIODS_SHOWN = 4  # micro-batches
_MOST_SLICES = 20_000
_COLORS = {
    "forward": "thread_state_running",
    "loss": "terrible",
    "backward": "rail_response",
    "update": "rail_animation",
    "transfer": "bad",
}


def trace(time: ChipTime) -> dict[str, Any]:
    """Events of a few micro-batches, cut where the pattern recurs, if that is soon.

    Every task that starts in that time is there whole, so over whole periods the sum of a track's
    slices over the time is the busy share of the report.
    """
    window = _Window(time)
    return {
        "traceEvents": [*window.labels(), *window.slices(), *window.arrows()],
        "displayTimeUnit": "ns",
        "otherData": {
            "schedule": time.schedule.name,
            "window_us": window.us(window.stop - window.start),
            "whole_periods": window.is_whole,
        },
    }


class _Window:
    def __init__(self, time: ChipTime) -> None:
        self._time = time
        steady = time.steady
        timing = steady.timing
        n_tasks = max(1, len(time.pipeline.flow.tasks))
        shown = max(1, min(_PERIODS_SHOWN, _MOST_SLICES // n_tasks))
        # The last period that was seen lies before the pipeline drains, and so do those before it.
        first = steady.settled
        self.start = int(timing.started[first].min())
        known = (len(timing.started) - 1 - first) // steady.micro_batches
        periods = max(1, min(shown // steady.micro_batches, known))
        self.is_whole = steady.recurs and steady.micro_batches * n_tasks <= _MOST_SLICES
        span = periods * steady.cycles if self.is_whole else shown * steady.interval_cycles
        self.stop = self.start + int(span)
        inside = (timing.started >= self.start) & (timing.started < self.stop)
        inside &= np.array([step.part is not None for step in time.pipeline.steps])
        self._found = [(int(m), int(k)) for m, k in zip(*inside.nonzero(), strict=True)]

    def us(self, cycles: float) -> float:
        """Microseconds of emulated time."""
        return round(1e6 * cycles / self._time.chip.clock_hz, 9)

    def labels(self) -> Iterator[dict[str, Any]]:
        """Names of tiles and of their resources."""
        shown = sorted({self._time.pipeline.steps[k].tile for _, k in self._found})
        for tile in shown:
            block = self._time.program.crossbars[tile]
            name = {"name": f"tile {block.tile} ({block.layer})"}
            yield {"name": "process_name", "ph": "M", "pid": tile, "tid": 0, "ts": 0, "args": name}
            for number, part in enumerate(TileResource):
                args = {"name": str(part)}
                yield {
                    "name": "thread_name", "ph": "M", "pid": tile, "tid": number, "ts": 0,
                    "args": args,
                }  # fmt: skip

    def slices(self) -> Iterator[dict[str, Any]]:
        """Tasks."""
        timing = self._time.steady.timing
        for m, k in self._found:
            task, step = self._time.pipeline.flow.tasks[k], self._time.pipeline.steps[k]
            if task.cycles:
                yield {
                    "name": f"{step.kind} {step.node}",
                    "cat": purpose(task, step),
                    "cname": _COLORS[purpose(task, step)],
                    "ph": "X",
                    "ts": self.us(timing.started[m, k] - self.start),
                    "dur": self.us(task.cycles),
                    **self._track(k),
                    "args": {"micro_batch": m},
                }

    def arrows(self) -> Iterator[dict[str, Any]]:
        """Messages, from the task that sends to the tasks that wait."""
        timing, flow = self._time.steady.timing, self._time.pipeline.flow
        shown = {(m, k) for m, k in self._found if flow.tasks[k].cycles}
        number = 0
        micro_batches = sorted({m for m, _ in shown})
        for send, kind in zip(flow.sends, self._time.pipeline.kinds, strict=True):
            takers = [k for tasks in send.takers.values() for k in tasks]
            for m in micro_batches:
                for taker in takers:
                    if (m, send.task) in shown and (m, taker) in shown:
                        number += 1
                        common = {"name": kind, "cat": "message", "id": number}
                        sent = timing.ended[m, send.task] - 0.5 - self.start
                        taken = timing.started[m, taker] + 0.5 - self.start
                        yield {**common, "ph": "s", "ts": self.us(sent), **self._track(send.task)}
                        yield {
                            **common, "ph": "f", "bp": "e", "ts": self.us(taken),
                            **self._track(taker),
                        }  # fmt: skip

    def _track(self, task: int) -> dict[str, int]:
        resource = self._time.pipeline.flow.tasks[task].resource
        return {"pid": resource // len(TileResource), "tid": resource % len(TileResource)}

"""The settled pipeline against time: what each stage's resources and its messages do."""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crossmesh.common.prefixes import scale_of
from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.pictures.shapes import polygons, rectangles
from crossmesh.emulator.chip.tasks import Step, purpose
from crossmesh.emulator.chip.timing import ChipTime
from crossmesh.interconnect.noc.flow import Task

Whole = NDArray[np.int64]

_PORT, _ADDER, _MESSAGE = "ports", "sums in routers", "messages"
# What is done, and its color; each is as dark as no other.
HUES = {
    "forward": "#26467a",
    "backward": "#d1773c",
    "update": "#f2d06b",
    "transfer": "#62a37e",
    "loss": "#8a3b8f",
    _PORT: "#9fbbe0",
    _ADDER: "0.45",
    _MESSAGE: "0.92",
}
LANES = ("array", "ADCs", "digital", "transport")
_LANE_OF = {TileResource.ARRAY: 0, TileResource.ADC: 1, TileResource.DIGITAL: 2}
TRANSPORT = 3  # its lane: of ports, of adders in routers, and of messages
_TOPS = (-0.46, -0.1, 0.12, 0.34)  # of a stage's lanes, down from its middle
_HEIGHTS = (0.34, 0.2, 0.2, 0.12)
_NAMED = 5  # stages whose lanes' names fit
_MOST_INTERVALS = 24
_OUTLINED = 300  # boxes broader than one of so many have room for an outline
_PIXELS = 1_500  # shorter gaps than one of so many cannot be seen


class PipelineWork(NamedTuple):
    """What is done in the time that is shown; arrays of one length.

    Attributes:
        start: First cycle.
        stop: First cycle after it.
        micro_batch: Number, from the first that starts in this time.
        row: Stage, times the number of lanes, and the lane.
        hue: What is done, as a number of ``HUES``.
    """

    start: Whole
    stop: Whole
    micro_batch: Whole
    row: Whole
    hue: Whole

    def merged(self, gap: int) -> "PipelineWork":
        """With what follows each other, is of one kind and of one micro-batch, as one."""
        keys = np.stack([self.row, self.hue, self.micro_batch])
        kinds, which = np.unique(keys, axis=1, return_inverse=True)
        which = which.ravel()
        far = int(self.stop.max() - self.start.min()) + gap + 1  # keeps kinds apart
        order = np.lexsort([self.start, which])
        which = which[order]
        start, stop = (part[order] + far * which for part in (self.start, self.stop))
        until = np.maximum.accumulate(stop)
        first = np.flatnonzero(np.append(True, start[1:] > until[:-1] + gap))
        last = np.append(first[1:], len(start)) - 1
        row, hue, micro_batch = kinds[:, which[first]]
        return PipelineWork(
            start=start[first] - far * which[first], stop=until[last] - far * which[first],
            micro_batch=micro_batch, row=row, hue=hue,
        )  # fmt: skip


def draw_flow(axes: Axes, time: ChipTime) -> None:
    """Stage against time, over some intervals or until a micro-batch is through."""
    span = shown_cycles(time)
    shown = settled_work(time, span).merged(math.ceil(span / _PIXELS))
    scale = scale_of(span / time.chip.clock_hz, "s")
    unit = 1 / (time.chip.clock_hz * scale.size)
    stage, lane = np.divmod(shown.row, len(LANES))
    corners = rectangles(
        shown.start * unit, stage + np.take(_TOPS, lane),
        (shown.stop - shown.start) * unit, np.take(_HEIGHTS, lane),
    )  # fmt: skip
    for number, (name, color) in enumerate(HUES.items()):
        mine = shown.hue == number
        if mine.any():
            edge = {"edgecolor": "0.5", "linewidth": 0.3} if name == _MESSAGE else {}
            axes.add_collection(polygons(corners[mine], facecolor=color, label=name, **edge))
    broad = shown.stop - shown.start > span / _OUTLINED
    followed = (shown.micro_batch == 0) & (lane != TRANSPORT) & broad
    axes.add_collection(
        polygons(
            corners[followed], facecolor="none", edgecolor="black", linewidth=0.6,
            label="one micro-batch",
        )
    )  # fmt: skip
    _label(axes, time.pipeline.flow.n_stages)
    axes.set_xlim(0, span * unit)
    axes.set_xlabel(f"emulated time ({scale.unit})")
    axes.set_title(f"{time.schedule.name.replace('_', ' ')}: the settled pipeline")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, columnspacing=1.2)


def _label(axes: Axes, n_stages: int) -> None:
    axes.set_ylim(n_stages - 0.46, -0.54)
    if n_stages <= _NAMED:
        middles = np.add(_TOPS, np.divide(_HEIGHTS, 2))
        rows = [(stage, k) for stage in range(n_stages) for k in range(len(LANES))]
        axes.set_yticks(
            [stage + middles[k] for stage, k in rows], [LANES[k] for _, k in rows], fontsize=6
        )
        for stage in range(n_stages):
            axes.text(1.01, stage, f"stage {stage}", transform=axes.get_yaxis_transform())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("stage: array, ADCs, digital unit, transport")


def shown_cycles(time: ChipTime) -> float:
    """Until a micro-batch is through and the pattern has recurred, but not too many intervals."""
    steady = time.steady
    interval = float(steady.interval_cycles)
    through = time.latency_s * time.chip.clock_hz
    period = float(steady.cycles) if steady.recurs else 0.0
    return min(max(through + interval, period), _MOST_INTERVALS * interval)


def settled_work(time: ChipTime, span: float) -> PipelineWork:
    """What is done while the pipeline is full: the pattern, repeated, or what was timed."""
    steady = time.steady
    first, cycles, micro_batches = steady.settled, steady.cycles, steady.micro_batches
    start, stop, row, hue = _work(time)
    numbers, turns = np.arange(len(start)) - first, range(1)
    if steady.recurs:
        start, stop, numbers = (
            part[first : first + micro_batches] for part in (start, stop, numbers)
        )
        turns = range(
            -(int(stop.max()) // cycles) - 1, 1 + (int(span) - int(start.min())) // cycles
        )
    found = []
    for turn in turns:
        begins, ends = start + turn * cycles, stop + turn * cycles
        m, k = ((ends > 0) & (begins < span) & (ends > begins)).nonzero()
        number = numbers[m] + turn * micro_batches
        found.append(np.stack([begins[m, k], ends[m, k], number, row[k], hue[k]]))
    return PipelineWork(*np.concatenate(found, axis=1))


def _work(time: ChipTime) -> tuple[Whole, Whole, Whole, Whole]:
    """Starts and stops of tasks and messages, and the row and kind of each.

    A message lasts until it has arrived everywhere. Times are of shape
    ``(micro-batches, tasks and messages)``, from the first read of the pattern's first micro-batch.
    """
    flow, timing = time.pipeline.flow, time.steady.timing
    hues = list(HUES)
    stage = np.array([flow.stages[t.resource] if t.stage is None else t.stage for t in flow.tasks])
    lane = np.array([_lane(step) for step in time.pipeline.steps])
    steps = zip(flow.tasks, time.pipeline.steps, strict=True)
    hue = np.array([hues.index(_hue(task, step)) for task, step in steps])
    sender = np.array([send.task for send in flow.sends], np.int64)
    whole = time.steady.choice.model == "analytic"  # in which messages arrive, not packets
    deliveries = [len(s.takers) * (1 if whole else len(s.flits)) for s in flow.sends]
    firsts = np.cumsum([0, *deliveries])[:-1]  # each message's first delivery
    arrived = (
        np.maximum.reduceat(timing.arrivals, firsts, axis=1) if deliveries else timing.arrivals
    )
    origin = timing.started[time.steady.settled, lane != TRANSPORT].min()
    return (
        np.concatenate([timing.started, timing.ended[:, sender]], axis=1) - origin,
        np.concatenate([timing.ended, arrived], axis=1) - origin,
        np.concatenate([stage * len(LANES) + lane, stage[sender] * len(LANES) + TRANSPORT]),
        np.concatenate([hue, np.full(len(sender), hues.index(_MESSAGE))]),
    )


def _lane(step: Step) -> int:
    return TRANSPORT if step.part is None else _LANE_OF.get(step.part, TRANSPORT)


def _hue(task: Task, step: Step) -> str:
    if step.part is None:
        return _ADDER
    return _PORT if step.part is TileResource.PORT else purpose(task, step)

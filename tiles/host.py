"""The tile host: a plain object that holds tiles and performs its part of a program.

Steps are functions of (micro-batch, number of its first example), bound once per schedule. They
find their inputs in stores, one per value, and the last use frees a value, so memory follows the
schedule.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from interconnect.channels import Channels
from interconnect.messages import Message
from interconnect.schedule import Phase, Schedule
from tiles.checkpoint import file_name, load_state, save_state
from tiles.digital import ACTIVATIONS, LOSSES, count_correct
from tiles.measure import Measurement, Meter, TileReport, Trace
from tiles.plan import Action, Place, Receive, Send, actions, in_order, takes_of, uses
from tiles.program import Kind, Operation, Program, Span, Value
from tiles.tile import Tile, TileConfig

Array = NDArray[np.float32]
Step = Callable[[int, int], None]
Steps = list[list[list[tuple[Action, Step]]]]  # by phase and stage


class Feed(Protocol):
    """Where a host finds examples: a pure function of epoch and position."""

    def inputs(self, epoch: int, start: int, stop: int) -> Array:
        """``(examples, inputs + 1)``, the last column 1, at positions of the epoch's order."""
        ...

    def targets(self, epoch: int, start: int, stop: int) -> NDArray[np.generic]:
        """Class numbers ``(examples,)`` or values ``(examples, outputs)``."""
        ...


class TileError(RuntimeError):
    """An operation failed; the message says which, on which tile, and why."""


class _Part(NamedTuple):
    """A step's way to one of its inputs, and the column that it is for."""

    get: Callable[[int], Array]
    at: int


def _getter(
    store: dict[int, Array], columns: tuple[int, int], width: int, *, last: bool
) -> Callable[[int], Array]:
    """Columns of a stored value by micro-batch; the last use frees the store."""
    start, stop = columns
    whole = store.pop if last else store.__getitem__
    if start == 0 and stop == width:
        return whole
    return lambda m: whole(m)[:, start:stop]


def _contiguous(get: Callable[[int], Array]) -> Callable[[int], Array]:
    """The same for kernels, which are compiled for contiguous arrays."""
    return lambda m: np.ascontiguousarray(get(m))


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Which tiles a host holds and what it does with them.

    Attributes:
        program: The whole program; a host performs what its tiles are named for.
        tile: What tiles are.
        seed: The run's seed.
        host_of: Host of each tile.
        host: Number of this host.
    """

    program: Program
    tile: TileConfig
    seed: int
    host_of: tuple[int, ...]
    host: int


class TileHost:
    """Holds the tiles that are assigned to it, and runs spans of the program.

    Args:
        assignment: Which tiles, and the program.
        feeds: Where examples come from, by ``train`` and ``test``; empty where none are needed.
        channels: Connections to the other hosts, or None if there are none.
    """

    def __init__(
        self,
        assignment: Assignment,
        feeds: Mapping[str, Feed],
        channels: Channels | None = None,
    ) -> None:
        threadpool_limits(1)
        self.program = program = assignment.program
        self.host = assignment.host
        self._host_of = assignment.host_of
        self._feeds = feeds
        self._channels = channels
        self.tiles = {
            block.tile: Tile(assignment.tile, block, program.scales[block.tile], assignment.seed)
            for block in program.blocks
            if self._host_of[block.tile] == self.host
        }
        self.meter = Meter(1, 0)
        self.trace: list[Trace] | None = None
        self._bound: dict[Schedule, Steps] = {}
        self._stores: dict[Value, dict[int, Array]] = {}
        self._early: dict[tuple[int, int], Array] = {}
        self._updates = dict.fromkeys(self.tiles, 0)
        self._span: Span | None = None

    # Running

    def run(self, span: Span, watch: Callable[[], None] | None = None) -> list[Measurement]:
        """Perform this host's part of a span, in program order.

        Args:
            span: The micro-batches to run.
            watch: Called after every micro-batch's loss, where the loss is computed.

        Returns:
            Rows of the metrics, where the loss is computed; otherwise none.
        """
        self._span = span
        self.meter = Meter(span.log_every, span.n_examples)
        for tile in self.tiles.values():
            tile.begin(span.evaluation)
        steps = self._steps(span.schedule)
        action: Action | None = None
        try:
            with np.errstate(all="ignore"):  # what is not finite shows in the loss
                for slot in span.schedule.slots(self.program.n_stages, span.n_micro_batches):
                    m = slot.micro_batch
                    first = span.first_example + m * span.micro_batch
                    for action, step in steps[slot.phase][slot.stage]:
                        step(m, first)
                        if self.trace is not None:
                            self._record(action, m, span)
                    if slot.phase is Phase.LOSS and watch is not None:
                        watch()
        except (FloatingPointError, ValueError, MemoryError, ArithmeticError) as error:
            raise TileError(f"{self._describe(action)}: {error}") from error
        return self.meter.rows

    def _describe(self, action: Action | None) -> str:
        if isinstance(action, Operation):
            return f"{self.program.blocks[action.tile]} failed to {action.kind.replace('_', ' ')}"
        return "a message between tile hosts failed"

    def _record(self, action: Action, micro_batch: int, span: Span) -> None:
        assert self.trace is not None
        if isinstance(action, Operation):
            version = self._updates[action.tile] // span.schedule.micro_batches_per_update
            self.trace.append(Trace(action.kind, action.tile, micro_batch, version))
            if action.kind is Kind.PULSE:
                self._updates[action.tile] += 1

    # Binding operations to arrays

    def _steps(self, schedule: Schedule) -> Steps:
        if schedule not in self._bound:
            operations = in_order(self.program, schedule)
            plan = actions(operations, self._host_of, self.host)
            last = {value: i for i, (_, action) in enumerate(plan) for value in uses(action)}
            columns = self._columns(operations, plan)
            steps: Steps = [[[] for _ in range(self.program.n_stages)] for _ in Phase]
            for i, (place, action) in enumerate(plan):
                parts = []
                for take in takes_of(action):
                    first, width = columns[take.value]
                    get = _getter(
                        self._store(take.value),
                        (take.start - first, take.stop - first),
                        width,
                        last=last[take.value] == i,
                    )
                    parts.append(_Part(get, take.at))
                steps[place[0]][place[1]].append((action, self._bind(action, parts, last)))
            self._bound[schedule] = steps
        return self._bound[schedule]

    @staticmethod
    def _columns(
        operations: Sequence[Operation], plan: Sequence[tuple[Place, Action]]
    ) -> dict[Value, tuple[int, int]]:
        """First column and width of each value as this host stores it."""
        columns = {
            op.gives: (0, op.width + (op.gives.role == "x")) for op in operations if op.gives
        }
        for _, action in plan:
            if isinstance(action, Receive):
                for take in action.edge.parts:
                    columns[take.value] = (take.start, take.stop - take.start)
        return columns

    def _store(self, value: Value) -> dict[int, Array]:
        return self._stores.setdefault(value, {})

    def _bind(self, action: Action, parts: list[_Part], last: dict[Value, int]) -> Step:
        if isinstance(action, Receive):
            return self._bind_receive(action)
        if isinstance(action, Send):
            return self._bind_send(action, parts)
        compute = getattr(self, f"_bind_{action.kind}")(action, parts)
        if action.gives not in last:
            return compute
        keep = self._store(action.gives)

        def step(m: int, first: int) -> None:
            keep[m] = compute(m, first)

        return step

    def _bind_input(self, op: Operation, parts: Sequence[_Part]) -> Callable[[int, int], Array]:
        def take(m: int, first: int) -> Array:
            span = self._active()
            start, stop = span.examples(m)
            feed = self._feeds["train" if span.evaluation is None else "test"]
            return feed.inputs(span.epoch, span.first + start, span.first + stop)

        return take

    def _bind_read(self, op: Operation, parts: Sequence[_Part]) -> Callable[[int, int], Array]:
        tile, x = self.tiles[op.tile], _contiguous(parts[0].get)
        return lambda m, first: tile.forward(x(m), first)

    def _bind_read_back(self, op: Operation, parts: Sequence[_Part]) -> Callable[[int, int], Array]:
        tile, d = self.tiles[op.tile], _contiguous(parts[0].get)
        return lambda m, first: tile.backward(d(m), first)

    def _bind_pulse(self, op: Operation, parts: Sequence[_Part]) -> Callable[[int, int], None]:
        tile = self.tiles[op.tile]
        x, d = (_contiguous(part.get) for part in parts)
        return lambda m, first: tile.update(x(m), d(m), self._active().learning_rate, first)

    def _bind_sum(self, op: Operation, parts: Sequence[_Part]) -> Callable[[int, int], Array]:
        return lambda m, first: _driven_sum(parts, m, op.width)

    def _bind_gather(self, op: Operation, parts: Sequence[_Part]) -> Callable[[int, int], Array]:
        return lambda m, first: _sum(parts, m, op.width)

    def _bind_activate(self, op: Operation, parts: Sequence[_Part]) -> Callable[[int, int], Array]:
        function, u = ACTIVATIONS[self.program.functions[op.node]], parts[0].get

        def activate(m: int, first: int) -> Array:
            before = u(m)
            out = np.empty((before.shape[0], op.width + 1), np.float32)
            out[:, op.width] = 1
            function.forward(before, out[:, : op.width])
            return out

        return activate

    def _bind_derive(self, op: Operation, parts: Sequence[_Part]) -> Callable[[int, int], Array]:
        function = ACTIVATIONS[self.program.functions[op.node]]
        d, y = (part.get for part in parts)
        return lambda m, first: function.backward(d(m), y(m))

    def _bind_loss(self, op: Operation, parts: Sequence[_Part]) -> Callable[[int, int], Array]:
        loss, y = LOSSES[self.program.loss], parts[0].get

        def evaluate(m: int, first: int) -> Array:
            span = self._active()
            start, stop = span.examples(m)
            feed = self._feeds["train" if span.evaluation is None else "test"]
            targets = feed.targets(span.epoch, span.first + start, span.first + stop)
            outputs = y(m)
            value, d = loss.evaluate(outputs, targets)
            if not math.isfinite(value):
                raise ValueError(
                    f"the loss must be finite, got {value} after {self.meter.examples} examples; "
                    "a smaller training.learning_rate may help"
                )
            self.meter.add(value, count_correct(outputs, targets), stop - start)
            return d

        return evaluate

    def _active(self) -> Span:
        assert self._span is not None
        return self._span

    # Messages

    def _bind_send(self, action: Send, parts: Sequence[_Part]) -> Step:
        edge, channels = action.edge, self._channels
        assert channels is not None

        def send(m: int, first: int) -> None:
            arrays = [part.get(m) for part in parts]
            payload = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
            message = Message(channels.generation, m, edge.number, edge.kind, payload)
            channels.send(edge.target, message)

        return send

    def _bind_receive(self, action: Receive) -> Step:
        edge, channels = action.edge, self._channels
        assert channels is not None
        stops = np.cumsum([take.stop - take.start for take in edge.parts])
        targets = [
            (self._store(take.value), int(stop) - (take.stop - take.start), int(stop))
            for take, stop in zip(edge.parts, stops, strict=True)
        ]

        def receive(m: int, first: int) -> None:
            payload = self._early.pop((edge.number, m), None)
            while payload is None:
                message = channels.receive(edge.source)
                if (message.edge, message.micro_batch) == (edge.number, m):
                    payload = message.payload
                else:
                    self._early[message.edge, message.micro_batch] = message.payload
            for store, start, stop in targets:
                store[m] = payload[:, start:stop].copy()

        return receive

    # State

    def write(self, weights: Callable[[str, tuple[int, int], tuple[int, int]], Array]) -> None:
        """Set every tile from a function of (layer, first row and column, shape)."""
        for tile in self.tiles.values():
            block = tile.block
            tile.write(weights(block.layer, (block.row, block.col), block.shape))

    def save(self, folder: Path) -> None:
        """Write every tile's state to ``folder``."""
        for number, tile in self.tiles.items():
            save_state(folder / file_name(number), tile.crossbar.state())

    def load(self, folder: Path) -> None:
        """Read every tile's state from ``folder``."""
        for number, tile in self.tiles.items():
            tile.crossbar.load(load_state(folder / file_name(number)))

    def digests(self) -> dict[int, bytes]:
        """sha256 of each tile's device state."""
        return {number: tile.digest() for number, tile in self.tiles.items()}

    def reports(self) -> list[TileReport]:
        """Rows of the tiles table."""
        return [self._report(tile) for tile in self.tiles.values()]

    def _report(self, tile: Tile) -> TileReport:
        w, block = tile.weights, tile.block
        return TileReport(
            tile=block.tile,
            layer=block.layer,
            first_row=block.row,
            first_col=block.col,
            rows=block.shape[0],
            cols=block.shape[1],
            actor=self.host,
            weight_scale=tile.scale,
            weight_mean=float(w.mean(dtype=np.float64)),
            weight_std=float(w.std(dtype=np.float64)),
            weight_min=float(w.min()),
            weight_max=float(w.max()),
            pulses=tile.crossbar.pulses,
        )

    def reset(self) -> None:
        """Forget the values of a span that did not end."""
        for store in self._stores.values():
            store.clear()
        self._early.clear()


def _sum(parts: Sequence[_Part], m: int, width: int) -> Array:
    """Add partial sums at their columns, in the order of the program whatever arrived first."""
    arrays = [part.get(m) for part in parts]
    if len(arrays) == 1:
        return arrays[0]
    out = np.zeros((arrays[0].shape[0], width), np.float32)
    _add(parts, arrays, out)
    return out


def _driven_sum(parts: Sequence[_Part], m: int, width: int) -> Array:
    """The same, with the column of ones that drives the next bias line."""
    arrays = [part.get(m) for part in parts]
    out = np.zeros((arrays[0].shape[0], width + 1), np.float32)
    _add(parts, arrays, out)
    out[:, width] = 1
    return out


def _add(parts: Sequence[_Part], arrays: Sequence[Array], out: Array) -> None:
    for part, array in zip(parts, arrays, strict=True):
        out[:, part.at : part.at + array.shape[1]] += array

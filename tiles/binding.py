"""Operations bound to arrays: what a host's part of a program becomes, once per schedule.

A step is a function of (micro-batch, number of its first example, span). Steps find their inputs
in stores, one per value, and the last use frees a value, so memory follows the schedule.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from interconnect.channels import Channels
from interconnect.messages import Message
from interconnect.schedule import Phase
from tiles.digital import ACTIVATIONS, LOSSES, count_correct
from tiles.plan import Action, Place, Receive, Send, takes_of, uses
from tiles.program import Operation, Program, Span, Value
from tiles.tile import Tile

Array = NDArray[np.float32]
Store = dict[int, Array]  # a value by micro-batch
Step = Callable[[int, int, Span], None]
Compute = Callable[[int, int, Span], Array]  # a step before what it makes is stored
Steps = list[list[list[tuple[Action, Step]]]]  # by phase and stage
Count = Callable[[float, int, int], None]


class Feed(Protocol):
    """Where a host finds examples: a pure function of epoch and position."""

    def inputs(self, epoch: int, start: int, stop: int) -> Array:
        """``(examples, inputs + 1)``, the last column 1, at positions of the epoch's order."""
        ...

    def targets(self, epoch: int, start: int, stop: int) -> NDArray[np.generic]:
        """Class numbers ``(examples,)`` or values ``(examples, outputs)``."""
        ...


class _Part(NamedTuple):
    """A step's way to one of its inputs, and the column that it is for."""

    get: Callable[[int], Array]
    at: int


class Binder:
    """Binds the actions of one host to its tiles, feeds and channels, and to the stores between.

    Args:
        program: The whole program.
        tiles: The host's tiles, by number.
        feeds: Where examples come from, by ``train`` and ``test``.
        channels: Connections to the other hosts, or None if there are none.
        count: Told the loss, the hits and the size of every micro-batch.

    Attributes:
        channel_s: Wall seconds within sends and receives, with what they waited.
    """

    def __init__(
        self,
        program: Program,
        tiles: Mapping[int, Tile],
        feeds: Mapping[str, Feed],
        channels: Channels | None,
        count: Count,
    ) -> None:
        self._program = program
        self._tiles = tiles
        self._feeds = feeds
        self._channels = channels
        self._count = count
        self.channel_s = 0.0
        self._stores: dict[Value, Store] = {}
        self._early: dict[tuple[int, int], Array] = {}

    def steps(self, operations: Sequence[Operation], plan: Sequence[tuple[Place, Action]]) -> Steps:
        """The steps of a plan.

        Args:
            operations: All operations of a micro-batch, whichever host performs them.
            plan: The actions of this host.
        """
        last = {value: i for i, (_, action) in enumerate(plan) for value in uses(action)}
        columns = _columns(operations, plan)
        steps: Steps = [[[] for _ in range(self._program.n_stages)] for _ in Phase]
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
            stored = not isinstance(action, Operation) or action.gives in last
            steps[place[0]][place[1]].append((action, self._bind(action, parts, stored=stored)))
        return steps

    def _store(self, value: Value) -> Store:
        return self._stores.setdefault(value, {})

    def _bind(self, action: Action, parts: Sequence[_Part], *, stored: bool) -> Step:
        if isinstance(action, Receive):
            return self._bind_receive(action)
        if isinstance(action, Send):
            return self._bind_send(action, parts)
        compute = getattr(self, f"_bind_{action.kind}")(action, parts)
        if action.gives is None or not stored:
            return compute
        keep = self._store(action.gives)

        def step(m: int, first: int, span: Span) -> None:
            keep[m] = compute(m, first, span)

        return step

    # The operations, by kind

    def _feed(self, span: Span) -> Feed:
        return self._feeds["train" if span.evaluation is None else "test"]

    def _bind_input(self, op: Operation, parts: Sequence[_Part]) -> Compute:
        def take(m: int, first: int, span: Span) -> Array:
            start, stop = span.examples(m)
            return self._feed(span).inputs(span.epoch, span.first + start, span.first + stop)

        return take

    def _bind_read(self, op: Operation, parts: Sequence[_Part]) -> Compute:
        tile, x = self._tiles[op.tile], _contiguous(parts[0].get)
        return lambda m, first, span: tile.forward(x(m), first)

    def _bind_read_back(self, op: Operation, parts: Sequence[_Part]) -> Compute:
        tile, d = self._tiles[op.tile], _contiguous(parts[0].get)
        return lambda m, first, span: tile.backward(d(m), first)

    def _bind_pulse(self, op: Operation, parts: Sequence[_Part]) -> Step:
        tile = self._tiles[op.tile]
        x, d = (_contiguous(part.get) for part in parts)
        return lambda m, first, span: tile.update(x(m), d(m), span.learning_rate, first)

    def _bind_sum(self, op: Operation, parts: Sequence[_Part]) -> Compute:
        return lambda m, first, span: _driven_sum(parts, m, op.width)

    def _bind_gather(self, op: Operation, parts: Sequence[_Part]) -> Compute:
        return lambda m, first, span: _sum(parts, m, op.width)

    def _bind_activate(self, op: Operation, parts: Sequence[_Part]) -> Compute:
        function, u = ACTIVATIONS[self._program.functions[op.node]], parts[0].get

        def activate(m: int, first: int, span: Span) -> Array:
            before = u(m)
            out = np.empty((before.shape[0], op.width + 1), np.float32)
            out[:, op.width] = 1
            function.forward(before, out[:, : op.width])
            return out

        return activate

    def _bind_derive(self, op: Operation, parts: Sequence[_Part]) -> Compute:
        function = ACTIVATIONS[self._program.functions[op.node]]
        d, y = (part.get for part in parts)
        return lambda m, first, span: function.backward(d(m), y(m))

    def _bind_loss(self, op: Operation, parts: Sequence[_Part]) -> Compute:
        loss, y = LOSSES[self._program.loss], parts[0].get

        def evaluate(m: int, first: int, span: Span) -> Array:
            start, stop = span.examples(m)
            feed, outputs = self._feed(span), y(m)
            targets = feed.targets(span.epoch, span.first + start, span.first + stop)
            value, d = loss.evaluate(outputs, targets)
            if not math.isfinite(value):
                raise ValueError(
                    f"the loss must be finite, got {value} after {start} examples; "
                    "a smaller training.learning_rate may help"
                )
            self._count(value, count_correct(outputs, targets), stop - start)
            return d

        return evaluate

    # Messages

    def _bind_send(self, action: Send, parts: Sequence[_Part]) -> Step:
        edge, channels = action.edge, self._channels
        assert channels is not None

        def send(m: int, first: int, span: Span) -> None:
            started = time.perf_counter()
            arrays = [part.get(m) for part in parts]
            payload = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
            message = Message(channels.generation, m, edge.number, edge.kind, payload)
            channels.send(edge.target, message)
            self.channel_s += time.perf_counter() - started

        return send

    def _bind_receive(self, action: Receive) -> Step:
        edge, channels = action.edge, self._channels
        assert channels is not None
        stops = np.cumsum([take.stop - take.start for take in edge.parts])
        targets = [
            (self._store(take.value), int(stop) - (take.stop - take.start), int(stop))
            for take, stop in zip(edge.parts, stops, strict=True)
        ]

        def receive(m: int, first: int, span: Span) -> None:
            started = time.perf_counter()
            payload = self._early.pop((edge.number, m), None)
            while payload is None:
                message = channels.receive(edge.source)
                if (message.edge, message.micro_batch) == (edge.number, m):
                    payload = message.payload
                else:
                    self._early[message.edge, message.micro_batch] = message.payload
            for store, start, stop in targets:
                store[m] = payload[:, start:stop].copy()
            self.channel_s += time.perf_counter() - started

        return receive


def _columns(
    operations: Sequence[Operation], plan: Sequence[tuple[Place, Action]]
) -> dict[Value, tuple[int, int]]:
    """First column and width of each value as a host stores it."""
    columns = {op.gives: (0, op.width + (op.gives.role == "x")) for op in operations if op.gives}
    for _, action in plan:
        if isinstance(action, Receive):
            for take in action.edge.parts:
                columns[take.value] = (take.start, take.stop - take.start)
    return columns


def _getter(
    store: Store, columns: tuple[int, int], width: int, *, last: bool
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

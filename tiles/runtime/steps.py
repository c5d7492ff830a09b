"""Operations bound to arrays: what a host's part of a program becomes, once per schedule.

A step is a function of (micro-batch, number of its first example, span). Steps find their inputs
in stores, one per value, and the last use frees a value, so memory follows the schedule.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.interconnect.schedule import Phase
from crossmesh.interconnect.transport.channels import Channels
from crossmesh.interconnect.transport.messages import Message
from crossmesh.tiles.analog.backends import AnalogTile
from crossmesh.tiles.analog.convolution import Patches, Sliding
from crossmesh.tiles.digital import (
    AwareTile,
    Call,
    DigitalMatrix,
    DigitalMemory,
    Learned,
    add_bias,
    bias_error,
    learn_bias,
)
from crossmesh.tiles.digital.base import NO_PARAMETERS
from crossmesh.tiles.runtime.adding import Array, Get, Part, added
from crossmesh.tiles.runtime.holders import Holder
from crossmesh.tiles.runtime.joined import Joined, joined_updates
from crossmesh.tiles.runtime.measure import Meter
from crossmesh.tiles.runtime.plan import Action, Place, Receive, SendMessage, takes_of, uses
from crossmesh.tiles.runtime.program import UPDATES, Operation, Program, Span, Value

T = TypeVar("T")
Store = dict[int, Array]  # a value by micro-batch
Step = Callable[[int, int, Span], None]
Compute = Callable[[int, int, Span], Array]  # a step before what it makes is stored
Steps = list[list[list[tuple[Action, Step]]]]  # by phase and stage


class Feed(Protocol):
    """Source of examples for a host: a pure function of epoch and position."""

    def inputs(self, epoch: int, start: int, stop: int) -> Array:
        """``(examples * positions, features)`` at positions of the epoch's order."""
        ...

    def targets(self, epoch: int, start: int, stop: int) -> NDArray[np.generic]:
        """Class numbers ``(examples,)`` or ``(examples, positions)``, or values."""
        ...


class Binder:
    """Binds the actions of one host to its tiles, feeds and channels, and to the stores between.

    Args:
        program: The whole program.
        seed: The run's seed.
        tiles: The host's tiles and digital memories, by number.
        feeds: Sources of examples, by the names that spans have for them.
        channels: Connections to the other hosts, or None if there are none.
        meter: The meter of the running span, which sums up losses or keeps outputs.

    Attributes:
        channel_s: Wall seconds within sends and receives, with what they waited.
    """

    def __init__(
        self,
        program: Program,
        seed: int,
        tiles: Mapping[int, Holder],
        feeds: Mapping[str, Feed],
        channels: Channels | None,
        meter: Callable[[], Meter],
    ) -> None:
        self._program = program
        self._seed = seed
        self._tiles = tiles
        self._feeds = feeds
        self._channels = channels
        self._meter = meter
        self.channel_s = 0.0
        self._stores: dict[Value, Store] = {}
        self._early: dict[tuple[int, int], Array] = {}
        self._last_updates: dict[int, Operation] = {}  # of a micro-batch, by tile
        self._joined: dict[int, Joined] = {}

    def steps(self, operations: Sequence[Operation], plan: Sequence[tuple[Place, Action]]) -> Steps:
        """The steps of a plan.

        Args:
            operations: All operations of a micro-batch, whichever host performs them.
            plan: The actions of this host.
        """
        last = {
            value: (i, k)
            for i, (_, action) in enumerate(plan)
            for k, value in enumerate(uses(action))
        }
        columns = _columns(operations, plan)
        heights = {op.gives: op.positions for op in operations if op.gives}
        self._last_updates = {op.tile: op for op in operations if op.kind in UPDATES}
        self._joined = joined_updates(self._program, operations)
        steps: Steps = [[[] for _ in range(self._program.n_stages)] for _ in Phase]
        for i, (place, action) in enumerate(plan):
            parts = []
            for k, take in enumerate(takes_of(action)):
                first, width = columns[take.value]
                height = heights[take.value]
                whole = _whole(self._store(take.value), last=last[take.value] == (i, k))
                get = _columns_of(whole, (take.start - first, take.stop - first), width)
                if take.positions is not None:
                    get = _positions_of(get, take.positions, height)
                    height = take.positions[1] - take.positions[0]
                parts.append(Part(get, take.at, take.at_position, height))
            stored = not isinstance(action, Operation) or action.gives in last
            steps[place[0]][place[1]].append((action, self._bind(action, parts, stored=stored)))
        return steps

    def _store(self, value: Value) -> Store:
        return self._stores.setdefault(value, {})

    def _bind(self, action: Action, parts: Sequence[Part], *, stored: bool) -> Step:
        if isinstance(action, Receive):
            return self._bind_receive(action)
        if isinstance(action, SendMessage):
            return self._bind_send(action, parts)
        compute = getattr(self, f"_bind_{action.kind}")(action, parts)
        if action.gives is None or not stored:
            return compute
        keep = self._store(action.gives)

        def step(m: int, first: int, span: Span) -> None:
            keep[m] = compute(m, first, span)

        return step

    # Examples and the loss

    def _feed(self, span: Span) -> Feed:
        return self._feeds[span.feed]

    def _bind_input(self, op: Operation, parts: Sequence[Part]) -> Compute:
        def take(m: int, first: int, span: Span) -> Array:
            start, stop = span.examples(m)
            return self._feed(span).inputs(span.epoch, span.first + start, span.first + stop)

        return take

    def _bind_loss(self, op: Operation, parts: Sequence[Part]) -> Compute:
        loss, y = self._program.loss, parts[0].get
        of_classes = self._program.class_weights
        weights = np.array(of_classes, np.float32) if of_classes else None

        def evaluate(m: int, first: int, span: Span) -> Array:
            start, stop = span.examples(m)
            feed, outputs = self._feed(span), y(m)
            if span.keeps_outputs:
                self._meter().keep(outputs, stop - start)
                return outputs
            targets = feed.targets(span.epoch, span.first + start, span.first + stop)
            if weights is None or span.evaluation is not None:
                value, d = loss.evaluate(outputs, targets)
            else:
                value, d = loss.evaluate_weighted(outputs, targets, weights)
            self._meter().add(value, loss.count_correct(outputs, targets), stop - start)
            return d

        return evaluate

    # Tiles

    def _bind_read(self, op: Operation, parts: Sequence[Part]) -> Compute:
        read, number, x = self._array(op).forward, self._numbering(op), _contiguous(parts[0].get)
        return self._seeing(op, lambda m, first, span: read(x(m), number(m, first, span)))

    def _bind_read_back(self, op: Operation, parts: Sequence[Part]) -> Compute:
        read, number, d = self._array(op).backward, self._numbering(op), _contiguous(parts[0].get)
        return self._seeing(op, lambda m, first, span: read(d(m), number(m, first, span)))

    def _bind_pulse(self, op: Operation, parts: Sequence[Part]) -> Step:
        update, number = self._array(op).update, self._numbering(op)
        joined = self._joined.get(op.tile)
        x, d = (_contiguous(part.get) for part in parts)

        def pulse(m: int, first: int, span: Span) -> None:
            update(x(m), d(m), span.rate(m), number(m, first, span))

        step: Step = joined.step(op, [part.get for part in parts], update) if joined else pulse
        return self._stepping(op, self._seeing(op, step))

    def _seeing(self, op: Operation, cycle: Callable[[int, int, Span], T]) -> Callable[..., T]:
        """A cycle of a tile, which in hardware-aware training has the noise of the update."""
        tile = self._tiles[op.tile]
        if not isinstance(tile, AwareTile):
            return cycle

        def seeing(m: int, first: int, span: Span) -> T:
            tile.see(span.first_of_update(m))
            return cycle(m, first, span)

        return seeing

    def _stepping(self, op: Operation, update: Step) -> Step:
        """An update with the step of the optimiser behind the last one of a batch, if there is one.

        Until then, updates only add to the error of the batch.
        """
        holder = self._tiles[op.tile]
        if self._program.rule(op.tile) is None or op is not self._last_updates[op.tile]:
            return update
        assert isinstance(holder, DigitalMatrix | DigitalMemory)

        def step(m: int, first: int, span: Span) -> None:
            update(m, first, span)
            if span.ends_update(m):
                holder.step(span.rate(m))

        return step

    def _array(self, op: Operation) -> AnalogTile | Sliding:
        """What performs the cycles of a tile for an operation."""
        tile = self._tiles[op.tile]
        assert not isinstance(tile, DigitalMemory)
        window = self._program.windows.get(op.node)
        if window is None:
            return tile
        patches = Patches(window=window, rows=tile.block.row_range, positions=op.span)
        return Sliding(tile, patches)

    def _numbering(self, op: Operation) -> Callable[[int, int, Span], int]:
        """Number of the first vector that a tile is driven with, which keys its noise.

        A micro-batch has as many numbers as vectors; those of a node's reads come after those of
        the nodes that drive the same matrix before it.
        """
        vectors, offset = self._program.vectors[op.tile], op.offset
        if vectors == 1:
            return lambda m, first, span: first

        def number(m: int, first: int, span: Span) -> int:
            start, stop = span.examples(m)
            return first * vectors + offset * (stop - start)

        return number

    # Digital units

    def _bind_sum(self, op: Operation, parts: Sequence[Part]) -> Compute:
        if not self._program.has_digital_bias(op):
            return self._bind_join(op, parts)
        parameters, width = self._memory(op).parameters, op.width

        def add(m: int, first: int, span: Span) -> Array:
            out = added(parts, m, op)
            add_bias(out[:, :width], parameters)
            return out

        return add

    def _bind_join(self, op: Operation, parts: Sequence[Part]) -> Compute:
        return lambda m, first, span: added(parts, m, op)

    _bind_gather = _bind_join

    def _memory(self, op: Operation) -> DigitalMemory:
        memory = self._tiles[op.tile]
        assert isinstance(memory, DigitalMemory)
        return memory

    def _call(self, op: Operation) -> Callable[[int, Span], Call]:
        """What the function of a node knows besides its inputs."""
        parameters = NO_PARAMETERS
        if isinstance(self._program.functions[op.node], Learned):
            parameters = self._memory(op).parameters
        seed = self._seed
        return lambda first, span: Call(first, span.evaluation is None, seed, parameters)

    def _bind_compute(self, op: Operation, parts: Sequence[Part]) -> Compute:
        function, call, width = self._program.functions[op.node], self._call(op), op.width
        gets = [_contiguous(part.get) for part in parts]
        height = parts[0].positions
        if function.reshapes and not op.has_ones:
            return lambda m, first, span: gets[0](m).reshape(-1, width)

        def compute(m: int, first: int, span: Span) -> Array:
            inputs = [get(m) for get in gets]
            rows = inputs[0].shape[0] // height * op.positions
            out = np.empty((rows, op.columns), np.float32)
            if op.has_ones:
                out[:, width] = 1
            function.forward(inputs, out[:, :width], call(first, span))
            return out

        return compute

    def _bind_derive(self, op: Operation, parts: Sequence[Part]) -> Compute:
        function, call, index = self._program.functions[op.node], self._call(op), op.index
        d, *rest = (_contiguous(part.get) for part in parts)
        y = rest.pop() if function.needs_output else None

        def derive(m: int, first: int, span: Span) -> Array:
            error, inputs = d(m), [get(m) for get in rest]
            given = error, index, inputs, None if y is None else y(m), call(first, span)
            return function.backward(*given).reshape(-1, op.width)

        return derive

    def _bind_learn(self, op: Operation, parts: Sequence[Part]) -> Step:
        memory = self._memory(op)
        learner = memory.learner
        if self._program.has_digital_bias(op):
            parameters, error = memory.parameters, _contiguous(parts[0].get)
            if learner is not None:
                return self._stepping(op, lambda m, first, span: learner.add(bias_error(error(m))))
            return lambda m, first, span: learn_bias(parameters, error(m), span.rate(m))
        function, call = self._program.functions[op.node], self._call(op)
        assert isinstance(function, Learned)
        d, *rest = (_contiguous(part.get) for part in parts)

        def learn(m: int, first: int, span: Span) -> None:
            inputs, made = [get(m) for get in rest], call(first, span)
            if learner is not None:
                learner.add(function.parameter_error(d(m), inputs, made))
            else:
                function.learn(d(m), inputs, made, span.rate(m))

        return self._stepping(op, learn)

    # Messages

    def _bind_send(self, action: SendMessage, parts: Sequence[Part]) -> Step:
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
            if len(targets) == 1:
                targets[0][0][m] = payload
            else:  # a view would keep all of the others
                for store, start, stop in targets:
                    store[m] = payload[:, start:stop].copy()
            self.channel_s += time.perf_counter() - started

        return receive


def _columns(
    operations: Sequence[Operation], plan: Sequence[tuple[Place, Action]]
) -> dict[Value, tuple[int, int]]:
    """First column and width of each value as a host stores it."""
    columns = {op.gives: (0, op.columns) for op in operations if op.gives}
    for _, action in plan:
        if isinstance(action, Receive):
            for take in action.edge.parts:
                columns[take.value] = (take.start, take.stop - take.start)
    return columns


def _whole(store: Store, *, last: bool) -> Get:
    """A stored value by micro-batch; the last use frees the store."""
    return store.pop if last else store.__getitem__


def _columns_of(whole: Get, columns: tuple[int, int], width: int) -> Get:
    """Some of the columns."""
    start, stop = columns
    if start == 0 and stop == width:
        return whole
    return lambda m: whole(m)[:, start:stop]


def _positions_of(whole: Get, positions: tuple[int, int], height: int) -> Get:
    """Some of the positions of every example."""
    start, stop = positions

    def get(m: int) -> Array:
        array = whole(m)
        some = array.reshape(-1, height, array.shape[1])[:, start:stop]
        return some.reshape(-1, array.shape[1])

    return get


def _contiguous(get: Get) -> Get:
    """The same for kernels and functions, whose bits may depend on how arrays lie in memory."""
    return lambda m: np.ascontiguousarray(get(m))

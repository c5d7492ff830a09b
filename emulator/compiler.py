"""Compilation: from a network and its blocks to a flat list of operations."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from emulator.mapping import cut, weight_scale
from emulator.network import INPUT, Network, Node
from interconnect.schedule import Phase, Schedule
from tiles.plan import in_order
from tiles.program import Kind, Operation, Program, Take, Value
from tiles.tile import Block, TileConfig


def compile_program(network: Network, tile: TileConfig, loss: str) -> Program:
    """Map a network to tiles and list what is done for each micro-batch."""
    blocks = cut(network, tile)
    of_layer: dict[str, list[Block]] = {node.name: [] for node in network.linear}
    for block in blocks:
        of_layer[block.layer].append(block)
    compiler = _Compiler(network, of_layer, loss)
    return Program(
        n_stages=network.n_stages,
        blocks=blocks,
        scales=tuple(weight_scale(network, tile, block.layer) for block in blocks),
        operations=tuple(compiler.operations()),
        functions={node.name: node.function for node in network.nodes if node.function},
        loss=loss,
    )


@dataclass(frozen=True)
class _Compiler:
    network: Network
    blocks: dict[str, list[Block]]
    loss: str

    def operations(self) -> Iterator[Operation]:
        for node in self.network.nodes:
            yield from self._forward(node)
        yield self._loss()
        for node in reversed(self.network.nodes):
            if self.network.learns[node.name]:
                yield from self._backward(node)
        for node in self.network.linear:
            yield from self._update(node)

    def _home(self, node: Node) -> int:
        """The tile whose digital unit holds a node's whole vector: the first of its layer."""
        if node.is_linear:
            return self.blocks[node.name][0].tile
        if node.name != INPUT:
            return self._home(self.network.by_name[node.input])
        return min(block.tile for blocks in self.blocks.values() for block in blocks)

    def _at(self, node: Node, phase: Phase, kind: Kind, tile: int | None = None) -> Operation:
        return Operation(
            phase=phase,
            stage=self.network.stage[node.name],
            kind=kind,
            node=node.name,
            tile=self._home(node) if tile is None else tile,
            width=node.width,
        )

    def _forward(self, node: Node) -> Iterator[Operation]:
        gives = Value("x", node.name)
        if node.name == INPUT:
            yield _with(self._at(node, Phase.FORWARD, Kind.INPUT), gives=gives)
        elif node.is_linear:
            for block in self.blocks[node.name]:
                read = self._at(node, Phase.FORWARD, Kind.READ, block.tile)
                take = Take(Value("x", node.input), *block.row_range)
                yield _with(read, takes=(take,), gives=Value("y", block.tile), width=block.shape[1])
            partial_sums = sorted(self.blocks[node.name], key=lambda block: (block.col, block.row))
            takes = tuple(Take(Value("y", b.tile), 0, b.shape[1], at=b.col) for b in partial_sums)
            yield _with(self._at(node, Phase.FORWARD, Kind.SUM), takes=takes, gives=gives)
        else:
            take = Take(Value("x", node.input), 0, node.width)
            yield _with(self._at(node, Phase.FORWARD, Kind.ACTIVATE), takes=(take,), gives=gives)

    @property
    def _judged(self) -> Node:
        """The node that the loss's error belongs to: cross-entropy looks through the softmax."""
        output = self.network.output
        return self.network.by_name[output.input] if self.loss == "cross_entropy" else output

    def _loss(self) -> Operation:
        output = self.network.output
        take = Take(Value("x", output.name), 0, output.width)
        return _with(
            self._at(output, Phase.LOSS, Kind.LOSS),
            takes=(take,),
            gives=Value("d", self._judged.name),
            stage=self.network.n_stages - 1,
        )

    def _backward(self, node: Node) -> Iterator[Operation]:
        if node == self.network.output and node != self._judged:
            return
        if node != self._judged:
            yield from self._gather(node)
        error = Take(Value("d", node.name), 0, node.width)
        if not node.is_linear:
            if self.network.learns[node.input]:
                output = Take(Value("x", node.name), 0, node.width)
                alone = len(self.network.consumers[node.input]) == 1
                gives = Value("d", node.input) if alone else Value("e", node.name)
                derive = self._at(node, Phase.BACKWARD, Kind.DERIVE)
                yield _with(derive, takes=(error, output), gives=gives)
        elif self.network.learns[node.input]:
            for block in self.blocks[node.name]:
                read = self._at(node, Phase.BACKWARD, Kind.READ_BACK, block.tile)
                yield _with(
                    read,
                    takes=(Take(error.value, *block.col_range),),
                    gives=Value("z", block.tile),
                    width=block.shape[0],
                )

    def _gather(self, node: Node) -> Iterator[Operation]:
        """Add what a node's consumers send back, unless there is one digital consumer only."""
        consumers = self.network.consumers[node.name]
        if len(consumers) == 1 and not consumers[0].is_linear:
            return
        takes: list[Take] = []
        for consumer in consumers:
            if not consumer.is_linear:
                takes.append(Take(Value("e", consumer.name), 0, node.width))
            for block in self.blocks.get(consumer.name, ()):
                weights_only = min(block.row_range[1], node.width) - block.row
                if weights_only > 0:
                    takes.append(Take(Value("z", block.tile), 0, weights_only, at=block.row))
        gather = self._at(node, Phase.BACKWARD, Kind.GATHER)
        yield _with(gather, takes=tuple(takes), gives=Value("d", node.name))

    def _update(self, node: Node) -> Iterator[Operation]:
        for block in self.blocks[node.name]:
            takes = (
                Take(Value("x", node.input), *block.row_range),
                Take(Value("d", node.name), *block.col_range),
            )
            yield _with(self._at(node, Phase.UPDATE, Kind.PULSE, block.tile), takes=takes)


def _with(operation: Operation, **changes: object) -> Operation:
    return replace(operation, **changes)  # type: ignore[arg-type]  # checked by the dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An operation for a certain micro-batch, as ``crossmesh program`` prints it.

    Attributes:
        tick: Tick of the schedule.
        operation: What is done, on which tile.
        micro_batch: For which micro-batch.
        version: Updates that the tile's weights have seen before.
        messages: (tile, columns) that what it makes is sent to; the own tile is left out.
    """

    tick: int
    operation: Operation
    micro_batch: int
    version: int
    messages: tuple[tuple[int, int], ...]


def records(program: Program, schedule: Schedule, n_micro_batches: int) -> Iterator[Record]:
    """The program as a flat list: every operation of every micro-batch, in order."""
    operations = in_order(program, schedule)
    messages = _messages(operations)
    by_place: dict[tuple[Phase, int], list[Operation]] = {}
    for operation in operations:
        by_place.setdefault((operation.phase, operation.stage), []).append(operation)
    updates = dict.fromkeys(range(len(program.blocks)), 0)
    for slot in schedule.slots(program.n_stages, n_micro_batches):
        for operation in by_place.get((slot.phase, slot.stage), ()):
            version = updates[operation.tile] // schedule.micro_batches_per_update
            if operation.kind is Kind.PULSE:
                updates[operation.tile] += 1
            sent = messages.get(operation.gives, ()) if operation.gives else ()
            yield Record(
                tick=slot.tick,
                operation=operation,
                micro_batch=slot.micro_batch,
                version=version,
                messages=sent,
            )


def _messages(operations: list[Operation]) -> dict[Value, tuple[tuple[int, int], ...]]:
    """For each value, the other tiles that take it, and how many columns each takes."""
    makers = {op.gives: op.tile for op in operations if op.gives is not None}
    sent: dict[Value, dict[int, int]] = {}
    for operation in operations:
        for take in operation.takes:
            if makers[take.value] != operation.tile:
                columns = sent.setdefault(take.value, {})
                wanted = max(columns.get(operation.tile, 0), take.stop - take.start)
                columns[operation.tile] = wanted
    return {value: tuple(columns.items()) for value, columns in sent.items()}

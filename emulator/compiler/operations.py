"""From a network and its blocks to a flat list of operations."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from crossmesh.emulator.compiler.mapping import share
from crossmesh.emulator.network.graph import INPUT, Network, Node
from crossmesh.interconnect.schedule import Phase
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.digital import Loss
from crossmesh.tiles.runtime.program import Kind, Operation, Take, Value


@dataclass(frozen=True)
class Compiler:
    """Lists what is done for each micro-batch.

    Attributes:
        network: The network.
        blocks: Blocks of each layer.
        homes: Number of the tile or digital memory that makes the value of each node, by name.
        loss: The loss.
    """

    network: Network
    blocks: dict[str, list[Block]]
    homes: dict[str, int]
    loss: Loss

    def operations(self) -> Iterator[Operation]:
        """Forward through all nodes, the loss, backward through those that learn, the updates."""
        for node in self.network.nodes:
            yield from self._forward(node)
        yield self._loss()
        for node in reversed(self.network.nodes):
            if self.network.learns[node.name]:
                yield from self._backward(node)
        for node in self.network.nodes:
            if self.network.changes[node.name]:
                yield from self._update(node)

    @cached_property
    def _has_ones(self) -> dict[str, bool]:
        """Whether a node's value drives a bias line as it is."""
        return {
            name: any(
                self._has_bias_line(consumer) and not consumer.window for consumer, _ in consumers
            )
            for name, consumers in self.network.consumers.items()
        }

    def _has_bias_line(self, node: Node) -> bool:
        matrix = self.network.matrices.get(node.matrix or "")
        return matrix is not None and matrix.bias and not matrix.has_digital_bias

    def _at(self, node: Node, phase: Phase, kind: Kind, tile: int | None = None) -> Operation:
        return Operation(
            phase=phase,
            stage=self.network.stage[node.name],
            kind=kind,
            node=node.name,
            tile=self.homes[node.name] if tile is None else tile,
            width=node.width,
            positions=node.positions,
        )

    def _name(self, node: Node) -> str:
        """Distinguishes a node's partial sums from those of others that drive the same tiles."""
        return "" if node.name == node.matrix else node.name

    # Forward

    def _forward(self, node: Node) -> Iterator[Operation]:
        made = {"gives": Value("x", node.name), "has_ones": self._has_ones[node.name]}
        if node.name == INPUT:
            yield _with(self._at(node, Phase.FORWARD, Kind.INPUT), **made)
        elif node.matrix is not None:
            takes = []
            for block in sorted(self.blocks[node.matrix], key=lambda b: (b.col, b.row, b.copy)):
                span = share(block, node.positions)
                takes.append(
                    Take(
                        Value("y", block.tile, self._name(node)), 0, block.shape[1],
                        at=block.col, at_position=span[0],
                    )
                )  # fmt: skip
            yield from self._reads(node)
            yield _with(self._at(node, Phase.FORWARD, Kind.SUM), takes=tuple(takes), **made)
        else:
            kind = Kind.JOIN if node.is_join else Kind.COMPUTE
            takes = list(node.inputs)
            yield _with(self._at(node, Phase.FORWARD, kind), takes=tuple(takes), **made)

    def _reads(self, node: Node) -> Iterator[Operation]:
        assert node.matrix is not None
        for block in self.blocks[node.matrix]:
            span = share(block, node.positions)
            yield _with(
                self._at(node, Phase.FORWARD, Kind.READ, block.tile),
                takes=(self._driving(node, block, span),),
                gives=Value("y", block.tile, self._name(node)),
                width=block.shape[1],
                positions=span[1] - span[0],
                span=span,
                offset=node.offset,
            )

    def _driving(self, node: Node, block: Block, span: tuple[int, int]) -> Take:
        """What the word lines of a block are driven with: a window needs the whole image."""
        port = node.inputs[0]
        if node.window is not None:
            return Take(port.value, port.start, port.stop)
        first, last = block.row_range
        some = None if span == (0, node.positions) else span
        return Take(port.value, port.start + first, port.start + last, positions=some)

    @property
    def _judged(self) -> Node:
        """The node that the loss's error belongs to: some look through the last activation."""
        output = self.network.output
        if self.loss.behind:
            return self.network.by_name[output.inputs[0].node]
        return output

    def _loss(self) -> Operation:
        output = self.network.output
        take = Take(Value("x", output.name), 0, output.width)
        return _with(
            self._at(output, Phase.LOSS, Kind.LOSS),
            takes=(take,),
            gives=Value("d", self._judged.name),
            stage=self.network.n_stages - 1,
        )

    # Backward

    def _backward(self, node: Node) -> Iterator[Operation]:
        if node == self.network.output and node != self._judged:
            return
        if node != self._judged:
            yield from self._gather(node)
        if node.function is not None:
            yield from self._derive(node)
        elif node.matrix is not None and self.network.learns[node.inputs[0].node]:
            yield from self._read_back(node)

    def _error(self, node: Node) -> Take:
        return Take(Value("d", node.name), 0, node.width)

    def _derive(self, node: Node) -> Iterator[Operation]:
        function = node.function
        assert function is not None
        if not function.passes_errors:
            return
        takes = [self._error(node)]
        if function.needs_inputs:
            takes += [Take(port.value, port.start, port.stop) for port in node.inputs]
        if function.needs_output:
            takes.append(Take(Value("x", node.name), 0, node.width))
        for index, port in enumerate(node.inputs):
            fed_by = self.network.by_name[port.node]
            if self.network.learns[port.node]:
                alone = self._is_alone(fed_by)
                gives = Value("d", port.node) if alone else Value("e", node.name, index)
                yield _with(
                    self._at(node, Phase.BACKWARD, Kind.DERIVE),
                    takes=tuple(takes),
                    gives=gives,
                    width=port.stop - port.start,
                    positions=fed_by.positions,
                    index=index,
                )

    def _is_alone(self, node: Node) -> bool:
        """Whether the error of a node is what one function sends back, as it is."""
        (consumer, index), *others = self.network.consumers[node.name]
        port = consumer.inputs[index]
        is_whole = port.start == 0 and port.stop == node.width
        return not others and consumer.function is not None and is_whole

    def _read_back(self, node: Node) -> Iterator[Operation]:
        assert node.matrix is not None
        fed_by = self.network.by_name[node.inputs[0].node]
        for block in self.blocks[node.matrix]:
            span = share(block, node.positions)
            some = None if span == (0, node.positions) else span
            back = _with(
                self._at(node, Phase.BACKWARD, Kind.READ_BACK, block.tile),
                takes=(Take(Value("d", node.name), *block.col_range, positions=some),),
                gives=Value("z", block.tile, self._name(node)),
                width=block.shape[0],
                positions=span[1] - span[0],
                span=span,
                offset=node.offset,
            )
            if node.window is not None:
                back = _with(back, width=node.window.channels, positions=fed_by.positions)
            yield back

    def _gather(self, node: Node) -> Iterator[Operation]:
        """Add what a node's consumers send back, unless there is one function only."""
        if self._is_alone(node):
            return
        takes = [
            take
            for consumer, index in self.network.consumers[node.name]
            for take in self._sent_back(consumer, index)
        ]
        gather = self._at(node, Phase.BACKWARD, Kind.GATHER)
        yield _with(gather, takes=tuple(takes), gives=Value("d", node.name))

    def _sent_back(self, consumer: Node, index: int) -> Iterator[Take]:
        """What a consumer of a node sends back to it, at the columns that it had taken."""
        port = consumer.inputs[index]
        width = port.stop - port.start
        if consumer.function is not None:
            if consumer.function.passes_errors:
                yield Take(Value("e", consumer.name, index), 0, width, at=port.start)
        elif consumer.matrix is None:
            first = port.positions[0] if port.positions else 0
            n = self._taken(port.positions, port.node)
            at = port.at_position
            yield Take(
                Value("d", consumer.name), port.at, port.at + width, at=port.start,
                positions=None if n == consumer.positions else (at, at + n), at_position=first,
            )  # fmt: skip
        else:
            yield from self._sent_by_tiles(consumer, port.start, width)

    def _taken(self, positions: tuple[int, int] | None, name: str) -> int:
        if positions is None:
            return self.network.by_name[name].positions
        return positions[1] - positions[0]

    def _sent_by_tiles(self, consumer: Node, start: int, width: int) -> Iterator[Take]:
        assert consumer.matrix is not None
        for block in self.blocks[consumer.matrix]:
            value = Value("z", block.tile, self._name(consumer))
            if consumer.window is not None:
                yield Take(value, 0, width, at=start)
                continue
            weights_only = min(block.row_range[1], width) - block.row
            if weights_only > 0:
                first = share(block, consumer.positions)[0]
                yield Take(value, 0, weights_only, at=start + block.row, at_position=first)

    # Update

    def _update(self, node: Node) -> Iterator[Operation]:
        if node.matrix is None:
            function = node.function
            assert function is not None
            inputs = [Take(p.value, p.start, p.stop) for p in node.inputs]
            learn = self._at(node, Phase.UPDATE, Kind.LEARN)
            yield _with(learn, takes=(self._error(node), *inputs))
            return
        everything = (0, node.positions)
        for block in self.blocks[node.matrix]:
            takes = (
                self._driving(node, block, everything),
                Take(Value("d", node.name), *block.col_range),
            )
            pulse = self._at(node, Phase.UPDATE, Kind.PULSE, block.tile)
            yield _with(pulse, takes=takes, span=everything, offset=node.offset)
        if self.network.matrices[node.matrix].has_digital_bias:
            bias = self._at(node, Phase.UPDATE, Kind.LEARN)
            yield _with(bias, takes=(self._error(node),))


def _with(operation: Operation, **changes: object) -> Operation:
    return replace(operation, **changes)  # type: ignore[arg-type]  # checked by the dataclass

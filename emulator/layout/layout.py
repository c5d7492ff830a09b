"""Which tiles hold which matrix of which layer, and what each of them has to do."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from crossmesh.emulator.compiler.activations import Activations, activations_of
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.compiler.mapping import is_bias
from crossmesh.emulator.network.graph import INPUT, Matrix, Node, Shape
from crossmesh.interconnect.schedule import Phase
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.runtime.program import Program, Value


@dataclass(frozen=True, kw_only=True)
class MappedMatrix:
    """A matrix on tiles or in digital memory.

    Attributes:
        matrix: The matrix.
        blocks: What it is cut into, copies included.
        stage: Stage of the pipeline.
        home: The tile whose digital unit holds it, of a digital one.
    """

    matrix: Matrix
    blocks: tuple[Block, ...]
    stage: int
    home: int | None = None

    @property
    def name(self) -> str:
        """Name of the matrix."""
        return self.matrix.name

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return len({block.row for block in self.blocks}), len({block.col for block in self.blocks})

    @property
    def weights(self) -> int:
        """Weights, those of copies counted once."""
        return self.matrix.lines * self.matrix.outputs

    @property
    def bias(self) -> str | None:
        """Place of the bias of weights on tiles: ``line`` or ``digital``; None: no bias.

        That of a matrix in digital memory is a row of it, and no line.
        """
        matrix = self.matrix
        if not matrix.bias:
            return None
        return "digital" if matrix.digital or matrix.has_digital_bias else "line"

    @property
    def biases(self) -> int:
        """Numbers of a digital bias beside tiles."""
        return self.matrix.outputs if self.matrix.has_digital_bias else 0

    @property
    def used(self) -> float:
        """Share of its tiles' crosspoints that it uses."""
        tile = self.matrix.tile
        return _crosspoints(self.blocks) / (len(self.blocks) * tile.rows * tile.cols)

    @property
    def tiles(self) -> tuple[int, int]:
        """First and last of its tiles."""
        return self.blocks[0].tile, self.blocks[-1].tile

    @property
    def busiest(self) -> int:
        """Vectors of an example that drive the tile with most of them."""
        return -(-self.matrix.vectors // self.matrix.replicas)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer and where it is computed.

    Attributes:
        name: Its name.
        kind: Its kind.
        shape: Shape of its output, per example.
        stages: First and last of its stages.
        matrices: Its matrices.
        parameters: Number of parameters of its functions and digital biases, in digital memory.
        home: The tile whose digital unit computes the last of it.
        frozen: Whether it has weights or parameters, and all of them stay as they are.
    """

    name: str
    kind: str
    shape: Shape
    stages: tuple[int, int]
    matrices: tuple[MappedMatrix, ...]
    parameters: int
    home: int
    frozen: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A network on the tiles of a chip.

    Attributes:
        name: Name of the config.
        input: Shape of an example.
        layers: Layers in the order of the config.
        program: The program.
        activations: Memory of the activations, if one host has all tiles.
    """

    name: str
    input: Shape
    layers: tuple[Layer, ...]
    program: Program
    activations: Activations

    @cached_property
    def on_tiles(self) -> tuple[MappedMatrix, ...]:
        """Matrices on tiles, layer by layer."""
        return tuple(mapped for mapped in self._matrices if mapped.home is None)

    @property
    def _matrices(self) -> Iterator[MappedMatrix]:
        for layer in self.layers:
            yield from layer.matrices

    @property
    def n_tiles(self) -> int:
        """Tiles of the chip that are used."""
        return len(self.program.crossbars)

    @property
    def weights(self) -> int:
        """Weights on tiles, those of copies counted once."""
        return sum(mapped.weights for mapped in self.on_tiles)

    @property
    def parameters(self) -> int:
        """Weights and other parameters in digital memory."""
        digital = sum(mapped.weights for mapped in self._matrices if mapped.home is not None)
        return digital + sum(layer.parameters for layer in self.layers)

    @property
    def used(self) -> float:
        """Share of the crosspoints of all tiles that is used."""
        there = sum(tile.rows * tile.cols for tile in self.program.tiles)
        return _crosspoints(self.program.crossbars) / there

    @property
    def tile(self) -> TileConfig | None:
        """What the tiles are, if they are all as large."""
        tiles = {
            (mapped.matrix.tile.rows, mapped.matrix.tile.cols): mapped for mapped in self.on_tiles
        }
        return self.on_tiles[0].matrix.tile if len(tiles) == 1 else None


def _crosspoints(blocks: tuple[Block, ...]) -> int:
    return sum(math.prod(block.shape) for block in blocks)


def lay_out(job: Job) -> Layout:
    """The layout of a job: the tiles of each layer."""
    network, program = job.network, job.program
    nodes: dict[str, list[Node]] = {}
    for node in network.nodes:
        nodes.setdefault(node.name.partition(".")[0], []).append(node)
    found = _Places(job)
    return Layout(
        name=job.config.name,
        input=network.by_name[INPUT].shape,
        layers=tuple(
            found.layer(layer.name, layer.title, nodes[layer.name])
            for layer in job.layers
            if layer.name is not None
        ),
        program=program,
        activations=activations_of(job),
    )


class _Places:
    """Where the parts of a job are."""

    def __init__(self, job: Job) -> None:
        self._network, program = job.network, job.program
        self._blocks: dict[str, list[Block]] = {}
        for block in program.blocks:
            self._blocks.setdefault(block.layer, []).append(block)
        self._home = {
            op.node: program.crossbars[program.units[op.tile]].tile
            for op in program.operations
            if op.phase is Phase.FORWARD and op.gives == Value("x", op.node)
        }

    def layer(self, name: str, kind: str, nodes: list[Node]) -> Layer:
        """A layer, from its nodes."""
        network = self._network
        stages = [network.stage[node.name] for node in nodes]
        first = {n.matrix: network.stage[n.name] for n in reversed(nodes) if n.matrix}
        names = dict.fromkeys(node.matrix for node in nodes if node.matrix)
        learned = [node for node in nodes if node.learned is not None]
        kept = [network.matrices[matrix].frozen for matrix in names]
        kept += [node.frozen for node in learned]
        parameters = sum(math.prod(node.learned.shape) for node in learned if node.learned)
        matrices = tuple(self._mapped(matrix, first[matrix]) for matrix in names)
        return Layer(
            name=name,
            kind=kind,
            shape=nodes[-1].shape,
            stages=(min(stages), max(stages)),
            matrices=matrices,
            parameters=parameters + sum(mapped.biases for mapped in matrices),
            home=self._home[nodes[-1].name],
            frozen=bool(kept) and all(kept),
        )

    def _mapped(self, name: str, stage: int) -> MappedMatrix:
        matrix = self._network.matrices[name]
        blocks = tuple(block for block in self._blocks[name] if not is_bias(matrix, block))
        return MappedMatrix(matrix=matrix, blocks=blocks, stage=stage, home=blocks[0].home)

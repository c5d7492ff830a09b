"""Mapping: cutting each matrix into blocks of a tile's size, and what they hold at first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.common.random import Purpose, Stream
from crossmesh.emulator.network.graph import INPUT, Matrix, Network, Node
from crossmesh.tiles.analog.block import Block

# Each takes 2.4 KiB and 0.1 ms before anything is trained, measured; so these take 20 s.
MOST_TILES = 200_000
Weights = Mapping[str, NDArray[np.float32]]


def cut(network: Network) -> tuple[Block, ...]:
    """Blocks of all layers in order, numbered; of each, row of blocks by row of blocks.

    Copies of a block follow each other. Matrices and parameters in digital memory are one block
    each, placed in the digital unit of a tile. Digital biases come last, so that where biases lie
    changes no other number; they are placed beside the first tile of their layer.

    Raises:
        ConfigError: If there were more tiles than ``MOST_TILES``.
    """
    _check_tiles(network.matrices.values())
    blocks: list[Block] = []
    seen: set[str] = set()
    for node in network.nodes:
        name = node.matrix or node.name
        if name in seen:
            continue
        seen.add(name)
        found = _blocks(network, node)
        blocks += [replace(block, tile=len(blocks) + i) for i, block in enumerate(found)]
    biases = [block for matrix in network.matrices.values() for block in _bias(matrix)]
    blocks += [replace(block, tile=len(blocks) + i) for i, block in enumerate(biases)]
    return _placed(network, blocks)


def join(
    parts: Iterable[tuple[Block, NDArray[np.float32]]], matrices: Mapping[str, Matrix]
) -> dict[str, NDArray[np.float32]]:
    """Whole matrices, the bias as their last row, and digital parameters, from their blocks.

    Of copies of a block the mean counts.
    """
    whole: dict[str, NDArray[np.float32]] = {}
    for block, weights in parts:
        matrix = matrices.get(block.layer)
        shape = block.shape if matrix is None else (matrix.rows, matrix.outputs)
        joined = whole.setdefault(block.layer, np.zeros(shape, np.float32))
        joined[slice(*block.row_range), slice(*block.col_range)] += weights / block.copies
    return whole


def _blocks(network: Network, node: Node) -> list[Block]:
    """Blocks of a node's matrix or parameters, not numbered yet."""
    if node.learned is not None:
        return [Block(tile=0, layer=node.name, row=0, col=0, shape=node.learned.shape, home=0)]
    if node.matrix is None:
        return []
    matrix = network.matrices[node.matrix]
    if matrix.digital:
        shape = (matrix.rows, matrix.outputs)
        return [Block(tile=0, layer=matrix.name, row=0, col=0, shape=shape, home=0)]
    return list(_tiles(matrix))


def _check_tiles(matrices: Iterable[Matrix]) -> None:
    on_tiles = [matrix for matrix in matrices if not matrix.digital]
    count = sum(
        -(-matrix.lines // matrix.tile.rows) * -(-matrix.outputs // matrix.tile.cols)
        * matrix.replicas for matrix in on_tiles
    )  # fmt: skip
    if count > MOST_TILES:
        raise ConfigError(
            f"network must take at most {MOST_TILES:,} tiles, got {count:,}; larger tiles "
            "(tile.rows, tile.cols) are fewer"
        )


def _tiles(matrix: Matrix) -> Iterator[Block]:
    rows, cols = matrix.tile.rows, matrix.tile.cols
    for row in range(0, matrix.lines, rows):
        for col in range(0, matrix.outputs, cols):
            shape = (min(rows, matrix.lines - row), min(cols, matrix.outputs - col))
            for copy in range(matrix.replicas):
                yield Block(
                    tile=0, layer=matrix.name, row=row, col=col, shape=shape,
                    copy=copy, copies=matrix.replicas, whole=(matrix.lines, matrix.outputs),
                )  # fmt: skip


def _bias(matrix: Matrix) -> list[Block]:
    """The last row of a matrix, if it lies in digital memory by itself."""
    if not matrix.has_digital_bias:
        return []
    shape = (1, matrix.outputs)
    return [Block(tile=0, layer=matrix.name, row=matrix.lines, col=0, shape=shape, home=0)]


def is_bias(matrix: Matrix | None, block: Block) -> bool:
    """Whether a block of a matrix is its digital bias."""
    return matrix is not None and matrix.has_digital_bias and block.home is not None


def node_homes(network: Network, blocks: Sequence[Block]) -> dict[str, int]:
    """Number of the block whose tile or digital memory makes the value of each node, by name.

    It is the digital bias of the node's matrix, otherwise the first block of its matrix or
    parameters, otherwise the home of what feeds it. The input is made at the first tile.
    """
    own: dict[str, int] = {}
    for block in blocks:
        if block.layer not in own or is_bias(network.matrices.get(block.layer), block):
            own[block.layer] = block.tile
    homes = {INPUT: next(block.tile for block in blocks if block.home is None)}
    for node in network.nodes[1:]:
        fed_by = homes[network.home_input[node.name]]
        homes[node.name] = own.get(node.matrix or node.name, fed_by)
    return homes


def _placed(network: Network, blocks: list[Block]) -> tuple[Block, ...]:
    """The blocks, those in digital memory beside the first tile of their layer or its feeder."""
    homes = node_homes(network, blocks)
    place = {block.layer: block.tile for block in reversed(blocks) if block.home is None}
    for node in network.nodes[1:]:
        fed_by = blocks[homes[network.home_input[node.name]]]
        place.setdefault(node.matrix or node.name, place[fed_by.layer])
    return tuple(
        block if block.home is None else replace(block, home=place[block.layer]) for block in blocks
    )


def share(block: Block, positions: int) -> tuple[int, int]:
    """Which of a layer's output positions a block serves: neighbours, evenly.

    >>> [share(Block(tile=0, layer="a", row=0, col=0, shape=(1, 1), copy=i, copies=3), 8)
    ...  for i in range(3)]
    [(0, 2), (2, 5), (5, 8)]
    """
    return positions * block.copy // block.copies, positions * (block.copy + 1) // block.copies


def initial_weights(
    network: Network,
    seed: int,
    given: Weights,
    layer: str,
    corner: tuple[int, int],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """A window of a layer's initial weights, the same whatever tile asks.

    Weights of a matrix are uniform in +-bound, which is 1/sqrt(inputs) for most layers; digital
    parameters are what their function begins with.

    Args:
        network: The network.
        seed: The run's seed.
        given: Matrices and parameters that are not drawn, whole.
        layer: Name of a matrix, or of a node with parameters of its own.
        corner: First row and column.
        shape: Rows and columns.

    Returns:
        ``shape``, float32.
    """
    if layer in given:
        return given[layer][_window(corner, shape)]
    if layer not in network.matrices:
        learned = [node for node in network.nodes if node.learned is not None]
        number = [node.name for node in learned].index(layer)
        function = learned[number].learned
        assert function is not None
        stream = Stream(seed=seed, owner=len(network.matrices) + number)
        return function.initial(stream)[_window(corner, shape)]
    number, matrix = list(network.matrices).index(layer), network.matrices[layer]
    uniform = Stream(seed=seed, owner=number).uniform(Purpose.INITIAL_WEIGHT, shape, first=corner)
    return np.float32(2 * matrix.bound) * (uniform - np.float32(0.5))


def _window(corner: tuple[int, int], shape: tuple[int, int]) -> tuple[slice, slice]:
    return slice(corner[0], corner[0] + shape[0]), slice(corner[1], corner[1] + shape[1])


def weight_scale(matrix: Matrix, largest: float) -> float:
    """Weight of the network per unit of normalised conductance.

    Args:
        matrix: The matrix.
        largest: Its largest initial weight.
    """
    if matrix.digital:
        return 1.0
    tile = matrix.tile
    return 2 * largest / tile.cell.reach if tile.weight_scale == "auto" else tile.weight_scale

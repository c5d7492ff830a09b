"""Mapping: cutting each layer's weight matrix into blocks of a tile's size."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emulator.network import Network, Node
from tiles.crossbar import reach
from tiles.random import Purpose, Stream
from tiles.tile import Block, TileConfig


def cut(network: Network, tile: TileConfig) -> tuple[Block, ...]:
    """Blocks of all layers, layer by layer, row of blocks by row of blocks; numbered in order.

    >>> from emulator.network import Network, Node
    >>> linear = Node(name="a", function=None, input="input", width=3, is_linear=True)
    >>> network = Network((Node(name="input", function=None, input="", width=5), linear))
    >>> [str(block) for block in cut(network, TileConfig(rows=4, cols=3))]
    ['tile 0 (a rows 0:4 cols 0:3)', 'tile 1 (a rows 4:5 cols 0:3)']
    """
    corners = (
        (node, row, col)
        for node in network.linear
        for row in _starts(network, node, tile.rows)
        for col in range(0, node.width, tile.cols)
    )
    return tuple(
        Block(
            tile=number,
            layer=node.name,
            row=row,
            col=col,
            shape=(min(tile.rows, _lines(network, node) - row), min(tile.cols, node.width - col)),
        )
        for number, (node, row, col) in enumerate(corners)
    )


def _lines(network: Network, node: Node) -> int:
    """Word lines of a layer's matrix: its inputs, and the bias."""
    return network.by_name[node.input].width + node.bias


def _starts(network: Network, node: Node, rows: int) -> Iterator[int]:
    yield from range(0, _lines(network, node), rows)


def initial_bound(network: Network, layer: str) -> float:
    """Largest initial weight of a layer: 1 / sqrt(inputs), the bias line not counted."""
    return float(network.by_name[network.by_name[layer].input].width ** -0.5)


def initial_weights(
    network: Network, seed: int, layer: str, corner: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """A window of a layer's initial weights, uniform in +-1/sqrt(inputs), whatever tile asks.

    Args:
        network: The network.
        seed: The run's seed.
        layer: Name of a linear layer.
        corner: First row and column.
        shape: Rows and columns.

    Returns:
        ``shape``, float32.
    """
    number = [node.name for node in network.linear].index(layer)
    uniform = Stream(seed=seed, owner=number).uniform(Purpose.INITIAL_WEIGHT, shape, first=corner)
    return np.float32(2 * initial_bound(network, layer)) * (uniform - np.float32(0.5))


def weight_scale(network: Network, tile: TileConfig, layer: str) -> float:
    """Weight of the network per unit of normalised conductance, for one layer."""
    if tile.weight_scale == "auto":
        return 2 * initial_bound(network, layer) / reach(tile.cell)
    return tile.weight_scale

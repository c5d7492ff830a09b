"""Scales of bit lines: those of a layer's tiles, shared out to its matrices in their order."""

from collections.abc import Iterable

from crossmesh.emulator.config.layer import AnyLayer, TileLayer, shared_by
from crossmesh.emulator.network.graph import Matrix
from crossmesh.emulator.network.layer_error import LayerError
from crossmesh.tiles.analog.tile_config import TileConfig


def of_layer(matrices: Iterable[Matrix], name: str) -> list[Matrix]:
    """The matrices of a layer, in their order."""
    return [matrix for matrix in matrices if matrix.name.partition(".")[0] == name]


def with_own_lines(tile: TileConfig, matrix: Matrix, before: Iterable[Matrix]) -> TileConfig:
    """The tiles of a matrix, of those of its layer, given the matrices that were added before."""
    if tile.line_scales is None:
        return tile
    first = sum(other.outputs for other in of_layer(before, matrix.name.partition(".")[0]))
    own = tile.line_scales[first : first + matrix.outputs]
    return tile.model_copy(update={"line_scales": own})


def check_lines(layer: AnyLayer, name: str, tile: TileConfig, matrices: Iterable[Matrix]) -> None:
    """Refuse scales of other numbers than a layer has bit lines.

    Args:
        layer: The layer.
        name: Its name.
        tile: Tiles of layers that have none of their own.
        matrices: All matrices.

    Raises:
        LayerError: If there are more or fewer.
    """
    if not isinstance(layer, TileLayer) or layer.digital or shared_by(layer) is not None:
        return
    scales = (layer.tile or tile).line_scales
    lines = sum(matrix.outputs for matrix in of_layer(matrices, name))
    if scales is not None and len(scales) != lines:
        rule = f"must have a value for each of the {lines} bit lines"
        raise LayerError("tile.line_scales", f"{rule}, got {len(scales)}")

"""What the tiles of a layer are made of, given how its weights are trained."""

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layer import TileLayer
from crossmesh.emulator.network.layer_error import LayerError
from crossmesh.tiles.analog.algorithms import Algorithm
from crossmesh.tiles.analog.tile_config import TileConfig


def trained_tile(
    tile: TileConfig, layer: TileLayer, algorithm: Algorithm, batch: int
) -> TileConfig:
    """The tiles of a layer, with the cells that its training needs.

    Args:
        tile: Its tiles as the config has them.
        layer: The layer, which may have an algorithm of its own.
        algorithm: Algorithm of layers that have none.
        batch: Examples between two updates.

    Raises:
        LayerError: If the cells cannot be trained by the layer's own algorithm.
        ConfigError: If they cannot be trained by that of all layers.
    """
    if layer.frozen:
        return tile
    try:
        cell = (layer.algorithm or algorithm).cell(tile.cell, batch)
    except ValueError as error:
        if layer.algorithm is not None:
            raise LayerError("algorithm", str(error)) from None
        raise ConfigError(f"training.algorithm {error}") from None
    return tile if cell is tile.cell else tile.model_copy(update={"cell": cell})

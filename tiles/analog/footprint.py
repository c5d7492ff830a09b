"""Memory of a tile, predicted from its config for placement.

What is kept per crosspoint decides it. ``docs/memory.md`` says what that is and why it is enough.
"""

import ctypes

from crossmesh.tiles.analog.tile_config import TileConfig, wires_of

OBJECT_BYTES = 24 << 10  # of a tile: Python objects, keys, numbers per line (measured)
BUILD_BYTES = 64  # per crosspoint, at most, while a tile is built, written or loaded (measured)


def tile_bytes(config: TileConfig, shape: tuple[int, int]) -> int:
    """Bytes that a tile keeps, as long as it lives.

    Args:
        config: Configuration of the tile.
        shape: Word lines and bit lines that the tile uses.
    """
    wires = wires_of(config, shape)
    behind_wires = wires.bytes_per_cell(config.cell.n_arrays) if wires else 0
    return shape[0] * shape[1] * (config.cell.cell_bytes + behind_wires) + OBJECT_BYTES


def build_bytes(shape: tuple[int, int]) -> int:
    """Bytes more, at most, that a process needs while it builds, writes or loads a tile.

    A process builds one tile after the other, so it needs this once, for its largest.

    Args:
        shape: Word lines and bit lines that the tile uses.
    """
    return shape[0] * shape[1] * BUILD_BYTES


def give_back() -> None:
    """Give memory that is free within this process back to the system.

    Arrays that live for a moment leave holes between those that stay. The C library keeps the
    holes, if it is glibc, until it is asked to give them back; of others nothing is asked.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

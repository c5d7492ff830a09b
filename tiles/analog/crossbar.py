"""Crossbars of any unit cell, or of a device alone."""

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.cells import Cell, Crossbar
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.update import UpdateConfig

EXAMPLE_S = 240e-9


def build(
    cell: Cell,
    shape: tuple[int, int],
    stream: Stream,
    update: UpdateConfig,
    example_s: float = EXAMPLE_S,
) -> Crossbar:
    """A crossbar of ``shape`` whose unit cells are ``cell``.

    Args:
        cell: The unit cell.
        shape: Rows and columns.
        stream: Random numbers of the tile.
        update: Settings of the update cycle.
        example_s: Emulated seconds from one example to the next.
    """
    crossbar: Crossbar = cell.crossbar(Site(shape, stream, update, example_s))
    return crossbar

"""What a user should know of how the weights on the tiles of a program are trained."""

from collections.abc import Iterator

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.array import reference_error
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.update import UpdateConfig
from crossmesh.tiles.runtime.program import Program

_SAMPLE = (16, 64)  # devices whose references are looked at


def trained_notice(program: Program) -> list[str]:
    """Memory per weight where there is more than its cell, and why training may fail."""
    cells = dict.fromkeys(tile.cell for tile in program.tiles)
    return list(dict.fromkeys(line for cell in cells for line in _lines(cell)))


def _lines(cell: Cell) -> Iterator[str]:
    if cell.words or len(cell.devices) > 1:
        numbers = f" and {cell.words} digital number{'s' * (cell.words > 1)}" if cell.words else ""
        yield (
            f"a weight takes {cell.cell_bytes:g} bytes of this machine: {cell.n_arrays} arrays "
            f"of devices{numbers}"
        )
    for device in cell.devices:
        pulses = device.calibration
        if pulses:
            site = Site(_SAMPLE, Stream(seed=0, owner=0), UpdateConfig(), 1.0)
            lower, upper = device.limits
            yield (
                f"{pulses:,} pulses of each device leave its reference "
                f"{reference_error(device, site):.2g} off its symmetry point (root of the mean "
                f"square, of a range of {upper - lower:.2g})"
            )
    yield from cell.doubts

"""What a user should know of how the weights on the tiles of a program are trained."""

from collections.abc import Iterator

from crossmesh.common.random import Stream
from crossmesh.tiles.analog.array import reference_error
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.pulser import Site
from crossmesh.tiles.analog.tile_config import site_of
from crossmesh.tiles.analog.update import UpdateConfig
from crossmesh.tiles.runtime.program import Program

_SAMPLE = (16, 64)  # devices whose references are looked at


def trained_notice(program: Program, examples: int | None = None) -> list[str]:
    """Memory per weight where there is more than its cell, and why training may fail.

    Args:
        program: The program.
        examples: Examples that a run trains on, each epoch counted; by default any number.
    """
    cells = dict.fromkeys(tile.cell for tile in program.tiles)
    lines = dict.fromkeys(line for cell in cells for line in _lines(cell))
    if examples is not None:
        lines |= dict.fromkeys(_of_run(program, examples))
    return list(lines)


def _of_run(program: Program, examples: int) -> Iterator[str]:
    """What the run is too short for, of the first layer for which it is."""
    for block, tile in zip(program.crossbars, program.tiles, strict=True):
        if block.row or block.col or block.copy:
            continue
        vectors = program.vectors[block.tile]
        site = site_of(tile, block, vectors=vectors)
        lines = tile.cell.doubts_of_run(site, examples * vectors)
        yield from (f"{block.layer}: {line}" for line in lines)
        if lines:
            return


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

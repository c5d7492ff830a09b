"""The wire model of a run and its computing time, in words."""

from collections import Counter

from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.ir_drop import model_of
from crossmesh.tiles.analog.nodal import needed_solves
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.runtime.program import Program

CROSSPOINT_S = 2e-9  # of a solve, for every crosspoint; measured on one core, docs/physics.md


def wire_models(program: Program) -> str:
    """Which model the tiles' wires take; nothing without wires."""
    models = Counter(_model(block, tile) for block, tile in _wired(program))
    return ", ".join(
        f"{model.replace('_', ' ')} on {n} tile{'s' * (n != 1)}"
        for model, n in sorted(models.items())
    )


def wires_notice(program: Program) -> str:
    """Which model the tiles' wires take, and what the exact one costs; nothing without wires."""
    models = wire_models(program)
    if not models:
        return ""
    text = f"wires: {models}"
    exact = [pair for pair in _wired(program) if _model(*pair) == "exact"]
    if not exact:
        return text
    n, seconds, (rows, cols) = max((_cost(*pair) for pair in exact), key=lambda cost: cost[1])
    return (
        f"{text}; a read takes {n} solves of every line, about {1e3 * seconds:.1g} ms on the "
        f"largest tile, of {rows} x {cols}, and a test {min(rows, cols)} times that once"
    )


def _wired(program: Program) -> list[tuple[Block, TileConfig]]:
    blocks = zip(program.crossbars, program.tiles, strict=True)
    return [(block, tile) for block, tile in blocks if tile.read.wire_resistance]


def _model(block: Block, tile: TileConfig) -> str:
    read = tile.read
    largest = tile.cell.largest_conductance
    return model_of(read.wire_model, block.shape, read.wire_resistance, largest)


def _cost(block: Block, tile: TileConfig) -> tuple[int, float, tuple[int, int]]:
    """Solves of a read, seconds for all arrays, and the shape."""
    n = needed_solves(block.shape, tile.read.wire_resistance * tile.cell.largest_conductance)
    crosspoints = tile.cell.n_arrays * block.shape[0] * block.shape[1]
    return n, n * crosspoints * CROSSPOINT_S, block.shape

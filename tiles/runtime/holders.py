"""What holds the block of a program: a tile, or a digital memory."""

from crossmesh.tiles.analog.backends import EMULATION, AnalogTile, Backend
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.digital import (
    EXACT,
    AwareTile,
    Digital,
    DigitalMatrix,
    DigitalMemory,
    held_bytes,
    learner_bytes,
)
from crossmesh.tiles.runtime.program import Program

Holder = AnalogTile | DigitalMemory


def make_holder(
    program: Program,
    number: int,
    seed: int,
    backend: Backend = EMULATION,
    block: Block | None = None,
) -> Holder:
    """The tile or digital memory that holds a block.

    Args:
        program: The program.
        number: Number of the block.
        seed: The run's seed.
        backend: Maker of the tiles.
        block: Instead of the program's, one of another shape.
    """
    holder, rule, vectors = program.holders[number], program.rule(number), program.vectors[number]
    block, scale = block or program.blocks[number], program.scales[number]
    if holder is Digital.PARAMETERS:
        return DigitalMemory(block, rule)
    if rule is not None:
        kind = DigitalMatrix if rule.aware is None else AwareTile
        config = EXACT if isinstance(holder, Digital) else holder
        return kind(config, block, scale, seed, rule, vectors)
    if holder is Digital.MATRIX:
        return EMULATION.make(EXACT, block, scale, seed, vectors)
    return backend.make(holder, block, scale, seed, vectors)


def holder_bytes(program: Program, number: int, backend: Backend) -> int:
    """Bytes that the holder of a block keeps as long as it lives."""
    shape = program.blocks[number].shape
    kept = held_bytes(program.holders[number], shape, backend)
    return kept + learner_bytes(program.rule(number), shape)

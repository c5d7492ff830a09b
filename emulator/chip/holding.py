"""What the memory of each tile holds, and whether it is large enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.chip.optimizer_work import parameter_bits
from crossmesh.emulator.chip.pipeline import Pipeline
from crossmesh.emulator.config.chip import Chip
from crossmesh.tiles.analog.costs import WORD_BITS
from crossmesh.tiles.runtime.program import Program


@dataclass(frozen=True, kw_only=True)
class HeldBits:
    """Bits in the memory of each tile, by what they are for.

    Attributes:
        messages: The largest that an operation takes and gives, of a micro-batch.
        stored: Values that wait for a backward pass or an update.
        beside_cells: Numbers of training algorithms beside cells.
        parameters: Digital parameters, and what optimisers keep of them.
    """

    messages: tuple[int, ...]
    stored: tuple[int, ...]
    beside_cells: tuple[int, ...]
    parameters: tuple[int, ...]

    @cached_property
    def total(self) -> tuple[int, ...]:
        """Bits of each tile."""
        every = (self.messages, self.stored, self.beside_cells, self.parameters)
        return tuple(map(sum, zip(*every, strict=True)))

    @property
    def by_purpose(self) -> dict[str, int]:
        """Bits of the whole chip."""
        return {
            "messages": sum(self.messages),
            "stored values": sum(self.stored),
            "numbers beside cells": sum(self.beside_cells),
            "digital parameters": sum(self.parameters),
        }


def held_bits(program: Program, pipeline: Pipeline) -> HeldBits:
    """What the memories of a chip hold for a program.

    Args:
        program: The program.
        pipeline: The program on the chip.
    """
    tiles = program.tiles
    return HeldBits(
        messages=pipeline.messages,
        stored=pipeline.stored.bits,
        beside_cells=tuple(
            WORD_BITS * tile.cell.costs.words * tile.rows * tile.cols for tile in tiles
        ),
        parameters=tuple(parameter_bits(program)),
    )


def joined_bits(parts: Sequence[HeldBits]) -> HeldBits:
    """The bits of the tiles of several networks, one network after the other."""
    names = ("messages", "stored", "beside_cells", "parameters")
    return HeldBits(**{name: sum((getattr(each, name) for each in parts), ()) for name in names})


def check_memory(chip: Chip, held: HeldBits) -> None:
    """Refuse memories that are too small.

    Raises:
        ConfigError: If a tile has to hold more than ``chip.memory_bits``.
    """
    if chip.memory_bits is None:
        return
    needed = max(held.total, default=0)
    if needed > chip.memory_bits:
        tile = held.total.index(needed)
        raise ConfigError(
            f"chip.memory_bits must be at least {needed:,}, which tile {tile} has to hold "
            f"({held.messages[tile]:,} of messages, {held.stored[tile]:,} of values that wait for "
            f"their update), "
            f"got {chip.memory_bits:,}"
        )

"""What a chip does for the steps of optimisers, which come once per batch."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from crossmesh.tiles.analog.costs import WORD_BITS
from crossmesh.tiles.digital import Rule
from crossmesh.tiles.runtime.program import UPDATES, Operation, Program


class OptimizerWork(NamedTuple):
    """One step of the optimiser of an array of digital parameters.

    Attributes:
        operations: Operations of the digital unit.
        bits: Bits of digital memory that are written or read.
    """

    operations: int
    bits: int

    def per(self, n: int) -> "OptimizerWork":
        """The part of one of ``n`` examples or micro-batches."""
        return OptimizerWork(*(-(-count // n) for count in self))


def optimizer_work(rule: Rule, shape: tuple[int, int]) -> OptimizerWork:
    """A step changes every parameter that learns; each number beside one is read and written.

    Args:
        rule: What the parameters learn by.
        shape: Rows and columns of the parameters.
    """
    learned = _learned(rule, shape)
    numbers = 1 + rule.words  # the parameter as well
    return OptimizerWork(learned * rule.operations, learned * 2 * numbers * WORD_BITS)


def parameter_bits(program: Program) -> list[int]:
    """Bits that each tile's memory has of digital parameters, and of what optimisers keep of them.

    Hardware-aware training keeps its numbers elsewhere: its chip is programmed when it is over.
    """
    bits = [0] * len(program.crossbars)
    for block, unit in zip(program.blocks, program.units, strict=True):
        if block.home is not None:
            rule = program.rule(block.tile)
            kept = 0 if rule is None else _learned(rule, block.shape) * rule.words
            bits[unit] += (math.prod(block.shape) + kept) * WORD_BITS
    return bits


def last_updates(operations: Sequence[Operation]) -> dict[int, Operation]:
    """The update of each tile or digital memory behind which an optimiser steps."""
    return {operation.tile: operation for operation in operations if operation.kind in UPDATES}


def _learned(rule: Rule, shape: tuple[int, int]) -> int:
    return math.prod((min(rule.learned_rows, shape[0]), shape[1]))

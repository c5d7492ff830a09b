"""How a run has used the tiles of a chip."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from crossmesh.tiles.runtime.measure import TileReport
from crossmesh.tiles.runtime.program import Kind, Program

USUAL_SHARE = 0.5  # of a device's range, where no run says what its conductance is


class TileUse(NamedTuple):
    """How a run has used a tile.

    Attributes:
        pulses: Pulses on its lines per example.
        writes: Devices per example that were written until they had a value.
        repeats: Forward reads per example that bound management has repeated.
        conductance: Mean conductance of its devices, as a share of their range.
    """

    pulses: float
    writes: float = 0.0
    repeats: float = 0.0
    conductance: float = USUAL_SHARE


def uses_of(reports: Sequence[TileReport], examples: int) -> tuple[TileUse, ...]:
    """The use of every tile by a run of so many examples."""
    return tuple(
        TileUse(
            pulses=report.pulses / examples,
            writes=sum(wear.writes for wear in report.wear.values()) / examples,
            repeats=report.repeats / examples,
            conductance=USUAL_SHARE if report.conductance is None else report.conductance,
        )
        for report in reports
    )


def repeats_per_vector(program: Program, uses: Sequence[TileUse] | None) -> list[float]:
    """How often the forward reads of each tile of the chip are repeated; never without a run."""
    vectors: Counter[int] = Counter()
    for operation in program.operations:
        if operation.kind is Kind.READ:
            vectors[program.units[operation.tile]] += operation.span[1] - operation.span[0]
    repeats = [use.repeats for use in uses] if uses else [0.0] * len(program.crossbars)
    return [each / (vectors[unit] or 1) for unit, each in enumerate(repeats)]

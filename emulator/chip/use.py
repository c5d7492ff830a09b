"""How a run has used the tiles of a chip."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from crossmesh.common.frozen import FrozenDict
from crossmesh.tiles.analog.wear import Wear
from crossmesh.tiles.runtime.measure import TileReport
from crossmesh.tiles.runtime.program import Kind, Program

USUAL_SHARE = 0.5  # of a device's range, where no run says what its conductance is


class ArrayUse(NamedTuple):
    """How a run has used one of the arrays of a tile.

    Attributes:
        pulses: Pulses per example, of lines or of devices as ``Wear`` has them.
        writes: Devices per example that were written until they had a value.
    """

    pulses: float
    writes: float


class TileUse(NamedTuple):
    """How a run has used a tile.

    Attributes:
        pulses: Pulses on its lines per example.
        writes: Devices per example that were written until they had a value.
        repeats: Forward reads per example that bound management has repeated.
        conductance: Mean conductance of its devices, as a share of their range.
        arrays: Use of each of its arrays, by name.
    """

    pulses: float = 0.0
    writes: float = 0.0
    repeats: float = 0.0
    conductance: float = USUAL_SHARE
    arrays: Mapping[str, ArrayUse] = FrozenDict()

    @classmethod
    def per_example(
        cls,
        examples: int,
        wear: Mapping[str, Wear],
        *,
        pulses: int,
        repeats: int,
        conductance: float | None,
    ) -> Self:
        """Of what a run of so many examples has counted; a tile without devices has none."""
        return cls(
            pulses=pulses / examples,
            writes=sum(each.writes for each in wear.values()) / examples,
            repeats=repeats / examples,
            conductance=USUAL_SHARE if conductance is None else conductance,
            arrays={
                name: ArrayUse(each.pulses / examples, each.writes / examples)
                for name, each in wear.items()
            },
        )

    def pulses_of(self, array: str) -> float:
        """Pulses of an array by its name, or of the whole tile; devices of a pair share lines."""
        return max(each.pulses for each in self._parts(array)) if array else self.pulses

    def writes_of(self, array: str) -> float:
        """Devices of an array that were written, or of the whole tile."""
        return sum(each.writes for each in self._parts(array)) if array else self.writes

    def _parts(self, array: str) -> Sequence[ArrayUse]:
        """``A``, or ``A plus`` and ``A minus``."""
        return [use for name, use in self.arrays.items() if f"{name} ".startswith(f"{array} ")]

    @property
    def forward(self) -> "TileUse":
        """That of forward reads alone."""
        return TileUse(repeats=self.repeats, conductance=self.conductance)


def uses_of(reports: Sequence[TileReport], examples: int) -> tuple[TileUse, ...]:
    """The use of every tile by a run of so many examples."""
    return tuple(
        TileUse.per_example(
            examples,
            report.wear,
            pulses=report.pulses,
            repeats=report.repeats,
            conductance=report.conductance,
        )
        for report in reports
    )


def repeats_per_vector(program: Program, uses: Sequence[TileUse] | None) -> list[float]:
    """How often the forward reads of each tile of the chip are repeated; never without a run."""
    vectors: Counter[int] = Counter()
    for operation in program.operations:
        if operation.kind is Kind.READ:
            vectors[program.units[operation.tile]] += operation.vectors
    repeats = [use.repeats for use in uses] if uses else [0.0] * len(program.crossbars)
    return [each / (vectors[unit] or 1) for unit, each in enumerate(repeats)]

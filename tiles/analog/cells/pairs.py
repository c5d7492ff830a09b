"""Several pairs of rising significance: ``w = sum_k F_k * (g_plus_k - g_minus_k)``."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from crossmesh.common.frozen import Many
from crossmesh.tiles.analog.array import FLOAT_BYTES, Array, Factor, State
from crossmesh.tiles.analog.cells.base import UnitCell
from crossmesh.tiles.analog.cells.pair import Pair, PairCrossbar
from crossmesh.tiles.analog.costs import CellCosts, TransferCosts
from crossmesh.tiles.analog.devices.limits import Count, Level, Pulses
from crossmesh.tiles.analog.devices.unsupported import of_devices
from crossmesh.tiles.analog.pulser import Pulser, Site
from crossmesh.tiles.analog.wear import Wear, named


class Pairs(UnitCell):
    """Pairs of one kind that count differently: the first takes all updates, the others carry.

    Every ``carry_every`` examples, what a pair holds is carried to the next more significant one:
    that one is written, pulse by pulse, to what both hold, and what the write could not hold stays
    in the less significant pair. The idea is that of carry resolution between bit slices
    (PANTHER, arXiv 1912.11516, and periodic carry before it), here without digital slices.

    Attributes:
        pair: Parameters of the pairs.
        significances: Factor F of each pair, rising; the first takes the updates.
        carry_every: Examples, or vectors where an example has several, between two carries. Source:
            assumed.
        max_pulses: Pulses of a device at most when it is written. Source: assumed.
    """

    why_without: ClassVar[dict[str, str]] = of_devices("cell.pair.device")

    kind: Literal["pairs"] = "pairs"
    pair: Pair = Pair()
    significances: Many[Level] = Field((1.0, 4.0), min_length=2, max_length=8)
    carry_every: Count = 1000
    max_pulses: Pulses = 1000

    @model_validator(mode="after")
    def _significances_rise(self) -> Self:
        values = list(self.significances)
        if values[0] <= 0 or any(a >= b for a, b in itertools.pairwise(values)):
            raise ValueError(f"significances must be above 0 and rise, got {values}")
        return self

    @property
    def reach(self) -> float:
        """Largest weight that a typical cell holds in both directions."""
        return sum(self.significances) * self.pair.reach

    @property
    def granularity(self) -> float:
        """That of the pair which takes the updates."""
        return self.significances[0] * self.pair.granularity

    @property
    def devices(self) -> Sequence[Any]:
        """Those of its arrays."""
        return (self.pair.device,)

    @property
    def n_arrays(self) -> int:
        """The arrays of all pairs."""
        return len(self.significances) * self.pair.n_arrays

    @property
    def largest_conductance(self) -> float:
        """Largest conductance of a typical device or reference above the lower bound."""
        return self.pair.largest_conductance

    @property
    def planes(self) -> Mapping[str, int]:
        """The pairs."""
        return {f"pair {k}": 2 for k in range(len(self.significances))}

    @property
    def costs(self) -> CellCosts:
        """Those of all pairs, of which the first takes the pulses."""
        first = self.pair.costs.written()
        others = first.times(len(self.significances) - 1).without_pulses().written()
        return first.beside(others)

    def transfer_costs(self, site: Site) -> Sequence[TransferCosts]:
        """Two neighbors of a line are read and one is written, which is read to write the other."""
        pair, carries = self.pair.costs.written(), len(self.significances) - 1
        lines = carries * site.shape[0] / self.carry_every
        return [
            *self.pair.transfer_costs(site),
            TransferCosts(lines=lines, reads=(pair, pair), written=pair, operations=4),
            TransferCosts(lines=lines, reads=(pair,), written=pair, operations=3),
        ]

    @property
    def cell_bytes(self) -> int:
        """Bytes that a crossbar keeps per cell: its pairs, the weight, and its variance."""
        own = FLOAT_BYTES * (1 + any(self.pair.device.read_noise))
        return len(self.significances) * self.pair.cell_bytes + own

    def crossbar(self, site: Site) -> "PairsCrossbar":
        """A crossbar of such cells."""
        return PairsCrossbar(self, site)


class PairsCrossbar:
    """Two devices per significance and cell.

    Args:
        cell: Parameters of the cells.
        site: Shape, random numbers and settings.
    """

    def __init__(self, cell: Pairs, site: Site) -> None:
        self._cell = cell
        self._factors = [np.float32(f) for f in cell.significances]
        self._pairs = [
            PairCrossbar(cell.pair, site, 2 * k, f"pair {k}") for k in range(len(self._factors))
        ]
        self._pulser = Pulser(site, cell.significances[0] * cell.pair.granularity)
        self.weights = np.zeros(site.shape, np.float32)
        noisy = self._pairs[0].variance is not None
        self.variance = np.zeros(site.shape, np.float32) if noisy else None

    @property
    def ages(self) -> bool:
        """Whether cells change with time alone."""
        return True

    @property
    def pulses(self) -> int:
        """Pulses sent so far."""
        return self._pulser.pulses

    @property
    def wear(self) -> Mapping[str, Wear]:
        """The first pair takes the pulses; all are written when they carry."""
        arrays: dict[str, Wear] = {}
        for k, pair in enumerate(self._pairs):
            pulses = 0 if k else self.pulses
            own = {name: wear._replace(pulses=pulses) for name, wear in pair.wear.items()}
            arrays |= named(f"pair {k}", own)
        return arrays

    def write(self, weights: Array) -> None:
        """Give each pair, from the most significant on, what the more significant do not hold."""
        rest: Array = weights.astype(np.float32)
        for factor, pair in reversed(list(zip(self._factors, self._pairs, strict=True))):
            pair.write(rest / factor)
            rest = rest - factor * pair.weights
        self._read()

    def update(self, x: Array, d: Array, rate: float, first_example: int) -> None:
        """Pulse the least significant pair, and carry when it is time."""
        for pulses in self._pulser.draw(x, d, rate, first_example):
            for piece in pulses.pieces(self._cell.carry_every):
                self._pairs[0].pulse(piece)
                if piece.completes(self._cell.carry_every):
                    self._carry(piece.last_example)
        self._read()

    def pulse_counts(self, counts: NDArray[np.int16], rows: slice, example: int) -> None:
        """Send the least significant pairs as many pulses as ``counts`` says."""
        self._pairs[0].pulse_in_no_time(self._pulser.counted(counts, rows, example))
        self._read()

    def _carry(self, example: int) -> None:
        """Move what pairs hold to the next more significant ones, and keep what is left over."""
        for k in range(len(self._pairs) - 1):
            low, high = self._pairs[k], self._pairs[k + 1]
            f, g = self._factors[k], self._factors[k + 1]
            both: Array = f * low.weights + g * high.weights
            high.pulse_to((both / g).astype(np.float32), example, self._cell.max_pulses)
            rest = both - g * high.weights
            low.pulse_to((rest / f).astype(np.float32), example, self._cell.max_pulses)

    def product(self, x: Array, *, backward: bool) -> Array:
        """Product of ``(vectors, inputs)`` with the weights, made by a board."""
        each = (pair.product(x, backward=backward) for pair in self._pairs)
        return sum(
            (factor * y for factor, y in zip(self._factors, each, strict=True)),
            start=np.zeros((1, 1), np.float32),
        )

    def arrays(self) -> list[tuple[Factor, Array]]:
        """The arrays of all pairs."""
        return [
            (factor * float(sign), g)
            for factor, pair in zip(self._cell.significances, self._pairs, strict=True)
            for sign, g in pair.arrays()
        ]

    def state(self) -> State:
        """The conductances of all devices."""
        return {
            f"{name}_of_pair_{k}": array
            for k, pair in enumerate(self._pairs)
            for name, array in pair.state().items()
        }

    def load(self, state: State) -> None:
        """Take over saved conductances."""
        for k, pair in enumerate(self._pairs):
            suffix = f"_of_pair_{k}"
            own = {n.removesuffix(suffix): a for n, a in state.items() if n.endswith(suffix)}
            pair.load(own)
        self._read()

    def _read(self) -> None:
        self.weights[:] = 0
        for factor, pair in zip(self._factors, self._pairs, strict=True):
            self.weights += factor * pair.weights
        if self.variance is not None:
            self.variance[:] = 0
            for factor, pair in zip(self._factors, self._pairs, strict=True):
                assert pair.variance is not None
                self.variance += factor * factor * pair.variance

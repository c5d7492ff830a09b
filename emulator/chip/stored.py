"""What a chip keeps of examples between phases: values that a backward pass or an update waits for.

An update needs the inputs that its forward read had; the derivative of a function what it took. As
long as other examples pass in between, all of theirs are kept too. A value is stored once: the
tiles that take it share it, as the arrays of a tile of ISAAC (doi 10.1109/ISCA.2016.12) share a
memory, each with an equal part.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.schedule import Schedule
from crossmesh.tiles.runtime.plan import Place
from crossmesh.tiles.runtime.program import Operation, Program, Take, Value


@dataclass(frozen=True, kw_only=True)
class StoredValues:
    """Values that tiles keep between the phases of an example.

    Attributes:
        bits: Bits that each tile has to hold at once.
        moved: Bits per example that each tile writes and reads.
    """

    bits: tuple[int, ...]
    moved: tuple[int, ...]


def stored_values(
    program: Program,
    operations: Sequence[Operation],
    chip: Chip,
    schedule: Schedule,
    micro_batch: int,
) -> StoredValues:
    """What each tile keeps, from when it is made to its last use.

    Args:
        program: The program.
        operations: Its operations, in the schedule's order.
        chip: The chip, whose activations and errors have so many bits.
        schedule: Order of the slots.
        micro_batch: Examples that move together.
    """
    maker = {op.gives: op for op in operations if op.gives is not None}
    kept: dict[Value, _Kept] = {}
    for operation in operations:
        for take in operation.takes:
            made = maker[take.value]
            if made.phase < operation.phase:
                unit = program.units[operation.tile]
                kept.setdefault(take.value, _Kept(made)).use(take, operation, unit)
    in_flight = _InFlight(program.n_stages, schedule)
    bits, moved = ([0] * len(program.crossbars) for _ in range(2))
    for value, each in kept.items():
        of_one = each.values * (chip.activation_bits if value.role == "x" else chip.error_bits)
        together = max(in_flight(each.made, place) for place in each.places)
        for unit, uses in each.units.items():
            bits[unit] += -(-of_one * micro_batch * together // len(each.units))
            moved[unit] += -(-of_one // len(each.units)) + of_one * uses
    return StoredValues(bits=tuple(bits), moved=tuple(moved))


class _Kept:
    """A value that tiles keep: which columns, which tiles, and until when."""

    def __init__(self, made: Operation) -> None:
        self.made: Place = (made.phase, made.stage)
        self.places: set[Place] = set()
        self.units: Counter[int] = Counter()
        self._positions = made.positions
        self._start, self._stop = made.columns, 0
        self._first, self._last = made.positions, 0

    def use(self, take: Take, operation: Operation, unit: int) -> None:
        """Keep it for one more operation, of a tile."""
        first, last = take.positions or (0, self._positions)
        self._start, self._stop = min(self._start, take.start), max(self._stop, take.stop)
        self._first, self._last = min(self._first, first), max(self._last, last)
        self.places.add((operation.phase, operation.stage))
        self.units[unit] += 1

    @property
    def values(self) -> int:
        """Numbers per example."""
        return (self._stop - self._start) * (self._last - self._first)


class _InFlight:
    """How many micro-batches are between two slots of the pipeline, at most."""

    def __init__(self, n_stages: int, schedule: Schedule) -> None:
        n = schedule.round or 2 * n_stages + 2
        self._when: dict[Place, list[int]] = {}
        for time, slot in enumerate(schedule.slots(n_stages, n)):
            self._when.setdefault((slot.phase, slot.stage), []).append(time)
        self._known: dict[tuple[Place, Place], int] = {}

    def __call__(self, made: Place, used: Place) -> int:
        """Micro-batches whose value is made and still waits for its use."""
        key = made, used
        if key not in self._known:
            self._known[key] = _most_together(self._when[made], self._when[used])
        return self._known[key]


def _most_together(begins: list[int], ends: list[int]) -> int:
    """Most intervals that overlap; both lists rise.

    >>> _most_together([0, 1, 2], [2, 3, 4])
    3
    """
    most = done = 0
    for begun, time in enumerate(begins, start=1):
        while ends[done] < time:
            done += 1
        most = max(most, begun - done)
    return most

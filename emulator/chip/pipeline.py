"""From a program to what the chip's resources do: tasks, messages, and counts of events.

Every tile has three resources, each doing one thing at a time: its array (driven for a read, pulsed
in an update, written in a transfer), its ADCs, and its digital unit. Their order is the program's.
"""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass

from crossmesh.emulator.chip.digital_work import COMPUTED, CYCLES, title_of
from crossmesh.emulator.chip.line_work import TileResource, line_work
from crossmesh.emulator.chip.optimizer_work import last_updates, optimizer_work
from crossmesh.emulator.chip.tasks import STEP, TRANSFER, Step
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc.pipeline_timing import Flow, Send, Task
from crossmesh.interconnect.schedule import Schedule
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile import TileConfig, site_of
from crossmesh.tiles.runtime.plan import edges, in_order
from crossmesh.tiles.runtime.program import Kind, Operation, Program, Take, Value


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A program on a chip.

    Attributes:
        flow: Tasks and messages; resource ``3 * tile + part``.
        steps: Description of each task.
        kinds: Contents of each message: activation, partial sum, gradient or error.
        events: Number of events per example: a count by component for every tile.
        pulses: Pulses on the lines of each tile per example that are among them.
        digital: Operations of digital units per example, by what they compute.
        place: Node of the interconnect that each tile lies at.
    """

    flow: Flow
    steps: tuple[Step, ...]
    kinds: tuple[str, ...]
    events: tuple[Counter[str], ...]
    pulses: tuple[int, ...]
    digital: Counter[str]
    place: tuple[int, ...]


def flits_of(chip: Chip, bits: int) -> tuple[int, ...]:
    """Lengths of the packets of a message; each has a head of one flit.

    >>> flits_of(Chip(flit_bits=128, packet_flits=8), 10 * 128)
    (8, 4)
    """
    payload = max(1, -(-bits // chip.flit_bits))
    whole, rest = divmod(payload, chip.packet_flits - 1)
    return (chip.packet_flits,) * whole + ((rest + 1,) if rest else ())


def _vectors(operation: Operation) -> int:
    """Vectors per example that a tile is driven with."""
    return operation.span[1] - operation.span[0]


class Builder:
    """Builds the pipeline of a program.

    Args:
        program: The program.
        chip: The chip.
        schedule: Order of the slots.
        micro_batch: Examples that move together.
        place: Node of the interconnect that each tile lies at.
    """

    def __init__(
        self,
        program: Program,
        chip: Chip,
        schedule: Schedule,
        micro_batch: int,
        place: tuple[int, ...],
    ) -> None:
        self._program, self._chip, self._unit = program, chip, program.units
        self._n, self._place = micro_batch, place
        self._per_update = schedule.micro_batches_per_update
        self._operations = in_order(program, schedule)
        self._last_updates = last_updates(self._operations)
        self._tasks: list[Task] = []
        self._steps: list[Step] = []
        self._events: tuple[Counter[str], ...] = tuple(Counter() for _ in program.crossbars)
        self._digital_work: Counter[str] = Counter()
        self._pulses = [0] * len(program.crossbars)
        self._maker: dict[Value, int] = {}  # the task at whose end a value is there
        self._height = {op.gives: op.positions for op in self._operations if op.gives}
        self._first: list[int] = []  # the first task of each operation

    def pipeline(self) -> Pipeline:
        """All of it."""
        for operation in self._operations:
            self._first.append(self._add(operation))
        sends, kinds = self._sends()
        stage_of = {self._unit[op.tile]: op.stage for op in self._operations}
        stages = [
            stage_of.get(t, 0) for t in range(len(self._program.crossbars)) for _ in TileResource
        ]
        flow = Flow(stages=stages, tasks=self._tasks, sends=sends)
        return Pipeline(
            flow=flow,
            steps=tuple(self._steps),
            kinds=kinds,
            events=self._events,
            pulses=tuple(self._pulses),
            digital=self._digital_work,
            place=self._place,
        )

    # Tasks

    def _add(self, operation: Operation) -> int:
        """The tasks of an operation; returns the first."""
        block = self._program.blocks[operation.tile]
        first = len(self._tasks)
        is_cycle = operation.kind in CYCLES
        if is_cycle and self._is_digital(operation, block):
            self._digital(operation, math.prod(block.shape) * _vectors(operation))
        elif operation.kind is Kind.PULSE:
            self._pulse(operation, block)
        elif is_cycle:
            inputs, outputs = block.shape
            if operation.kind is Kind.READ_BACK:
                inputs, outputs = outputs, inputs
            self._read(operation, inputs, outputs)
        else:
            taken = sum(self._values(take) for take in operation.takes)
            if operation.kind is Kind.SUM and self._program.has_digital_bias(operation):
                taken += operation.width * operation.positions
            self._digital(operation, round(self._work(operation) * taken) or operation.width)
        if operation is self._last_updates.get(operation.tile):
            self._optimize(operation, block)
        if operation.gives is not None:
            self._maker[operation.gives] = len(self._tasks) - 1
        return first

    def _is_digital(self, operation: Operation, block: Block) -> bool:
        """Whether a digital unit performs a cycle: of hardware-aware training, all but reads."""
        is_aware = self._program.rule(operation.tile) is not None
        return block.home is not None or (is_aware and operation.kind is not Kind.READ)

    def _values(self, take: Take) -> int:
        """Numbers per example."""
        first, last = take.positions or (0, self._height[take.value])
        return (take.stop - take.start) * (last - first)

    def _work(self, operation: Operation) -> float:
        """Operations of a digital unit per number taken."""
        function = self._program.functions.get(operation.node)
        is_computed = operation.kind in COMPUTED
        return function.work if function is not None and is_computed else 1.0

    def _digital(self, operation: Operation, count: int) -> None:
        """A task of the digital unit, of so many operations per example."""
        lanes = self._chip.phases.digital_lanes
        self._task(operation, TileResource.DIGITAL, -(-count * self._n // lanes))
        self._events[self._unit[operation.tile]]["digital"] += count
        title = title_of(operation, self._program)
        self._digital_work[title] += count

    def _optimize(self, operation: Operation, block: Block) -> None:
        """The step of an optimiser, if there is one; its mean is spread over micro-batches."""
        rule, unit = self._program.rule(operation.tile), self._unit[operation.tile]
        if rule is not None:
            work = optimizer_work(rule, block.shape)
            lanes = self._per_update * self._chip.phases.digital_lanes
            cycles, before = work.per(lanes).operations, len(self._tasks) - 1
            self._task(operation, TileResource.DIGITAL, cycles, after=before, kind=STEP)
            mean = work.per(self._per_update * self._n)
            self._digital_work["optimizer"] += mean.operations
            self._events[unit].update(digital=mean.operations, buffer=mean.bits)

    def _task(
        self, operation: Operation, part: TileResource, cycles: int, *, after: int | None = None,
        kind: str | None = None,
    ) -> int:  # fmt: skip
        number = len(self._tasks)
        needs = [] if after is None else [after]
        if after is None:
            makers = (self._maker[take.value] for take in operation.takes)
            near = {m for m in makers if self._steps[m].tile == self._unit[operation.tile]}
            needs = sorted(near)
        unit = self._unit[operation.tile]
        resource = len(TileResource) * unit + list(TileResource).index(part)
        self._tasks.append(Task(resource, operation.phase, cycles, tuple(needs)))
        self._steps.append(Step(kind or operation.kind, unit, part, operation.node))
        return number

    def _read(self, operation: Operation, inputs: int, outputs: int) -> None:
        phases, chip = self._chip.phases, self._chip
        costs = self._tile(operation).cell.costs
        vectors = _vectors(operation) * costs.reads
        drive = chip.cycles(phases.dac_s) + chip.cycles(phases.integration_s)
        rounds = min(outputs, self._lines_per_adc)  # one after the other
        driven = self._task(operation, TileResource.ARRAY, self._n * vectors * drive)
        convert = self._n * vectors * rounds * chip.cycles(phases.conversion_s)
        self._task(operation, TileResource.ADC, convert, after=driven, kind=f"{operation.kind} adc")
        events = self._events[self._unit[operation.tile]]
        events["dac"] += inputs * vectors
        for name, n in costs.read.items():
            events[name] += n * inputs * outputs * vectors
        for name in ("sample_hold", "adc", "shift_add"):
            events[name] += outputs * vectors

    def _tile(self, operation: Operation) -> TileConfig:
        """The tile that performs an operation of an array."""
        tile = self._program.holders[operation.tile]
        assert isinstance(tile, TileConfig)
        return tile

    @property
    def _lines_per_adc(self) -> int:
        return self._chip.phases.lines_per_adc

    def _pulse(self, operation: Operation, block: Block) -> None:
        tile, unit = self._tile(operation), self._unit[operation.tile]
        length, vectors, costs = tile.update.length, _vectors(operation), tile.cell.costs
        chip = self._chip
        pulsed = None
        if costs.slots:
            cycles = self._n * vectors * length * costs.slots * chip.cycles(chip.phases.pulse_s)
            pulsed = self._task(operation, TileResource.ARRAY, cycles)
            pulses = vectors * length * sum(block.shape)
            self._pulses[unit] += pulses
            for name, n in costs.pulse.items():
                self._events[unit][name] += n * pulses
        transfer = tile.cell.transfers
        if transfer:  # in turns, so that its mean is spread over the vectors
            share = self._n * vectors / transfer.every
            seconds = block.shape[0] * chip.phases.transfer_row_s * share
            pulsed = self._task(
                operation, TileResource.ARRAY, chip.cycles(seconds), after=pulsed, kind=TRANSFER
            )
        site = site_of(tile, block, vectors=self._program.vectors[operation.tile])
        for costs_of_link in tile.cell.transfer_costs(site):
            work = line_work(chip, block.shape, costs_of_link, vectors)
            for part, cycles in work.cycles(self._n):
                pulsed = self._task(operation, part, cycles, after=pulsed, kind=TRANSFER)
            self._events[unit].update(work.events)
            self._pulses[unit] += work.pulses
            for name, n in costs.pulse.items():
                self._events[unit][name] += n * work.pulses

    # Messages

    def _sends(self) -> tuple[tuple[Send, ...], tuple[str, ...]]:
        """One message for all tiles that take the same columns of the same values."""
        groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
        of_kind: dict[tuple[object, ...], str] = {}
        for edge in edges(self._operations, self._unit):
            key: tuple[object, ...] = (edge.source, edge.place, edge.parts)
            if not self._chip.multicast:
                key = (*key, edge.target)
            groups[key].append(edge.target)
            of_kind[key] = edge.kind
        takers = self._takers()
        sends = []
        for key, targets in groups.items():
            parts = key[2]
            assert isinstance(parts, tuple)
            values = sum(self._values(take) for take in parts)
            bits = values * self._n * self._bits(of_kind[key])
            sender = self._steps[self._maker[parts[0].value]].tile
            for tile in (sender, *targets):  # written on one side and read on the other
                self._events[tile]["buffer"] += bits // self._n
            sends.append(
                Send(
                    task=max(self._maker[take.value] for take in parts),
                    source=self._place[sender],
                    flits=flits_of(self._chip, bits),
                    takers={
                        self._place[target]: tuple(
                            sorted({t for take in parts for t in takers[target, take.value]})
                        )
                        for target in targets
                    },
                )
            )
        return tuple(sends), tuple(of_kind.values())

    def _takers(self) -> dict[tuple[int, Value], list[int]]:
        """The tasks of a tile that take a value."""
        takers: dict[tuple[int, Value], list[int]] = defaultdict(list)
        for operation, first in zip(self._operations, self._first, strict=True):
            for take in operation.takes:
                takers[self._unit[operation.tile], take.value].append(first)
        return takers

    def _bits(self, kind: str) -> int:
        chip = self._chip
        known = {"activation": chip.activation_bits, "error": chip.error_bits}
        return known.get(kind, chip.partial_sum_bits)

"""From a program to what the chip's resources do: tasks, messages, and counts of events.

Every tile has four resources, each doing one thing at a time: its array (driven for a read, pulsed
in an update, written in a transfer), its ADCs, its digital unit, and its port, at which examples
come to the chip. Their order is the program's.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from crossmesh.emulator.chip.conversions import conversion_s, drive_s, integrations
from crossmesh.emulator.chip.digital_work import COMPUTED, CYCLES, title_of
from crossmesh.emulator.chip.events import TileEvents
from crossmesh.emulator.chip.line_work import TileResource, line_work
from crossmesh.emulator.chip.messages import largest_messages, numbers_of
from crossmesh.emulator.chip.optimizer_work import last_updates, optimizer_work
from crossmesh.emulator.chip.ports import behind_reads, port_bits, port_cycles, port_tiles
from crossmesh.emulator.chip.sending import Performed, Sending
from crossmesh.emulator.chip.stored import StoredValues, stored_values
from crossmesh.emulator.chip.summing import NetworkSums
from crossmesh.emulator.chip.tasks import ROUTER_ADD, STEP, TARGET, TRANSFER, Step
from crossmesh.emulator.chip.use import TileUse, repeats_per_vector
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc import Topology
from crossmesh.interconnect.noc.flow import Flow, Task
from crossmesh.interconnect.schedule import Schedule
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.costs import WORD_BITS
from crossmesh.tiles.analog.tile_config import TileConfig, site_of
from crossmesh.tiles.runtime.plan import in_order
from crossmesh.tiles.runtime.program import Kind, Operation, Program, Take, Value


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A program on a chip.

    Attributes:
        flow: Tasks and messages; resource ``4 * tile + part``.
        steps: Description of each task.
        kinds: Contents of each message: activation, partial sum, gradient or error.
        events: Events of each tile per example.
        stored: What tiles keep between the phases of an example.
        messages: Bits of the largest messages of each tile, into and out of an operation.
        digital: Operations of digital units per example, by what they compute.
        place: Node of the interconnect that each tile lies at.
    """

    flow: Flow
    steps: tuple[Step, ...]
    kinds: tuple[str, ...]
    events: tuple[TileEvents, ...]
    stored: StoredValues
    messages: tuple[int, ...]
    digital: Counter[str]
    place: tuple[int, ...]


class Builder:
    """Builds the pipeline of a program.

    Args:
        program: The program.
        chip: The chip.
        schedule: Order of the slots.
        micro_batch: Examples that move together.
        place: Node of the interconnect that each tile lies at.
        topology: The interconnect.
        uses: How a run has used each tile; None: no read is repeated.
    """

    def __init__(  # noqa: PLR0913  because all of them make a pipeline
        self,
        program: Program,
        chip: Chip,
        schedule: Schedule,
        micro_batch: int,
        place: tuple[int, ...],
        topology: Topology,
        *,
        uses: Sequence[TileUse] | None = None,
    ) -> None:
        self._program, self._chip, self._unit = program, chip, program.units
        self._n, self._place, self._schedule = micro_batch, place, schedule
        self._per_update = schedule.micro_batches_per_update
        self._operations = in_order(program, schedule)
        self._repeats = repeats_per_vector(program, uses)
        self._last_updates = last_updates(self._operations)
        self._tasks: list[Task] = []
        self._steps: list[Step] = []
        self._events = tuple(TileEvents(chip) for _ in program.crossbars)
        self._sums = NetworkSums(program, chip, topology, micro_batch, place, self._events)
        self._adders: list[int] = []  # stage of each sum that a router makes
        self._digital_work: Counter[str] = Counter()
        self._ports = port_tiles(chip, place, topology.n_nodes)
        self._targets: list[int] = []  # tasks of ports
        self._makers: dict[Value, tuple[int, ...]] = {}  # tasks at whose ends a value is there
        self._height = {op.gives: op.positions for op in self._operations if op.gives}
        self._first: list[int] = []  # the first task of each operation

    def pipeline(self) -> Pipeline:
        """All of it."""
        for operation in self._operations:
            self._first.append(self._add(operation))
        behind = behind_reads(self._operations, self._first, self._chip.phases.input_buffers)
        for port in (k for k, step in enumerate(self._steps) if step.kind == Kind.INPUT):
            self._tasks[port] = replace(self._tasks[port], behind=behind)
        done = Performed(
            operations=[replace(op, takes=self._sums.rest(op)) for op in self._operations],
            first=self._first,
            steps=self._steps,
            makers=self._makers,
            targets=self._targets,
        )
        sending = Sending(self._chip, self._n, self._place, self._events)
        found = sending.of(done, self._unit, self._program.outputs)
        sends, kinds = zip(*found, *self._sums.sends, strict=True) if found else ((), ())
        for port, bits in port_bits(self._program, self._chip, self._operations, self._ports):
            self._events[port].add(port=bits)
        stored = stored_values(self._program, self._operations, self._chip, self._schedule, self._n)
        for events, bits in zip(self._events, stored.moved, strict=True):
            events.add(memory=bits)
        stage_of = {self._unit[op.tile]: op.stage for op in self._operations}
        stages = [
            stage_of.get(t, 0) for t in range(len(self._program.crossbars)) for _ in TileResource
        ]
        flow = Flow(stages=[*stages, *self._adders], tasks=self._tasks, sends=sends)
        return Pipeline(
            flow=flow,
            steps=tuple(self._steps),
            kinds=kinds,
            events=self._events,
            stored=stored,
            messages=tuple(largest_messages(done.operations, self._unit, self._chip, self._n)),
            digital=+self._digital_work,  # what there is none of is left out
            place=self._place,
        )

    # Tasks

    def _add(self, operation: Operation) -> int:
        """The tasks of an operation; returns the first."""
        block = self._program.blocks[operation.tile]
        first = len(self._tasks)
        is_cycle = operation.kind in CYCLES
        if is_cycle and self._is_digital(operation, block):
            products = math.prod(block.shape) * operation.vectors
            moved = 2 * products if operation.kind is Kind.PULSE else products  # read and written
            self._digital(operation, 2 * products, weights=moved)  # multiplied and added
        elif operation.kind is Kind.PULSE:
            self._pulse(operation, block)
        elif operation.kind is Kind.INPUT:
            return self._input(operation)
        elif is_cycle:
            self._read(operation, block)
        else:
            awaited = self._sums.add(operation, self._values, self._makers, self._router_adds)
            first = len(self._tasks)
            taken = sum(self._values(take) for take in operation.takes) - awaited.saved
            if operation.kind is Kind.SUM and self._program.has_digital_bias(operation):
                taken += operation.width * operation.positions
            self._digital(operation, round(self._work(operation) * taken) or operation.width)
            needs = (*self._tasks[first].needs, *awaited.tasks)
            self._tasks[first] = replace(self._tasks[first], needs=needs)
            self._sums.arrive(awaited, operation, first)
        if operation is self._last_updates.get(operation.tile):
            self._optimize(operation, block)
        if operation.gives is not None:
            self._makers[operation.gives] = (len(self._tasks) - 1,)
        return first

    def _router_adds(
        self, operation: Operation, tile: int, needs: list[tuple[int, ...]]
    ) -> list[int]:
        """Tasks of a router's adders, which take a flit of each input in a clock cycle."""
        resource = len(TileResource) * len(self._program.crossbars) + len(self._adders)
        self._adders.append(operation.stage)
        for each in needs:
            self._tasks.append(Task(resource, operation.phase, 1, each))
            self._steps.append(Step(ROUTER_ADD, tile, None, operation.node))
        return list(range(len(self._tasks) - len(needs), len(self._tasks)))

    def _input(self, operation: Operation) -> int:
        """Every port brings its part of the examples and of their targets."""
        first, ports = len(self._tasks), self._ports
        units = (self._unit[operation.tile],) if ports is None else ports
        numbers = operation.width * operation.positions
        cycles = port_cycles(self._chip, numbers * self._n, len(units))
        brings = [self._task(operation, TileResource.PORT, cycles, unit=unit) for unit in units]
        assert operation.gives is not None
        self._makers[operation.gives] = tuple(brings)
        for unit in ports or ():
            cycles = port_cycles(self._chip, self._program.outputs * self._n, len(units))
            target = self._task(operation, TileResource.PORT, cycles, unit=unit, kind=TARGET)
            self._targets.append(target)
        return first

    def _is_digital(self, operation: Operation, block: Block) -> bool:
        """Whether a digital unit performs a cycle: of hardware-aware training, all but reads."""
        is_aware = self._program.rule(operation.tile) is not None
        return block.home is not None or (is_aware and operation.kind is not Kind.READ)

    def _values(self, take: Take) -> int:
        """Numbers per example."""
        return numbers_of(take, self._height)

    def _work(self, operation: Operation) -> float:
        """Operations of a digital unit per number taken."""
        function = self._program.functions.get(operation.node)
        is_computed = operation.kind in COMPUTED
        return function.work if function is not None and is_computed else 1.0

    def _digital(self, operation: Operation, count: int, *, weights: int = 0) -> None:
        """A task of the digital unit, of so many operations per example."""
        lanes = self._chip.phases.digital_lanes
        self._task(operation, TileResource.DIGITAL, -(-count * self._n // lanes))
        self._events_of(operation).add(digital=count, memory=weights * WORD_BITS)
        title = title_of(operation, self._program)
        self._digital_work[title] += count

    def _optimize(self, operation: Operation, block: Block) -> None:
        """The step of an optimiser, if there is one; its mean is spread over micro-batches."""
        rule = self._program.rule(operation.tile)
        if rule is not None:
            work = optimizer_work(rule, block.shape)
            lanes = self._per_update * self._chip.phases.digital_lanes
            cycles, before = work.per(lanes).operations, len(self._tasks) - 1
            self._task(operation, TileResource.DIGITAL, cycles, after=before, kind=STEP)
            mean = work.per(self._per_update * self._n)
            self._digital_work["optimizer"] += mean.operations
            self._events_of(operation).add(digital=mean.operations, memory=mean.bits)

    def _task(
        self, operation: Operation, part: TileResource, cycles: int, *, after: int | None = None,
        kind: str | None = None, unit: int | None = None,
    ) -> int:  # fmt: skip
        number = len(self._tasks)
        unit = self._unit[operation.tile] if unit is None else unit
        needs = [] if after is None else [after]
        if after is None:
            makers = [m for take in operation.takes for m in self._makers[take.value]]
            makers += self._targets if operation.kind is Kind.LOSS else []
            needs = sorted({m for m in makers if self._steps[m].tile == unit})
        resource = len(TileResource) * unit + list(TileResource).index(part)
        self._tasks.append(
            Task(resource, operation.phase, cycles, tuple(needs), stage=operation.stage)
        )
        self._steps.append(Step(kind or operation.kind, unit, part, operation.node))
        return number

    def _read(self, operation: Operation, block: Block) -> None:
        chip, tile = self._chip, self._tile(operation)
        back = operation.kind is Kind.READ_BACK
        again = 0.0 if back else self._repeats[self._unit[operation.tile]]
        mean = operation.vectors * (1 + again)
        vectors = math.ceil(self._n * mean) * tile.cell.costs.reads
        drive = chip.cycles(drive_s(tile, chip))
        driven = self._task(operation, TileResource.ARRAY, vectors * drive)
        rounds = integrations(tile, chip) * min(block.shape[not back], chip.phases.lines_per_adc)
        convert = vectors * rounds * chip.cycles(conversion_s(tile, chip))
        self._task(operation, TileResource.ADC, convert, after=driven, kind=f"{operation.kind} adc")
        self._events_of(operation).read(tile, block.shape, mean, back=back)

    def _events_of(self, operation: Operation) -> TileEvents:
        return self._events[self._unit[operation.tile]]

    def _tile(self, operation: Operation) -> TileConfig:
        """The tile that performs an operation of an array."""
        tile = self._program.holders[operation.tile]
        assert isinstance(tile, TileConfig)
        return tile

    def _pulse(self, operation: Operation, block: Block) -> None:
        tile, events = self._tile(operation), self._events_of(operation)
        length, vectors, costs = tile.update.length, operation.vectors, tile.cell.costs
        chip, pulsed = self._chip, None
        if costs.slots:
            cycles = self._n * vectors * length * costs.slots * chip.cycles(chip.phases.pulse_s)
            pulsed = self._task(operation, TileResource.ARRAY, cycles)
            events.pulse(tile, block.shape, vectors * length)
        site = site_of(tile, block, vectors=self._program.vectors[operation.tile])
        for costs_of_link in tile.cell.transfer_costs(site):
            work = line_work(chip, tile, block.shape, costs_of_link, vectors)
            self._digital_work["transfers"] += work.operations
            for part, cycles in work.cycles(self._n):
                pulsed = self._task(operation, part, cycles, after=pulsed, kind=TRANSFER)
            events.move(tile, work)

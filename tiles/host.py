"""The tile host: a plain object that holds tiles and performs its part of a program."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interconnect.channels import Channels
from interconnect.schedule import Phase, Schedule
from tiles.aging import Aging
from tiles.binding import Binder, Feed, Steps
from tiles.checkpoint import file_name, load_state, save_state
from tiles.measure import Measurement, Meter, TileReport, Trace
from tiles.plan import Action, in_order, plans
from tiles.program import Kind, Operation, Program, Span
from tiles.tile import Tile, TileConfig

Array = NDArray[np.float32]


class TileError(RuntimeError):
    """An operation failed; the message says which, on which tile, and why."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Which tiles a host holds and what it does with them.

    Attributes:
        program: The whole program; a host performs what its tiles are named for.
        tile: What tiles are.
        seed: The run's seed.
        host_of: Host of each tile.
        host: Number of this host.
    """

    program: Program
    tile: TileConfig
    seed: int
    host_of: tuple[int, ...]
    host: int


class TileHost:
    """Holds the tiles that are assigned to it, and runs spans of the program.

    BLAS must run on one thread, which is a setting of the whole process: whoever makes a host
    sees to it. After a span that failed or was stopped, a host can be asked for its state only.

    Args:
        assignment: Which tiles, and the program.
        feeds: Where examples come from, by ``train`` and ``test``; empty where none are needed.
        channels: Connections to the other hosts, or None if there are none.
    """

    def __init__(
        self,
        assignment: Assignment,
        feeds: Mapping[str, Feed],
        channels: Channels | None = None,
    ) -> None:
        self.program = program = assignment.program
        self.host = assignment.host
        self._host_of = assignment.host_of
        self.tiles = {
            block.tile: Tile(assignment.tile, block, program.scales[block.tile], assignment.seed)
            for block in program.blocks
            if self._host_of[block.tile] == self.host
        }
        self.meter = Meter(1, 0)
        self.trace: list[Trace] | None = None
        self._binder = Binder(program, self.tiles, feeds, channels, self._count)
        self._bound: dict[Schedule, Steps] = {}
        self._updates = dict.fromkeys(self.tiles, 0)

    # Running

    def run(self, span: Span, watch: Callable[[], None] | None = None) -> list[Measurement]:
        """Perform this host's part of a span, in program order.

        Args:
            span: The micro-batches to run.
            watch: Called after every micro-batch's loss, where the loss is computed.

        Returns:
            Rows of the metrics, where the loss is computed; otherwise none.
        """
        self.meter = Meter(span.log_every, span.n_examples)
        for tile in self.tiles.values():
            tile.begin(span.evaluation)
        steps = self._steps(span.schedule)
        action: Action | None = None
        try:
            with np.errstate(all="ignore"):  # what is not finite shows in the loss
                for slot in span.schedule.slots(self.program.n_stages, span.n_micro_batches):
                    m = slot.micro_batch
                    first = span.first_example + m * span.micro_batch
                    for action, step in steps[slot.phase][slot.stage]:
                        step(m, first, span)
                        if self.trace is not None:
                            self._record(action, m, span)
                    if slot.phase is Phase.LOSS and watch is not None:
                        watch()
        except (FloatingPointError, ValueError, MemoryError, ArithmeticError) as error:
            raise TileError(f"{self._describe(action)}: {error}") from error
        return self.meter.rows

    def _steps(self, schedule: Schedule) -> Steps:
        if schedule not in self._bound:
            operations = in_order(self.program, schedule)
            plan = plans(operations, self._host_of, (self.host,))[self.host]
            self._bound[schedule] = self._binder.steps(operations, plan)
        return self._bound[schedule]

    def _count(self, loss: float, correct: int, n: int) -> None:
        self.meter.add(loss, correct, n)

    def _describe(self, action: Action | None) -> str:
        if isinstance(action, Operation):
            return f"{self.program.blocks[action.tile]} failed to {action.kind.replace('_', ' ')}"
        return "a message between tile hosts failed"

    def _record(self, action: Action, micro_batch: int, span: Span) -> None:
        assert self.trace is not None
        if isinstance(action, Operation):
            version = self._updates[action.tile] // span.schedule.micro_batches_per_update
            self.trace.append(Trace(action.kind, action.tile, micro_batch, version))
            if action.kind is Kind.PULSE:
                self._updates[action.tile] += 1

    # State

    def write(self, weights: Callable[[str, tuple[int, int], tuple[int, int]], Array]) -> None:
        """Set every tile from a function of (layer, first row and column, shape)."""
        for tile in self.tiles.values():
            block = tile.block
            tile.write(weights(block.layer, (block.row, block.col), block.shape))

    def age(self, aging: Aging | None) -> None:
        """Read every tile from programmed memories that have aged; None: from its crossbar."""
        for tile in self.tiles.values():
            tile.age(aging)

    def save(self, folder: Path) -> None:
        """Write every tile's state to ``folder``."""
        for number, tile in self.tiles.items():
            save_state(folder / file_name(number), tile.crossbar.state())

    def load(self, folder: Path) -> None:
        """Read every tile's state from ``folder``."""
        for number, tile in self.tiles.items():
            tile.load(load_state(folder / file_name(number)))

    def digests(self) -> dict[int, bytes]:
        """sha256 of each tile's device state."""
        return {number: tile.digest() for number, tile in self.tiles.items()}

    def reports(self) -> list[TileReport]:
        """Rows of the tiles table."""
        return [self._report(tile) for tile in self.tiles.values()]

    def _report(self, tile: Tile) -> TileReport:
        w, block = tile.weights, tile.block
        return TileReport(
            tile=block.tile,
            layer=block.layer,
            first_row=block.row,
            first_col=block.col,
            rows=block.shape[0],
            cols=block.shape[1],
            actor=self.host,
            weight_scale=tile.scale,
            weight_mean=float(w.mean(dtype=np.float64)),
            weight_std=float(w.std(dtype=np.float64)),
            weight_min=float(w.min()),
            weight_max=float(w.max()),
            pulses=tile.crossbar.pulses,
        )

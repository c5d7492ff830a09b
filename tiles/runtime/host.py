"""The tile host: a plain object that holds tiles and performs its part of a program."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crossmesh.interconnect.schedule import Phase, Schedule
from crossmesh.interconnect.transport.channels import Channels
from crossmesh.tiles.analog.footprint import give_back
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.analog.wear import mean_conductance, wear_of
from crossmesh.tiles.runtime.assignment import Assignment
from crossmesh.tiles.runtime.holders import Holder, make_holder
from crossmesh.tiles.runtime.measure import HostReport, Meter, Outcome, TileReport, Trace
from crossmesh.tiles.runtime.plan import Action, in_order, plans
from crossmesh.tiles.runtime.program import UPDATES, Kind, Operation, Span
from crossmesh.tiles.runtime.steps import Binder, Feed, Steps
from crossmesh.tiles.runtime.timing import timed

if TYPE_CHECKING:  # storage of checkpoints is imported when there is one: it takes pyarrow
    from crossmesh.common.storage import Storage

Array = NDArray[np.float32]
_FILES_AT_ONCE = 4  # written or read by one host, so that checksums and the disk overlap


class TileError(RuntimeError):
    """An operation failed; the message says which, on which tile, and why."""


class TileHost:
    """Holds the tiles that are assigned to it, and runs spans of the program.

    BLAS must run on one thread, which is a setting of the whole process: the maker of a host
    sees to it. After a span that failed or was stopped, a host can be asked for its state only.

    Args:
        assignment: Which tiles, and the program.
        feeds: Sources of examples, by ``train`` and ``test``; empty where none are needed.
        channels: Connections to the other hosts, or None if there are none.
    """

    def __init__(
        self,
        assignment: Assignment,
        feeds: Mapping[str, Feed],
        channels: Channels | None = None,
    ) -> None:
        self.program = program = assignment.program
        self._seed = assignment.seed
        self._backend = assignment.backend
        self.tiles: dict[int, Holder] = {}
        self._pulsed = {op.tile for op in program.operations if op.kind is Kind.PULSE}
        self.meter = Meter(1)
        self.trace: list[Trace] | None = None
        self._updates: dict[int, int] = {}
        self._updated: dict[int, tuple[int, int]] = {}
        self._channels = channels
        self.assign(assignment.host, assignment.host_of, feeds)

    def assign(self, host: int, host_of: tuple[int, ...], feeds: Mapping[str, Feed]) -> None:
        """Hold other tiles from now on; those that come must be loaded or written.

        Args:
            host: Number of this host.
            host_of: Host of each tile.
            feeds: Sources of examples, as those of the constructor.
        """
        self.host, self._host_of, self._feeds = host, host_of, feeds
        mine = [block.tile for block in self.program.blocks if host_of[block.tile] == host]
        self.tiles = {tile: self.tiles[tile] for tile in self.tiles if host_of[tile] == host}
        self.tiles = {tile: self.tiles.get(tile) or self._holder(tile) for tile in mine}
        self._updates = {tile: self._updates.get(tile, 0) for tile in self.tiles}
        self.join(self._channels)

    def _holder(self, number: int) -> Holder:
        return make_holder(self.program, number, self._seed, self._backend)

    def join(self, channels: Channels | None) -> None:
        """Use other channels from now on, forget what is under way, and count time from 0."""
        self._tile_s: dict[int, float] | None = None  # where operations are timed
        self._channels = channels
        self._binder = Binder(
            self.program, self._seed, self.tiles, self._feeds, channels, lambda: self.meter
        )
        self._bound: dict[Schedule, Steps] = {}
        self._run_s, self._operations, self._began = 0.0, 0, 0.0

    # Running

    def run(self, span: Span, watch: Callable[[], None] | None = None) -> Outcome:
        """Perform this host's part of a span, in program order.

        Args:
            span: The micro-batches to run.
            watch: Called after every micro-batch's loss, where the loss is computed.

        Returns:
            What was measured or kept, where the loss is computed.
        """
        self.meter = meter = Meter(span.log_every, span.measured, self.program.outputs)
        for number, tile in self.tiles.items():
            examples = span.examples_per_update if number in self._pulsed else math.inf
            tile.begin(span.evaluation, examples)
        steps = self._steps(span.schedule)
        action: Action | None = None
        with self._timed(), np.errstate(all="ignore"):  # what is not finite shows in the loss
            try:
                for _, phase, stage, m in span.schedule.slots(
                    self.program.n_stages, span.n_micro_batches
                ):
                    first = span.first_example + m * span.micro_batch
                    actions = steps[phase][stage]
                    for action, step in actions:
                        step(m, first, span)
                        if self.trace is not None:
                            self._record(action, m, span)
                    self._operations += len(actions)
                    if phase is Phase.LOSS and watch is not None:
                        watch()
            except (FloatingPointError, ValueError, MemoryError, ArithmeticError) as error:
                raise TileError(f"{self._describe(action)}: {error}") from error
        if span.is_last:
            meter.cut()
        return Outcome(meter.rows, meter.sums, meter.outputs_kept)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the time of the block as spent within spans."""
        self._began = time.perf_counter()
        try:
            yield
        finally:
            self._run_s, self._began = self.run_s, 0.0

    @property
    def run_s(self) -> float:
        """Wall seconds within spans, with the running one."""
        began = self._began
        return self._run_s + (time.perf_counter() - began if began else 0.0)

    def _steps(self, schedule: Schedule) -> Steps:
        if schedule not in self._bound:
            operations = in_order(self.program, schedule)
            plan = plans(operations, self._host_of, (self.host,))[self.host]
            self._bound[schedule] = self._binder.steps(operations, plan)
        steps = self._bound[schedule]
        return steps if self._tile_s is None else timed(steps, self._tile_s)

    def time_tiles(self, on: bool) -> dict[int, float]:
        """Begin or end to time operations; seconds of each tile since this began."""
        seconds, self._tile_s = self._tile_s or {}, {} if on else None
        return seconds

    def _describe(self, action: Action | None) -> str:
        if isinstance(action, Operation):
            return f"{self.program.blocks[action.tile]} failed to {action.kind.replace('_', ' ')}"
        return "a message between tile hosts failed"

    def _record(self, action: Action, micro_batch: int, span: Span) -> None:
        assert self.trace is not None
        if isinstance(action, Operation):
            version = self._updates[action.tile] // span.schedule.micro_batches_per_update
            self.trace.append(Trace(action.kind, action.tile, micro_batch, version))
            now = span.first, micro_batch
            if action.kind in UPDATES and self._updated.get(action.tile) != now:
                self._updates[action.tile] += 1
                self._updated[action.tile] = span.first, micro_batch

    # State

    def write(self, weights: Callable[[str, tuple[int, int], tuple[int, int]], Array]) -> None:
        """Set every tile from a function of (layer, first row and column, shape)."""
        for tile in self.tiles.values():
            block = tile.block
            tile.write(weights(block.layer, (block.row, block.col), block.shape))
        give_back()

    def age(self, aging: Aging | None) -> None:
        """Read every tile from programmed memories that have aged; None: from its crossbar.

        What lies in digital memory does not age.
        """
        for tile in self.tiles.values():
            if tile.block.home is None:
                tile.age(aging)

    def save(self, folder: "Storage", watch: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Write every tile's state to a folder, and give the sha256 of each file by its name.

        Args:
            folder: Folder to write to.
            watch: Called whenever a file is written.

        Raises:
            NotWritten: If the folder does not take them.
            NotShared: If it is not there.
        """
        from crossmesh.tiles.runtime.tile_file import check_there, file_name, save_state

        check_there(folder)

        def write(tile: Holder) -> tuple[str, str]:
            name = file_name(tile.block.tile)
            return name, save_state(folder, name, tile.state())

        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            files = {}
            for name, digest in pool.map(write, self.tiles.values()):
                files[name] = digest
                watch()
            return files

    def load(self, folder: "Storage", files: Mapping[str, str]) -> None:
        """Read every tile's state from a folder.

        Args:
            folder: The folder that ``save`` wrote.
            files: sha256 of each file by its name.

        Raises:
            Damaged: If a file is not what was written.
            Misfit: If a file was written by another kind of tile.
        """
        from crossmesh.tiles.runtime.tile_file import check_arrays, file_name, load_state

        def read(tile: Holder) -> None:
            name = file_name(tile.block.tile)
            state = load_state(folder, name, files[name])
            check_arrays(name, state, tile.state())
            tile.load(state)

        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            list(pool.map(read, self.tiles.values()))
        give_back()

    def digests(self) -> dict[int, bytes]:
        """sha256 of each tile's device state."""
        return {number: tile.digest() for number, tile in self.tiles.items()}

    def report(self) -> HostReport:
        """How this host's time was spent since it joined its channels."""
        channels = self._channels
        wait_s = channels.wait_s if channels else 0.0
        return HostReport(
            host=self.host,
            node="",
            ip="",
            tiles=len(self.tiles),
            run_s=self.run_s,
            message_s=max(0.0, self._binder.channel_s - wait_s),
            wait_s=wait_s + (channels.waiting_s if channels else 0.0),
            messages=channels.n_sent if channels else 0,
            bytes=channels.bytes_sent if channels else 0,
            operations=self._operations,
        )

    def reports(self) -> list[TileReport]:
        """Rows of the tiles table."""
        return [self._report(tile) for tile in self.tiles.values()]

    def _report(self, tile: Holder) -> TileReport:
        w, block = tile.weights, tile.block
        w = w[np.isfinite(w)] if w.size and not np.isfinite(w).all() else w  # masks are infinite
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
            pulses=tile.pulses,
            repeats=getattr(tile, "repeats", 0),
            conductance=mean_conductance(tile, self.program.holders[block.tile]),
            wear=wear_of(tile),
        )

"""Devices of a tile that lie on a board: where they are, and what is known of them."""

import weakref
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.board_config import BoardArray
from crossmesh.tiles.boards.access import BoardRestarted
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.hardware import Array, Lines

T = TypeVar("T")
Ends = tuple[float, float]


class TileBoard:
    """The board of one tile, which its planes share; it is met when it is needed first.

    Args:
        config: Where it is.
        block: The tile's part of its layer's matrix, whose copies lie side by side.
        planes: Arrays of each of the cell's planes, in the cell's order.
        say: Takes a line for people.
    """

    def __init__(
        self, config: BoardArray, block: Block, planes: Mapping[str, int],
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.config = config
        self._block = block
        self._say = say
        held = planes if config.planes is None else config.planes
        arrays = [(name, k) for name, n in planes.items() if name in held for k in range(n)]
        self._places = {array: place for place, array in enumerate(arrays)}
        self._before = block.copy * len(self._places)

    def holds(self, plane: str) -> bool:
        """Whether the arrays of a plane lie on it."""
        return (plane, 0) in self._places

    @cached_property
    def client(self) -> BoardClient:
        """The connection, which ends with the tile."""
        client = BoardClient(self.config.access(self._block.tile), self._say)
        weakref.finalize(self, client.close)
        return client

    def plane(
        self, name: str, number: int, shape: tuple[int, int], ends: Ends | None = None
    ) -> "BoardPlane":
        """One array of the tile.

        Args:
            name: Plane of the cell.
            number: Array of the plane.
            shape: Word lines and bit lines.
            ends: Conductances at the bounds of its devices, as far as they are known.
        """
        return BoardPlane(self, self._origin(self._places[name, number]), shape, ends)

    def _origin(self, place: int) -> tuple[int, int]:
        """Of an array: those of a cell lie side by side, each as wide as the layer."""
        block, width = self._block, self._block.whole[1] or self._block.shape[1]
        row = self.config.region[0] + block.row
        return row, self.config.region[1] + block.col + (self._before + place) * width

    @property
    def areas(self) -> list[tuple[int, int, int, int]]:
        """Word line and bit line at which each of its arrays begins, and how many it has."""
        return [(*self._origin(place), *self._block.shape) for place in self._places.values()]


class BoardPlane:
    """One array of a tile on its board. Conductances are in siemens.

    Args:
        board: The board.
        origin: Word line and bit line where it begins, of those that are used.
        shape: Word lines and bit lines.
        ends: Conductances at the bounds of its devices, if the board does not say them.

    Attributes:
        siemens: ``(rows, cols)`` conductances as they were read last.
    """

    def __init__(
        self, board: TileBoard, origin: tuple[int, int], shape: tuple[int, int],
        ends: Ends | None = None,
    ) -> None:  # fmt: skip
        self._board, self._origin, self._shape = board, origin, shape
        self._ends = ends
        self._starts = -1  # of the board, when its devices held what is known; -1: never
        self.siemens = np.zeros(shape, np.float32)

    @cached_property
    def ends(self) -> Ends:
        """Conductances at the lower and upper bound of a typical device."""
        if self._board.config.siemens is not None:
            low, high = self._board.config.siemens
            return low, high
        description = self._board.client.description
        return self._ends or (description.off_siemens, description.on_siemens)

    @cached_property
    def _lines(self) -> tuple[Lines, Lines]:
        """Word lines and bit lines of the board."""
        description, chosen = self._board.client.description, self._board.config.lines
        found = []
        for axis, name in enumerate(("rows", "cols")):
            most = getattr(description, name)
            usable = np.arange(most) if chosen is None else np.array(getattr(chosen, name))
            if len(usable) and usable.max() >= most:
                raise ConfigError(
                    f"tile.array.map must have {name} below {most}, as the board "
                    f"{description.name} has them, got {usable.max()}"
                )
            begin, n = self._origin[axis], self._shape[axis]
            if begin + n > len(usable):
                raise ConfigError(
                    f"tile.array.region must leave {n} {name} of the board {description.name} from "
                    f"{begin} on, got {len(usable)} that can be used"
                )
            found.append(usable[begin : begin + n].astype(np.uint16))
        return found[0], found[1]

    def write(self, rows: slice, siemens: Array) -> None:
        """Set the devices of some word lines, and read them."""
        first = rows.start or 0
        inner = np.argwhere(np.ones(siemens.shape, np.bool_))
        self._set(inner[:, 0] + first, inner[:, 1], siemens.reshape(-1))

    def rewrite(self, wanted: Array) -> None:
        """Set devices that hold something else than they should, as far as the tolerance goes."""
        off = np.argwhere(np.abs(self.siemens - wanted) > self._tolerance)
        if len(off):
            self._set(off[:, 0], off[:, 1], wanted[off[:, 0], off[:, 1]])

    def restore(self, wanted: Array) -> None:
        """Go on from what devices held: read them, and set those that have lost it."""
        self.siemens[:] = wanted
        self._starts = -1
        self._do(lambda client: None)

    def pulse(self, rows: Lines, cols: Lines, counts: NDArray[np.int16]) -> None:
        """Pulse devices in their order, and read the word lines that were touched.

        Word lines are pulsed one after the other, each device in the order of its pulses.
        """
        if not len(rows):
            return
        order = np.argsort(rows, kind="stable")
        rows, cols, counts = rows[order], cols[order], counts[order]
        touched = np.unique(rows)
        lines, columns = self._lines

        def pulsed(client: BoardClient) -> Array:
            return client.pulse(lines[rows], columns[cols], counts, read=(lines[touched], columns))

        self.siemens[touched] = self._do(pulsed)

    def product(self, x: Array, *, backward: bool) -> Array:
        """``x @ G``, or ``x @ G.T`` if ``backward``, made by the board.

        Args:
            x: ``(vectors, inputs)``; the largest of each is driven with the voltage of a read.
            backward: Whether bit lines are driven.

        Returns:
            ``(vectors, outputs)`` sums of conductances in siemens.
        """
        lines, columns = self._lines
        largest = np.abs(x).max(axis=1, keepdims=True, initial=np.float32(0))
        volt = np.float32(self._board.client.description.read_v)
        per_volt = np.where(largest > 0, largest, np.float32(1)) / volt

        def multiplied(client: BoardClient) -> Array:
            volts = (x / per_volt).astype(np.float32)
            return client.product(lines, columns, volts, backward=backward)

        return self._do(multiplied) * per_volt.astype(np.float32)

    @property
    def _tolerance(self) -> float:
        low, high = self.ends
        return self._board.config.tolerance * (high - low)

    def _set(self, rows: NDArray[np.int64], cols: NDArray[np.int64], siemens: Array) -> None:
        lines, columns = self._lines

        def written(client: BoardClient) -> Array:
            return client.set(
                lines[rows], columns[cols], siemens.astype(np.float32), self._tolerance
            )

        if self._starts < 0:  # whatever was there before does not matter
            self._starts = self._board.client.starts
        self.siemens[rows, cols] = self._do(written)

    def _do(self, work: Callable[[BoardClient], T]) -> T:
        """Do something on the board; where it has started anew, its devices are set again first."""
        client = self._board.client
        while True:
            try:
                if self._starts != client.starts:
                    starts = client.starts
                    self._reprogram(client)
                    self._starts = starts
                return work(client)
            except BoardRestarted:
                continue

    def _reprogram(self, client: BoardClient) -> None:
        """Set the devices that do not hold what was read last, which is kept until they do."""
        lines, columns = self._lines
        held = client.read(lines, columns)
        off = np.argwhere(np.abs(held - self.siemens) > self._tolerance)
        if len(off):
            rows, cols = off[:, 0], off[:, 1]
            wanted = self.siemens[rows, cols]
            held[rows, cols] = client.set(lines[rows], columns[cols], wanted, self._tolerance)
        self.siemens[:] = held

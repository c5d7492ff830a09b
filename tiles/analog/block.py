"""The part of a layer's weights that one tile holds."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """The part of a layer's weight matrix that one tile holds.

    Attributes:
        tile: Number of the tile in the chip, which also keys its random numbers.
        layer: Name of the layer.
        row: First word line in the layer's matrix.
        col: First bit line in the layer's matrix.
        shape: Word lines and bit lines used.
        copy: Number of this copy of the block, which serves a part of the vectors.
        copies: Copies of the block.
        home: The tile whose digital unit holds it, if it lies in digital memory.
        whole: Word lines and bit lines of the layer's matrix; 0: those of the block.
    """

    tile: int
    layer: str
    row: int
    col: int
    shape: tuple[int, int]
    copy: int = 0
    copies: int = 1
    home: int | None = None
    whole: tuple[int, int] = (0, 0)

    @property
    def row_range(self) -> tuple[int, int]:
        """Word lines of the layer, half-open."""
        return self.row, self.row + self.shape[0]

    @property
    def col_range(self) -> tuple[int, int]:
        """Bit lines of the layer, half-open."""
        return self.col, self.col + self.shape[1]

    def __str__(self) -> str:
        rows, cols = self.row_range, self.col_range
        return f"tile {self.tile} ({self.layer} rows {rows[0]}:{rows[1]} cols {cols[0]}:{cols[1]})"

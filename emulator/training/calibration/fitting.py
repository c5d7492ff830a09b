"""The settings of a layer's tiles: candidates are tried on its tiles, the best one is taken."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.compile import scale_of
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.network.bit_lines import with_own_lines
from crossmesh.emulator.network.graph import Matrix
from crossmesh.emulator.training.calibration.mending import Cause, MendedTiles
from crossmesh.emulator.training.calibration.recording import Recording
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile_config import TileConfig

Array = NDArray[np.float32]
Settings = dict[str, Any]  # fields of ``TileConfig`` that a layer gets
Errors = NDArray[np.float64]
_GAIN = 1e-3  # of the error, below which a candidate is not worth its words
_ROUNDS = 2


def _steps(low: int, high: int, per_octave: int) -> tuple[float, ...]:
    """Factors ``2 ** (k / per_octave)``, from the largest down."""
    return tuple(2.0 ** (k / per_octave) for k in range(high, low - 1, -1))


_SCALES = _steps(-8, 4, 4)  # of the scale by which the largest weight takes a cell's whole reach
_LINES = _steps(-6, 4, 4)
_FINER = _steps(-3, 3, 8)
_ADC = _steps(-12, 6, 2)
_INPUTS = _steps(-8, 0, 2)


class BlockColumn(NamedTuple):
    """Blocks whose partial sums are added: those on the same bit lines of one matrix.

    Attributes:
        blocks: The blocks, in the order in which their sums are added.
        exact: ``(vectors, cols)`` their sum as it should be.
    """

    blocks: tuple[Block, ...]
    exact: Array


@dataclass(frozen=True)
class LayerOnTiles:
    """A layer whose matrices lie on tiles, with what drives them.

    Attributes:
        job: The job.
        recording: What was read exactly.
        name: Name of the layer.
    """

    job: Job
    recording: Recording
    name: str

    @cached_property
    def matrices(self) -> dict[str, Matrix]:
        """Its matrices on tiles, by name."""
        return {
            name: matrix
            for name, matrix in self.job.network.matrices.items()
            if name.partition(".")[0] == self.name and not matrix.digital
        }

    @cached_property
    def tiles(self) -> tuple[int, ...]:
        """Numbers of its tiles."""
        blocks = self.recording.program.crossbars
        return tuple(block.tile for block in blocks if block.layer in self.matrices)

    @property
    def config(self) -> TileConfig:
        """Its tiles as they are."""
        return next(iter(self.matrices.values())).tile

    @cached_property
    def largest_weights(self) -> Array:
        """``(bit lines,)`` of all its matrices, in their order."""
        largest = {name: np.zeros(m.outputs, np.float32) for name, m in self.matrices.items()}
        for column in self._columns:
            for block in column.blocks:
                part = largest[block.layer][slice(*block.col_range)]
                held = np.abs(self.recording.weights[block.tile])
                np.maximum(part, held.max(axis=0), out=part)
        return np.concatenate(list(largest.values()))

    @cached_property
    def largest_input(self) -> float:
        """Of all vectors."""
        return max(float(np.abs(self.recording.inputs[tile]).max()) for tile in self.tiles)

    @cached_property
    def _columns(self) -> tuple[BlockColumn, ...]:
        of: dict[tuple[str, int, int], list[Block]] = {}
        for block in self.recording.program.crossbars:
            if block.layer in self.matrices:
                of.setdefault((block.layer, block.col, block.copy), []).append(block)
        return tuple(BlockColumn(tuple(blocks), self._exact(blocks)) for blocks in of.values())

    def _exact(self, blocks: Sequence[Block]) -> Array:
        inputs, weights = self.recording.inputs, self.recording.weights
        products = [inputs[block.tile] @ weights[block.tile] for block in blocks]
        exact: Array = np.sum(products, axis=0, dtype=np.float32)
        return exact

    def error(self, settings: Settings, mended: Collection[Cause] = ()) -> float:
        """Mean square of the outputs' error relative to that of the outputs, on tiles of its own.

        Args:
            settings: What differs from the tiles as they are.
            mended: Causes of error that are mended.
        """
        lines = self._line_errors(settings, mended)
        return float(np.mean([part.sum() / self._squares[name] for name, part in lines.items()]))

    def errors_by_line(self, settings: Settings) -> Errors:
        """``(bit lines,)`` the squares of the errors of every bit line, summed up."""
        return np.concatenate(list(self._line_errors(settings, ()).values()))

    def _line_errors(self, settings: Settings, mended: Collection[Cause]) -> dict[str, Errors]:
        """The same by matrix."""
        maker = MendedTiles(dict.fromkeys(self.tiles, mended))
        program, seed = self.recording.program, self.job.config.seed
        errors = {name: np.zeros(matrix.outputs) for name, matrix in self.matrices.items()}
        for column in self._columns:
            read = np.zeros_like(column.exact)
            for block in column.blocks:
                matrix = self.matrices[block.layer]
                config = self._config(matrix, settings)
                scale = scale_of(replace(matrix, holder=config), self.job.given)
                vectors = program.vectors[block.tile]
                tile = maker.make(config, block, scale, seed, vectors)
                tile.write(self.recording.weights[block.tile])
                tile.begin(None, np.inf)
                read += tile.forward(self.recording.inputs[block.tile], 0)
            difference = np.square(read - column.exact, dtype=np.float64)
            of = errors[column.blocks[0].layer][slice(*column.blocks[0].col_range)]
            of += difference.sum(axis=0)
        return errors

    def _config(self, matrix: Matrix, settings: Settings) -> TileConfig:
        """The tiles of one of its matrices with settings of the layer."""
        config = matrix.tile.model_copy(update=settings)
        if "line_scales" not in settings:
            return config
        before = takewhile(lambda other: other.name != matrix.name, self.matrices.values())
        return with_own_lines(config, matrix, before)

    @cached_property
    def _squares(self) -> dict[str, float]:
        """The squares of the exact outputs, summed up, by matrix."""
        sums = dict.fromkeys(self.matrices, 0.0)
        for column in self._columns:
            whole = np.square(column.exact, dtype=np.float64).sum()
            sums[column.blocks[0].layer] += float(whole)
        return {name: total or 1.0 for name, total in sums.items()}


Step = Callable[[LayerOnTiles, Settings, int], Iterator[Settings]]


def fit(layer: LayerOnTiles) -> Settings:
    """The settings by which the outputs of a layer err least, of those that were tried."""
    best: Settings = {}
    least = layer.error(best)
    for number in range(_ROUNDS):
        for candidates in _STEPS:
            for settings in candidates(layer, best, number):
                tried = {**best, **settings}
                error = layer.error(tried)
                if error < least * (1 - _GAIN):
                    best, least = tried, error
    return best


def _weight_scales(layer: LayerOnTiles, now: Settings, number: int) -> Iterator[Settings]:
    """One scale for the layer."""
    if number:
        return
    yield {"weight_scale": "auto"}
    whole = float(layer.largest_weights.max()) / layer.config.cell.reach
    for factor in _SCALES:
        if whole and not (layer.config.cell.holds_anything and factor < 1):
            yield {"weight_scale": rounded(whole * factor)}


def _line_scales(layer: LayerOnTiles, now: Settings, number: int) -> Iterator[Settings]:
    """A scale for every bit line, each the best of its own."""
    reach, holds_anything = layer.config.cell.reach, layer.config.cell.holds_anything
    largest = layer.largest_weights
    if not largest.any():
        return
    whole = np.where(largest > 0, largest, largest.max()).astype(np.float64) / reach
    if number and now.get("line_scales"):
        start = float(now["weight_scale"]) * np.array(now["line_scales"])
        tried = [start * factor for factor in _FINER]
    else:
        tried = [whole * factor for factor in _LINES]
    if holds_anything:
        tried = [np.maximum(scales, whole) for scales in tried]
    candidates = [_by_line(scales) for scales in tried]
    errors = [layer.errors_by_line({**now, **settings}) for settings in candidates]
    yield _by_line(np.choose(np.argmin(errors, axis=0), tried))


def _by_line(scales: Errors) -> Settings:
    """Scales of every bit line as settings."""
    largest = rounded(float(scales.max()))
    return {
        "weight_scale": largest,
        "line_scales": tuple(rounded(float(scale) / largest) for scale in scales),
    }


def _adc_ranges(layer: LayerOnTiles, now: Settings, number: int) -> Iterator[Settings]:
    """The range of the ADC, whose steps follow."""
    read = now.get("read", layer.config.read)
    if read.adc is None:
        return
    for factor in _FINER if number else _ADC:
        adc = read.adc.model_copy(update={"range": rounded(read.adc.range * factor)})
        yield {"read": read.model_copy(update={"adc": adc})}


def _input_ranges(layer: LayerOnTiles, now: Settings, number: int) -> Iterator[Settings]:
    """The range of the inputs; unless noise management scales them, it also scales them."""
    read = now.get("read", layer.config.read)
    if not layer.largest_input:
        return
    whole = layer.largest_input
    if number and read.input_range is not None:
        whole = read.input_range
    for factor in _FINER if number else _INPUTS:
        yield {"read": read.model_copy(update={"input_range": rounded(whole * factor)})}


_STEPS: tuple[Step, ...] = (_weight_scales, _line_scales, _adc_ranges, _input_ranges)


def rounded(value: float) -> float:
    """Four digits, which a config can show.

    >>> rounded(0.123456)
    0.1235
    """
    return float(f"{value:.4g}")

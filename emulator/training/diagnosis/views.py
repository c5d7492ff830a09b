"""Weights and conductances of a checkpoint: histograms of layers, figures of tiles."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.training.diagnosis.states import LayerState, layer_states
from crossmesh.tiles.analog.array import Factor
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile_config import TileConfig, site_of
from crossmesh.tiles.runtime.measure import TileReport

Array = NDArray[np.float32]
_BINS = 60
_FAR = np.float32(100)  # times the reach of a cell, which no cell holds
_CLOSE = 0.01  # of a cell's own range, to a bound


class Histogram(NamedTuple):
    """Numbers of values between edges.

    Attributes:
        edges: ``(bins + 1,)``.
        counts: ``(bins,)``.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class LayerView:
    """A matrix on tiles as a checkpoint has it.

    Attributes:
        state: Its figures.
        weights: In units of the network.
        arrays: Conductances of each array with wires of its own, as shares of a typical device's
            range, by the factor with which it counts in a weight.
    """

    state: LayerState
    weights: Histogram
    arrays: tuple[tuple[str, Histogram], ...]


@dataclass(frozen=True, kw_only=True)
class TileView:
    """A tile as a checkpoint has it.

    Attributes:
        report: Its row of the table of tiles.
        repeats: Repetitions by bound management per forward read.
        at_bounds: Share of its cells at a bound of theirs; None: they have none.
    """

    report: TileReport
    repeats: float
    at_bounds: float | None


def views_of(
    job: Job, executor: LocalExecutor, reports: list[TileReport], examples: int
) -> tuple[tuple[TileView, ...], tuple[LayerView, ...]]:
    """Every tile and every matrix on tiles that an executor holds.

    Args:
        job: The job.
        executor: Holder of the tiles.
        reports: Its rows of the table of tiles, in tile order.
        examples: Examples trained.
    """
    held: dict[str, list[Any]] = {}
    tiles, at_bounds = [], Counter[str]()
    for report in reports:
        tile = executor.host.tiles[report.tile]
        if tile.block.home is not None:
            continue
        held.setdefault(report.layer, []).append(tile)
        count = cells_at_bounds(job, tile.block, tile)
        size = report.rows * report.cols
        reads = max(1, examples * job.program.vectors[report.tile])
        share = None if count is None else count / size
        tiles.append(TileView(report=report, repeats=report.repeats / reads, at_bounds=share))
        at_bounds[report.layer] += count or 0
    layers = []
    for state in layer_states(job, reports, examples):
        mine = held[state.name]
        size = sum(tile.block.shape[0] * tile.block.shape[1] for tile in mine)
        share = None if state.tile.cell.holds_anything else at_bounds[state.name] / size
        layers.append(
            LayerView(
                state=replace(state, at_bounds=share),
                weights=_histogram([tile.weights for tile in mine]),
                arrays=_conductances(mine, state.tile),
            )
        )
    return tuple(tiles), tuple(layers)


def cells_at_bounds(job: Job, block: Block, tile: Any) -> int | None:
    """Cells of a tile whose weight is at a bound of its own; None: they have none.

    A crossbar of the same devices is asked for far too much in both directions.
    """
    config = job.program.holders[block.tile]
    crossbar = getattr(tile, "crossbar", None)
    if crossbar is None or not isinstance(config, TileConfig) or config.cell.holds_anything:
        return None
    site = site_of(
        config, block, scale=job.program.scales[block.tile], seed=job.config.seed,
        vectors=job.program.vectors[block.tile],
    )  # fmt: skip
    bounds = []
    for sign in (-1, 1):
        same = config.cell.crossbar(site)
        same.write(np.full(block.shape, sign * _FAR * np.float32(config.cell.reach), np.float32))
        bounds.append(same.weights.astype(np.float64))
    lower, upper = bounds
    margin = _CLOSE * (upper - lower)
    held = crossbar.weights
    return int(np.count_nonzero((held <= lower + margin) | (held >= upper - margin)))


def _conductances(tiles: list[Any], config: TileConfig) -> tuple[tuple[str, Histogram], ...]:
    """Of each array of a layer; none where cells are no devices."""
    crossbars = [tile.crossbar for tile in tiles if hasattr(tile, "crossbar")]
    if config.cell.holds_anything or not crossbars:
        return ()
    several = [crossbar.arrays() for crossbar in crossbars]
    whole = np.float32(config.cell.largest_conductance)
    return tuple(
        (_factor(arrays[0][0]), _histogram([conductances / whole for _, conductances in arrays]))
        for arrays in zip(*several, strict=True)
    )


def _factor(factor: Factor) -> str:
    """A factor in words; one that differs from line to line has both signs."""
    if isinstance(factor, np.ndarray):
        return f"±{float(np.abs(factor).mean()):.3g}"
    return f"{factor:+.3g}"


def _histogram(parts: list[Array]) -> Histogram:
    values = np.concatenate([part.ravel() for part in parts])
    counts, edges = np.histogram(values[np.isfinite(values)], _BINS)
    return Histogram(edges, counts)

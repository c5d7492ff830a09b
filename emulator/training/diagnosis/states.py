"""Layers as a run has left them, and what their cells do at a pulse."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossmesh.common.random import Stream
from crossmesh.emulator.compiler.job import Job
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.analog.update import UpdateConfig
from crossmesh.tiles.runtime.measure import TileReport

_SHAPE = (16, 32)  # cells whose steps are looked at
_PULSES = 64  # of each, up and down
_WAY = 0.1  # of the reach of a cell, which these pulses move it by, at most
_ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)
_RATE = 1e3  # of updates, so large that every train holds its one pulse


@dataclass(frozen=True, kw_only=True)
class LayerState:
    """A matrix on tiles as a run has left it.

    Attributes:
        name: Name of the matrix.
        tile: Its tiles.
        scale: Weight of the network per unit of normalised conductance.
        deviation: Standard deviation of its weights, in units of the network.
        pulses: Pulses sent to each line, per crosspoint of the tile.
        repeats: Repetitions by bound management per forward read.
        at_bounds: Share of its cells at a bound of theirs; None: not looked at.
    """

    name: str
    tile: TileConfig
    scale: float
    deviation: float
    pulses: float
    repeats: float
    at_bounds: float | None = None

    @property
    def steps_across(self) -> float:
        """Pulses across the range of a typical cell, each as large as at its middle."""
        return 2 * self.tile.cell.reach / self.tile.cell.granularity

    @property
    def steps_in_spread(self) -> float:
        """Pulses that move a weight by the standard deviation of all."""
        return max(self.deviation, 1e-12) / (self.scale * self.tile.cell.granularity)


def layer_states(job: Job, reports: Sequence[TileReport], examples: int) -> list[LayerState]:
    """Every matrix on tiles, from the reports of its tiles.

    Args:
        job: The job.
        reports: Rows of the table of tiles, in tile order.
        examples: Examples trained.
    """
    blocks, program, found = job.program.blocks, job.program, {}
    of: dict[str, list[TileReport]] = {}
    for report in reports:
        if blocks[report.tile].home is None:
            of.setdefault(report.layer, []).append(report)
    for name, mine in of.items():
        tile, first = job.network.matrices[name].tile, mine[0].tile
        sizes = np.array([report.rows * report.cols for report in mine])
        means = np.array([report.weight_mean for report in mine])
        squares = np.array([report.weight_std**2 for report in mine]) + means**2
        deviation = np.average(squares, weights=sizes) - np.average(means, weights=sizes) ** 2
        reads = max(1, examples * program.vectors[first])
        found[name] = LayerState(
            name=name, tile=tile, scale=program.scales[first],
            deviation=float(np.sqrt(max(deviation, 0.0))),
            pulses=float(np.sum([report.pulses for report in mine]) / sizes.sum()),
            repeats=float(np.mean([report.repeats for report in mine])) / reads,
        )  # fmt: skip
    return list(found.values())


def imbalance(cell: Cell, seed: int = 0) -> float:
    """Up less down step at weight 0, relative to their mean: the mean magnitude over cells.

    Measured by pulses on an emulated crossbar; their noise leaves a few percent.
    """
    n = int(np.clip(_WAY * cell.reach / cell.granularity, 1, _PULSES))
    moved = {sign: np.zeros(_SHAPE) for sign in (1, -1)}
    crossbar = build(cell, _SHAPE, Stream(seed=seed, owner=0), _ONE_PULSE)
    for turn in range(_PULSES // n):
        for sign, total in moved.items():
            crossbar.write(np.zeros(_SHAPE, np.float32))
            before = crossbar.weights.astype(np.float64)
            x = np.ones((n, _SHAPE[0]), np.float32)
            d = np.full((n, _SHAPE[1]), sign, np.float32)
            crossbar.update(x, d, _RATE, (2 * turn + (sign < 0)) * n)
            total += crossbar.weights - before
    up, down = moved[1], -moved[-1]
    mean = (up + down) / 2
    known = mean > 0.1 * mean.mean()  # cells that move at all
    if not known.any():
        return 0.0
    return float(np.median(np.abs(up - down)[known] / mean[known]))

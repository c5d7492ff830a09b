"""Where each tile lies on the floor plan."""

import numpy as np
from numpy.typing import NDArray

from emulator.chip.config import Chip
from tiles.plan import edges
from tiles.program import Operation

_PASSES = 8  # over all tiles; most plans settle within a few
_MOST = 1 << 22  # places * tiles beyond which one pass has to do


def place_tiles(chip: Chip, operations: list[Operation], n_tiles: int) -> tuple[int, ...]:
    """Node of the interconnect that each tile lies at.

    ``traffic`` begins with the snake and swaps two places as long as that makes values times links
    fewer; the plan does not depend on anything but the program and the chip.
    """
    width, height = chip.grid(n_tiles)
    if chip.placement == "row_major" or chip.topology in {"tree", "point_to_point"}:
        return tuple(range(n_tiles))
    nodes = np.arange(width * height).reshape(height, width)
    nodes[1::2] = nodes[1::2, ::-1]
    snake = nodes.ravel()
    if chip.placement == "snake":
        return tuple(snake[:n_tiles].tolist())
    return tuple(_improved(snake, _traffic(operations), width, n_tiles)[:n_tiles].tolist())


def _traffic(operations: list[Operation]) -> dict[tuple[int, int], int]:
    """Values per example between every two tiles."""
    n_tiles = 1 + max(operation.tile for operation in operations)
    traffic: dict[tuple[int, int], int] = {}
    for edge in edges(operations, tuple(range(n_tiles))):
        pair = min(edge.source, edge.target), max(edge.source, edge.target)
        columns = sum(take.stop - take.start for take in edge.parts)
        traffic[pair] = traffic.get(pair, 0) + columns
    return traffic


def _improved(
    places: NDArray[np.int64], traffic: dict[tuple[int, int], int], width: int, n_tiles: int
) -> NDArray[np.int64]:
    """Places after swaps that shorten the ways; those beyond ``n_tiles`` are empty."""
    places = places.copy()
    if not traffic:
        return places
    one, two = np.array(list(traffic)).T
    values = np.array(list(traffic.values()), np.float64)
    start, end = np.concatenate([one, two]), np.concatenate([two, one])
    weight = np.concatenate([values, values])
    order = np.argsort(start, kind="stable")
    start, end, weight = start[order], end[order], weight[order]
    first = np.searchsorted(start, np.arange(n_tiles + 1))
    for _ in range(_PASSES if len(places) * n_tiles <= _MOST else 1):
        swapped = False
        for tile in range(n_tiles):
            near = slice(first[tile], first[tile + 1])
            x, y = places % width, places // width
            ways = np.abs(x[end[near], None] - x) + np.abs(y[end[near], None] - y)
            mine = weight[near] @ ways  # if this tile lay at the place of each other
            away = np.abs(x[end] - x[tile]) + np.abs(y[end] - y[tile])
            now = np.abs(x[end] - x[start]) + np.abs(y[end] - y[start])
            theirs = np.bincount(start, weight * (away - now), len(places))
            between = np.bincount(end[near], weight[near], len(places))
            distance = np.abs(x - x[tile]) + np.abs(y - y[tile])
            gain = mine - mine[tile] + theirs + 2 * between * distance
            gain[tile] = 0
            best = int(np.argmin(gain))
            if gain[best] < -1e-9:
                places[[tile, best]] = places[[best, tile]]
                swapped = True
        if not swapped:
            break
    return places

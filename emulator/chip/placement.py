"""Placement of tiles on the floor plan, and of digital memories beside tiles."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.chip.messages import bits_of, flits_of, messages, numbers_of
from crossmesh.emulator.chip.summing import groups, rest, unit_of
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc import Topology
from crossmesh.interconnect.noc.annealing import MOST_ROADS, Sent, anneal
from crossmesh.interconnect.noc.models import Watch, unwatched
from crossmesh.interconnect.schedule import Schedule
from crossmesh.tiles.runtime.plan import edges, in_order, kind_of
from crossmesh.tiles.runtime.program import Operation, Program, Take

_PASSES = 8  # over all tiles; most plans settle within a few
_MOST = 1 << 22  # places * tiles beyond which one pass has to do


class Placed(NamedTuple):
    """A program on the places of a chip.

    Attributes:
        program: The program, whose digital memories lie beside the tiles that are near.
        place: Node of the interconnect that each tile lies at.
    """

    program: Program
    place: tuple[int, ...]


def place_program(  # noqa: PLR0913  because what is timed is placed
    program: Program,
    chip: Chip,
    schedule: Schedule,
    micro_batch: int,
    *,
    topology: Topology | None = None,
    sites: tuple[int, ...] | None = None,
    seed: int = 0,
    watch: Watch = unwatched,
) -> Placed:
    """Places by ``chip.placement``.

    ``annealed`` also chooses the tile that each digital memory lies beside. Interconnects that are
    too large for it are placed by ``traffic``.

    Args:
        program: The program.
        chip: The chip.
        schedule: Order of the slots.
        micro_batch: Examples that move together.
        topology: The interconnect; by default that of the program alone.
        sites: Nodes that the program may take, in the order in which they fill; by default all.
        seed: Seed of the annealing.
        watch: Called with the moves of the annealing that are done, and all.

    Raises:
        ValueError: If the chip cannot hold the program.
    """
    n_tiles = len(program.crossbars)
    topology = topology or chip.interconnect(n_tiles)
    operations = in_order(program, schedule)
    is_small = topology.n_routers * topology.n_nodes <= MOST_ROADS
    if chip.placement != "annealed" or not is_small:
        if sites is not None:
            return Placed(program, sites[:n_tiles])
        return Placed(program, place_tiles(chip, operations, program.units))
    order = filled(chip, n_tiles) if sites is None else np.array(sites)
    guests = [block for block in program.blocks if block.home is not None]
    blocks = [*program.crossbars, *guests]
    rank = {block.tile: i for i, block in enumerate(blocks)}
    start = np.array([order[program.units[block.tile]] for block in blocks])
    sent = _sent(operations, rank, chip, micro_batch)
    nodes = anneal(topology, sent, start, n_tiles, np.sort(order), seed, watch).tolist()
    tile_at = {node: block.tile for node, block in zip(nodes, program.crossbars, strict=False)}
    homes = {block.tile: tile_at[nodes[rank[block.tile]]] for block in guests}
    near = tuple(replace(block, home=homes.get(block.tile, block.home)) for block in program.blocks)
    return Placed(replace(program, blocks=near), tuple(nodes[:n_tiles]))


def _sent(
    operations: list[Operation], rank: dict[int, int], chip: Chip, micro_batch: int
) -> list[Sent]:
    """Messages between blocks, as if each had a place to itself."""
    height = {op.gives: op.positions for op in operations if op.gives}
    units = tuple(rank[number] for number in range(len(rank)))

    def flits(parts: Sequence[Take], kind: str) -> int:
        bits = sum(numbers_of(take, height) for take in parts) * bits_of(chip, kind)
        return sum(flits_of(chip, bits * micro_batch))

    added = [(op, groups(chip, op, units)) for op in operations]
    alone = [replace(op, takes=rest(op, of_op)) for op, of_op in added]
    sums = [
        Sent(
            source=units[op.tile],
            targets=sorted({unit_of(take.value, units) for take in group}),
            flits=flits(group[:1], kind_of(group[0].value)),
            gathers=True,
        )
        for op, of_op in added
        for group in of_op
    ]
    others = [
        Sent(each.source, each.targets, flits(each.parts, each.kind))
        for each in messages(alone, units, multicast=chip.multicast)
    ]
    return others + sums


def filled(chip: Chip, n_tiles: int) -> NDArray[np.int64]:
    """Every node, in the order in which tiles fill them: on a grid, back and forth in rows."""
    width, height = chip.grid(n_tiles)
    nodes = np.arange(width * height).reshape(height, width)
    if chip.topology_kind.is_grid:
        nodes[1::2] = nodes[1::2, ::-1]
    return nodes.ravel()


def place_tiles(chip: Chip, operations: list[Operation], units: tuple[int, ...]) -> tuple[int, ...]:
    """Node of the interconnect that each tile lies at, by its number or by swaps.

    ``units`` says which tile of the chip each number in an operation is, or is placed beside.
    ``traffic`` begins with the snake and swaps two places as long as that makes values times links
    fewer; the plan does not depend on anything but the program and the chip.
    """
    n_tiles = 1 + max(units)
    if chip.placement == "row_major" or not chip.topology_kind.is_grid:
        return tuple(range(n_tiles))
    snake = filled(chip, n_tiles)
    if chip.placement == "snake":
        return tuple(snake[:n_tiles].tolist())
    width, _ = chip.grid(n_tiles)
    return tuple(_improved(snake, _traffic(operations, units), width, n_tiles)[:n_tiles].tolist())


def _traffic(operations: list[Operation], units: tuple[int, ...]) -> dict[tuple[int, int], int]:
    """Values per example between every two tiles."""
    height = {op.gives: op.positions for op in operations if op.gives}
    traffic: dict[tuple[int, int], int] = {}
    for edge in edges(operations, units):
        pair = min(edge.source, edge.target), max(edge.source, edge.target)
        values = sum((take.stop - take.start) * height[take.value] for take in edge.parts)
        traffic[pair] = traffic.get(pair, 0) + values
    return traffic


def _improved(
    places: NDArray[np.int64], traffic: dict[tuple[int, int], int], width: int, n_tiles: int
) -> NDArray[np.int64]:
    """Places after swaps that shorten the ways; those beyond ``n_tiles`` are empty."""
    if not traffic:
        return places
    plan = _Plan(places, traffic, width, n_tiles)
    for _ in range(_PASSES if len(places) * n_tiles <= _MOST else 1):
        swaps = [plan.improve(tile) for tile in range(n_tiles)]
        if not any(swaps):
            break
    return plan.places


class _Plan:
    """A floor plan that swaps change.

    The cost of a tile is the sum over its partners of values times links. On a grid that is a sum
    over columns and one over rows, so two small tables say what a tile costs anywhere. All are
    whole numbers, which float64 adds exactly in any order.

    Args:
        places: Node of each tile; those beyond ``n_tiles`` are empty.
        traffic: Values between pairs of tiles.
        width: Width of the floor plan, in tiles.
        n_tiles: Number of tiles.
    """

    def __init__(
        self,
        places: NDArray[np.int64],
        traffic: dict[tuple[int, int], int],
        width: int,
        n_tiles: int,
    ) -> None:
        self.places = places.copy()
        self._y, self._x = np.divmod(self.places, width)
        one, two = np.array(list(traffic)).T
        values = np.array(list(traffic.values()), np.float64)
        tile, partner = np.concatenate([one, two]), np.concatenate([two, one])
        order = np.argsort(tile, kind="stable")
        tile, self._partner = tile[order], partner[order]
        self._values = np.concatenate([values, values])[order]
        self._first = np.searchsorted(tile, np.arange(n_tiles + 1))
        self._tables = tuple(  # (tiles, columns) and (tiles, rows): cost at each of them
            _costs(tile, along[self._partner], self._values, (n_tiles, int(along.max()) + 1))
            for along in (self._x, self._y)
        )

    def improve(self, tile: int) -> bool:
        """Swap a tile with what lies where it gains the most, if it gains anything."""
        across, down = self._tables
        x, y, n = self._x, self._y, len(across)
        near = slice(self._first[tile], self._first[tile + 1])
        gain = across[tile][x] + down[tile][y]  # this tile at the place of each other
        gain -= gain[tile]
        every = np.arange(n)
        gain[:n] += across[:, x[tile]] + down[:, y[tile]]  # each other at the place of this one
        gain[:n] -= across[every, x[:n]] + down[every, y[:n]]
        partner = self._partner[near]
        links = np.abs(x[partner] - x[tile]) + np.abs(y[partner] - y[tile])
        gain[partner] += 2 * self._values[near] * links  # a swap leaves them as far apart
        gain[tile] = 0
        best = int(np.argmin(gain))
        if gain[best] >= 0:
            return False
        self._swap(tile, best)
        return True

    def _swap(self, one: int, two: int) -> None:
        """Exchange the places of two tiles, or of a tile and an empty place."""
        both = [one, two]
        for along, costs in zip((self._x, self._y), self._tables, strict=True):
            every = np.arange(costs.shape[1])
            for moved, to in ((one, along[two]), (two, along[one])):
                if moved < len(costs):
                    near = slice(self._first[moved], self._first[moved + 1])
                    change = np.abs(every - to) - np.abs(every - along[moved])
                    costs[self._partner[near]] += np.outer(self._values[near], change)
        for array in (self.places, self._x, self._y):
            array[both] = array[both[::-1]]


def _costs(
    tile: NDArray[np.int64],
    partner_at: NDArray[np.int64],
    values: NDArray[np.float64],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """Values times distance of each tile to all of its partners, at each column or row."""
    there = np.bincount(tile * shape[1] + partner_at, values, shape[0] * shape[1]).reshape(shape)
    every = np.arange(shape[1], dtype=np.float64)
    return np.asarray(there @ np.abs(every - every[:, None]))

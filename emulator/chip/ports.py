"""Ports at which examples come to a chip."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.schedule import Phase
from crossmesh.tiles.runtime.program import Kind, Operation, Program


def port_tiles(chip: Chip, place: tuple[int, ...], n_places: int) -> tuple[int, ...] | None:
    """Tiles at whose routers ``chip.io_ports`` lie, evenly spaced along the edge of the floor plan.

    A topology whose places lie in no grid has no edge: there they are spaced over all tiles.

    Args:
        chip: The chip.
        place: Node of the interconnect that each tile lies at.
        n_places: Places of the floor plan, on some of which other networks may lie.

    Returns:
        The tiles; None: each input has its port where it is taken.

    Raises:
        ValueError: If there are fewer places.
    """
    if chip.io_ports is None:
        return None
    tiles = _along_the_edge(chip, place, n_places)
    if chip.io_ports > len(tiles):
        raise ValueError(
            f"chip.io_ports must be at most the {len(tiles)} tiles at the edge of the floor plan "
            f"that a network has there, got {chip.io_ports}"
        )
    return tuple(tiles[i * len(tiles) // chip.io_ports] for i in range(chip.io_ports))


def _along_the_edge(chip: Chip, place: tuple[int, ...], n_places: int) -> list[int]:
    """Tiles at the edge, clockwise from the first place."""
    if not chip.topology_kind.is_grid:
        return list(range(len(place)))
    width, height = chip.grid(n_places)
    top = [(0, x) for x in range(width)]
    right = [(y, width - 1) for y in range(1, height)]
    bottom = [(height - 1, x) for x in range(width - 2, -1, -1)]
    left = [(y, 0) for y in range(height - 2, 0, -1)]
    tile_at = {node: tile for tile, node in enumerate(place)}
    nodes = dict.fromkeys(y * width + x for y, x in (*top, *right, *bottom, *left))
    return [tile_at[node] for node in nodes if node in tile_at]


def port_cycles(chip: Chip, numbers: int, ports: int) -> int:
    """Cycles in which each of some ports brings its part of so many numbers."""
    return -(-numbers * chip.activation_bits // (ports * chip.flit_bits))


def port_bits(
    program: Program, chip: Chip, operations: Sequence[Operation], ports: Sequence[int] | None
) -> Iterator[tuple[int, int]]:
    """Each port, and the bits per example that it brings: of inputs, and of targets beside each.

    Args:
        program: The program.
        chip: The chip.
        operations: Operations of a micro-batch.
        ports: Tiles at whose routers ports lie; None: no bits are counted.
    """
    ports = ports or ()
    inputs = [each for each in operations if each.kind is Kind.INPUT]
    numbers = sum(each.width * each.positions + program.outputs for each in inputs)
    bits, n = numbers * chip.activation_bits, len(ports)
    for i, port in enumerate(ports):
        yield port, (i + 1) * bits // n - i * bits // n


def behind_reads(
    operations: Sequence[Operation], first: Sequence[int], buffers: int
) -> tuple[tuple[int, int], ...]:
    """What a port waits for: an input buffer is free when what it held has been read.

    Args:
        operations: Operations of a micro-batch.
        first: First task of each.
        buffers: Micro-batches that fit.

    Returns:
        Tasks that read inputs, and how many micro-batches before.
    """
    inputs = {each.gives for each in operations if each.kind is Kind.INPUT}
    return tuple(
        (task, buffers)
        for operation, task in zip(operations, first, strict=True)
        if operation.phase is Phase.FORWARD and inputs & {take.value for take in operation.takes}
    )


def from_outside(
    operations: Sequence[Operation], units: tuple[int, ...]
) -> tuple[list[Operation], tuple[int, ...]]:
    """Operations and units as if a place beyond the tiles made the inputs."""
    outside = len(units)
    moved = [replace(op, tile=outside) if op.kind is Kind.INPUT else op for op in operations]
    return moved, (*units, 1 + max(units))

"""Boards that hold devices of a program: whether they can, and how long they take."""

from collections.abc import Iterator

import numpy as np

from crossmesh.common.durations import duration
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.job import Job
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.board_devices import known_ends
from crossmesh.tiles.analog.on_board import TileBoard
from crossmesh.tiles.analog.tile_config import TileConfig, board_of, site_of
from crossmesh.tiles.boards.access import BoardError
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.hardware import Description
from crossmesh.tiles.runtime.program import Program

_REACHED = 0.5  # of the range of a device, below which it is said
_SAID_S = 1.0  # of work on a board, from which its time is said


def on_boards(program: Program) -> list[tuple[Block, TileConfig]]:
    """Blocks and configs of tiles with devices on boards.

    Raises:
        ConfigError: If the arrays of an algorithm or a cell cannot lie there.
    """
    pairs = zip(program.crossbars, program.tiles, strict=True)
    found = [(block, tile) for block, tile in pairs if tile.array is not None]
    for block, tile in found:
        board_of(tile, block)
    return found


def check_new_transcripts(program: Program) -> None:
    """Refuse to add a new run to the transcript of another one.

    Raises:
        ConfigError: If a tile's transcript is there already.
    """
    for block, tile in on_boards(program):
        assert tile.array is not None
        path = tile.array.access(block.tile).transcript
        if path is not None and (path.exists() or path.parent.is_file()):
            raise ConfigError(
                f"tile.array.transcript must be a folder without one of another run, got {path}"
            )


def boards_notice(job: Job, *, examples: int) -> Iterator[str]:
    """What a user should know of boards, a line each: what they are and how long they take.

    Args:
        job: The run.
        examples: How many are trained on.

    Raises:
        BoardError: If a board cannot be reached, and the run is in this process.
        ConfigError: If a board cannot hold what it should.
    """
    tiles: dict[str, list[tuple[Block, TileConfig]]] = {}
    for block, tile in on_boards(job.program):
        assert tile.array is not None
        tiles.setdefault(tile.array.address, []).append((block, tile))
    for address, held in tiles.items():
        if address_of(address).kind == "serial" and len(held) > 1:
            raise ConfigError(
                "tile.array.address must be unix, tcp or curve for devices of several tiles, as a "
                f"serial line has one user; got {address} for {len(held)} tiles, which tile.rows "
                "and tile.cols may make one"
            )
        if address_of(address).kind != "replay":  # which may be a folder, a file for each tile
            _check_apart(address, held)
        try:
            described = _described(held[0])
        except BoardError as error:
            if job.config.engine.kind == "local":
                raise
            yield f"{error}, from here; its tiles' hosts will try"
            continue
        n = f"{len(held)} tile{'s' * (len(held) > 1)}"
        yield f"the board {described.name} at {address} holds devices of {n}; bits depend on it"
        yield from dict.fromkeys(
            line for _, tile in held for line in _out_of_reach(tile, described)
        )
        seconds = sum(_seconds(job, *each, described, examples) for each in held)
        if seconds > _SAID_S:
            yield f"writing and reading its word lines will take about {duration(seconds)}"


def _out_of_reach(tile: TileConfig, described: Description) -> Iterator[str]:
    """What the devices of a tile are to hold and the board cannot, if that is much."""
    assert tile.array is not None
    for device in tile.cell.devices:
        low, high = tile.array.siemens or known_ends(device) or (0.0, 0.0)
        reached = min(high, described.on_siemens) - max(low, described.off_siemens)
        if high and reached < _REACHED * (high - low):
            yield (
                f"tile.array.siemens: devices are to hold {low:.3g} to {high:.3g} S; the board "
                f"{described.name} says it reaches {described.off_siemens:.3g} to "
                f"{described.on_siemens:.3g} S"
            )


def _check_apart(address: str, held: list[tuple[Block, TileConfig]]) -> None:
    """Refuse arrays that would lie on the same devices."""
    placed = [(block, area) for block, tile in held for area in _board(tile, block).areas]
    rows, cols, n_rows, n_cols = np.array([area for _, area in placed]).T
    for k, (block, (row, col, height, width)) in enumerate(placed):
        meet = (rows < row + height) & (row < rows + n_rows)
        meet &= (cols < col + width) & (col < cols + n_cols)
        other = int(np.argmax(meet))
        if other < k:
            raise ConfigError(
                f"tile.array.region must keep arrays apart on the board {address}, got the same "
                f"devices for {placed[other][0]} and {block}"
            )


def _described(tile: tuple[Block, TileConfig]) -> Description:
    block, config = tile
    assert config.array is not None
    client = BoardClient(config.array.access(block.tile)._replace(transcript=None))
    client.close()
    return client.description


def _seconds(
    job: Job, block: Block, tile: TileConfig, described: Description, examples: int
) -> float:
    """Time that a board takes for a run: each line is written once first, then as training goes."""
    vectors = job.program.vectors[block.tile]
    costs = tile.cell.transfer_costs(site_of(tile, block, vectors=vectors))
    written = [each.lines for each in costs if each.pulsed or each.written]
    lines = sum(written) if written else block.shape[0]
    total = len(_board(tile, block).areas) * (block.shape[0] + lines * vectors * examples)
    return total * (described.row_write_s + described.row_read_s)


def _board(tile: TileConfig, block: Block) -> TileBoard:
    board = board_of(tile, block)
    assert board is not None
    return board

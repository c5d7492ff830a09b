"""The command ``crossmesh board serve``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.emulator.cli.board_serving import At, Keys, Token, serve_board, served_at


def board_serve(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="YAML file of the instruments and their commands."),
    ],
    at: At = "unix:board.sock",
    token: Token = None,
    keys: Keys = None,
) -> None:
    """Serve laboratory instruments as a board until Ctrl-C, by PyVISA.

    FILE names the VISA resources of a source-measure unit, a switch matrix or whatever else can
    read and pulse one device, and the commands that they are sent to connect a device, measure its
    current and pulse it. Devices are read and pulsed one by one.

    Example: [bold]crossmesh board serve examples/boards/instruments.yaml[/bold], which is a
    Keithley 2450 with a matrix; then [bold]crossmesh board check unix:board.sock[/bold].
    """
    from crossmesh.emulator.boards.instruments import instrument_board
    from crossmesh.emulator.boards.visa import VisaBoard

    where = served_at(at, token, keys)
    with VisaBoard(instrument_board(file)) as board:
        serve_board(board, where, token, keys)

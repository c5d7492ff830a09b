"""The command ``crossmesh runs``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.emulator.cli.options import Json
from crossmesh.emulator.cli.printing import print_json, print_table
from crossmesh.emulator.reporting.listing import HEAD, as_json, cells, readable, runs_in


def runs_command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with runs, also in folders below it.")
    ] = Path("runs"),
    json_: Json = False,
) -> None:
    """List runs, newest first: accuracy beside the float32 twin's, epochs, state, time and date.

    Example: [bold]crossmesh runs[/bold].
    """
    found, damaged = readable(runs_in(folder))
    for reason in damaged:
        typer.echo(f"left out: {reason}", err=True)
    if json_:
        print_json([as_json(record) for record in found])
    else:
        print_table(HEAD, (cells(record, folder) for record in found), wraps=False)

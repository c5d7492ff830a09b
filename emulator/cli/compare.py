"""The command ``crossmesh compare``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.common.picture_files import check_picture
from crossmesh.emulator.cli.options import Json
from crossmesh.emulator.cli.printing import print_json, print_table
from crossmesh.emulator.reporting.record import RunRecord


def compare_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Directories of runs.")],
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the tests of all runs: a .png, .svg or .pdf file."),
    ] = None,
    json_: Json = False,
) -> None:
    """Show the figures of several runs side by side, and the fields in which their configs differ.

    Example: [bold]crossmesh compare runs/digits runs/mine --plot both.png[/bold].
    """
    if len(runs) < 2:
        raise ConfigError(f"RUN must be given at least twice to compare, got {runs[0]}")
    records = [RunRecord.existing(run) for run in runs]
    if plot is not None:
        check_picture(plot, "--plot")
    from crossmesh.emulator.reporting import comparing  # Matplotlib takes a second to import

    names, differences = comparing.labels(records), comparing.differences(records)
    if json_:
        print_json({
            "runs": [{"path": str(one.path), **one.summary} for one in records],
            "differences": {row.name: dict(zip(names, row.values, strict=True))
                            for row in differences},
        })  # fmt: skip
    else:
        figures = comparing.compared(records)
        print_table(("figure", *names), ((row.name, *row.values) for row in figures), wraps=False)
        if differences:
            rows = ((row.name, *row.values) for row in differences)
            print_table(("field that differs", *names), rows, wraps=False)
        else:
            typer.echo("the configs are alike")
    if plot is not None:
        from crossmesh.common.figures import save

        save(comparing.curves_of(records), plot)
        if not json_:
            typer.echo(f"plot: {plot}")

"""The command ``crossmesh plot``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.common.picture_files import check_picture
from crossmesh.emulator.cli.options import Run
from crossmesh.emulator.reporting.record import RunRecord


def plot_command(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .png, .svg or .pdf file; by default RUN/curve.png."),
    ] = None,
) -> None:
    """Draw loss and accuracy of a run against epochs, also of one that is running.

    Example: [bold]crossmesh plot runs/digits --out digits.pdf[/bold].
    """
    record = RunRecord.existing(run)
    picture = out or run / "curve.png"
    check_picture(picture, "--out")
    from crossmesh.common.figures import save  # Matplotlib takes a second to import
    from crossmesh.emulator.reporting.curves import curve_of

    save(curve_of(record), picture)
    typer.echo(f"plot: {picture}")

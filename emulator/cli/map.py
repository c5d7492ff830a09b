"""The command ``crossmesh map``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.common.picture_files import check_picture
from crossmesh.emulator.cli.options import Config, Set
from crossmesh.emulator.cli.printing import print_json
from crossmesh.emulator.compiler.job import prepare_chip
from crossmesh.emulator.config.loading import load_config, overrides
from crossmesh.emulator.layout.layout import lay_out
from crossmesh.emulator.layout.table import layout_json, print_layout


def map_command(
    config: Config,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder with the files of the data set.")
    ] = None,
    set_: Set = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the floor plan into a .png, .svg or .pdf file."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show how the layers of CONFIG are mapped to the tiles of its chip.

    One row per layer, and per matrix of a layer that has several. Matrix: word lines x bit
    lines, the bias line with them if there is one. Vectors: how many of an example drive it. Tiles:
    rows x columns of blocks, x copies. Used: share of the crosspoints of those tiles. Weights: +
    the numbers of a digital bias.

    Examples: [bold]crossmesh map mnist-lenet5[/bold], or
    [bold]crossmesh map mnist-lenet5 --set mapping.vectors_per_tile=100 --plot map.png[/bold].
    """
    if plot:
        check_picture(plot, "--plot")
    given = overrides({"data.directory": data_dir} if data_dir else {})
    job = prepare_chip(load_config(config, [*given, *(set_ or ())]))
    layout = lay_out(job)
    print_json(layout_json(layout)) if json_ else print_layout(layout)
    if plot:
        from crossmesh.emulator.layout.plot import (
            draw_layout,  # Matplotlib takes a second to import
        )

        draw_layout(layout, job, plot)

"""The command ``crossmesh map``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.emulator.cli.printing import checked_picture, print_json
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config, overrides
from crossmesh.emulator.layout.layout import lay_out
from crossmesh.emulator.layout.table import layout_json, print_layout


def map_command(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped config.")
    ],
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder with the files of the data set.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Set a field of the config; may be repeated."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the floor plan, a PNG or SVG file.")
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
    picture = checked_picture(plot) if plot else None
    given = overrides({"data.directory": data_dir} if data_dir else {})
    job = prepare(load_config(config, [*given, *(set_ or ())]))
    layout = lay_out(job)
    print_json(layout_json(layout)) if json_ else print_layout(layout)
    if picture:
        from crossmesh.emulator.layout.plot import (
            draw_layout,  # Matplotlib takes a second to import
        )

        draw_layout(layout, job, picture)

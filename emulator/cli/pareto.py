"""The command ``crossmesh pareto``."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from crossmesh.common.errors import ConfigError
from crossmesh.common.picture_files import PictureKind
from crossmesh.common.refusals import sentence
from crossmesh.emulator.cli.options import Json
from crossmesh.emulator.cli.printing import print_json, print_table
from crossmesh.emulator.study.fronts import Front
from crossmesh.emulator.study.pareto import caption, front_cells, leave_fronts, read_results


def pareto_command(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="Folder of a study, or its results.parquet.")
    ],
    by: Annotated[
        list[str],
        typer.Option(
            metavar="A,B[,C]",
            help="Two or three columns, each perhaps with :min or :max; may be repeated.",
        ),
    ],
    each: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Compare only rows that are alike in this column."),
    ] = None,
    plot_format: Annotated[PictureKind, typer.Option(help="Format of the pictures.")] = "png",
    json_: Json = False,
) -> None:
    """Pareto fronts of a study's results: the runs that no other betters in every column.

    Examples:
    [bold]crossmesh pareto studies/digits --by energy_j_per_example,test_accuracy[/bold]

    [bold]crossmesh pareto studies/digits --by area_mm2,interval_s,test_accuracy:max[/bold]

    Of accuracies and rates more is better, of all else less, unless :min or :max says otherwise.
    Seeds are averaged. Table (pareto.parquet) and pictures lie beside the results.
    """
    table = read_results(results)
    folder = results if results.is_dir() else results.parent
    found = leave_fronts(table, [_front(text, each) for text in by], folder, plot_format)
    if json_:
        print_json([{"front": str(one.front), "each": one.each, "runs": one.best} for one in found])
        return
    for front in found:
        head, *rows = front_cells(front)
        print_table(head, rows)
        typer.echo(caption(front))
    typer.echo(f"table and pictures: {folder}")


def _front(text: str, each: str | None) -> Front:
    try:
        return Front(by=tuple(text.split(",")), each=each)
    except ValidationError as error:
        raise ConfigError(sentence(error, Front)) from None

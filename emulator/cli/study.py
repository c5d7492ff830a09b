"""The command ``crossmesh study``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from typer.core import TyperCommand

from crossmesh.common.supervision import reports
from crossmesh.emulator.cli.catalogue import studies
from crossmesh.emulator.cli.printing import print_configs, print_json, print_table
from crossmesh.emulator.cli.progress import display
from crossmesh.emulator.config.loading import overrides
from crossmesh.emulator.study import Study, load_study, run_study
from crossmesh.emulator.study.table import cells, failures, summaries


class StudyHelp(TyperCommand):
    """Lists the shipped studies below its help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, then the studies."""
        super().format_help(ctx, formatter)
        Console().print("Shipped studies", style="bold")
        print_configs(studies())


def study_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    context: typer.Context,
    study: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY|CONFIG...", help="A study's file or name, or configs to compare."
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0,1,2", help="Seeds; every run is repeated for each.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A.B=[C,D]",
            help="Repeat every run for each value; A.B=C.D=[E,F] sets two fields; may be repeated.",
        ),
    ] = None,
    one_at_a_time: Annotated[
        bool | None,
        typer.Option(
            "--one-at-a-time/--every-combination",
            help="Vary each field alone around the config as it is, or all with each other.",
        ),
    ] = None,
    chip_only: Annotated[
        bool | None,
        typer.Option(
            "--chip-only/--train", help="Report time, energy and area of chips; train nothing."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Set a field in all runs; may be repeated."),
    ] = None,
    baseline: Annotated[
        bool | None,
        typer.Option("--baseline/--no-baseline", help="Train the same networks in float32 too."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Runs at the same time; by default one per CPU."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="local|ray", help="Where the tiles run; by default local."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder with the files of the data sets.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Output directory; by default studies/NAME.")
    ] = None,
    plot_format: Annotated[
        Literal["png", "svg"], typer.Option(help="Format of the plots.")
    ] = "png",
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Compare configs over several seeds: a table and plots with mean and spread.

    STUDY is a YAML file with a list of runs, or the name of a shipped study.
    Configs, one or more, make a study too. A single name that is both means
    the study.

    [bold]crossmesh study digits-devices[/bold]

    [bold]crossmesh study mnist-constant-step mnist-soft-bounds --seeds 0,1,2[/bold]

    [bold]crossmesh study digits --vary tile.cell.step=[0.001,0.003,0.01][/bold]

    [bold]crossmesh study digits --vary tile.rows=tile.cols=[32,64] --chip-only[/bold]

    The runs are made side by side. If it is interrupted or killed, run the same
    command again to resume; finished runs are not repeated.
    """
    if not study:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    options = {"engine.kind": engine, "data.directory": data_dir and str(data_dir)}
    given = overrides({field: value for field, value in options.items() if value is not None})
    wanted = load_study(*study).changed(
        [*given, *(set_ or ())],
        vary or (),
        seeds,
        baseline=baseline,
        one_at_a_time=one_at_a_time,
        chip_only=chip_only,
    )
    directory = output or Path("studies") / wanted.name
    reports.resumable(reports.this_command())
    with display(quiet=quiet) as callbacks:
        table = run_study(
            wanted, directory, jobs=jobs, callbacks=callbacks, plot_format=plot_format
        )
    _print(wanted, directory, table, json_=json_)
    if failures(table):
        raise typer.Exit(1)


def _print(study: Study, directory: Path, table: Any, *, json_: bool) -> None:
    if json_:
        fields = {"name": study.name, "path": str(directory), "runs": table.to_pylist()}
        print_json({**fields, "rows": [asdict(summary) for summary in summaries(table)]})
        return
    head, *rows = cells(table, wide=False)
    print_table(head, rows)
    for line in failures(table):
        typer.echo(f"failed: {line}", err=True)
    typer.echo(f"table and plots: {directory}")

"""The command ``crossmesh study``."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from crossmesh.common.errors import ConfigError
from crossmesh.common.picture_files import PictureKind
from crossmesh.common.supervision import reports
from crossmesh.emulator.cli.catalogue import studies
from crossmesh.emulator.cli.options import names_and_changes
from crossmesh.emulator.cli.printing import print_configs, print_json, print_table
from crossmesh.emulator.config.loading import overrides
from crossmesh.emulator.runs.progress import display
from crossmesh.emulator.study import Study, load_study, run_study
from crossmesh.emulator.study.hurts import HEAD, cells_of, gains, hurts_study, leave_gains
from crossmesh.emulator.study.ranking import cells_of as search_cells
from crossmesh.emulator.study.ranking import head, ranked, searched_by
from crossmesh.emulator.study.searched import BEST
from crossmesh.emulator.study.table import cells, failures, summaries

_MOST_SHOWN = 10  # candidates of a search


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
            metavar="STUDY|CONFIG... [A.B=C]...",
            help="A study's file or name, or configs to compare; fields to set, as --set does.",
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0,1,2", help="Seeds; every run is repeated for each.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A.B=[C,D]",
            help="Repeat every run for each value, also 1..4:4 or 0.001..0.1:log:5; A.B=C.D=[E,F] "
            "sets two fields; may be repeated.",
        ),
    ] = None,
    one_at_a_time: Annotated[
        bool | None,
        typer.Option(
            "--one-at-a-time/--every-combination",
            help="Vary each field alone around the config as it is, or all with each other.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Search: try N values of what --vary names, as a sampler chooses; 0.001..0.1:log "
            "is a range.",
        ),
    ] = None,
    what_hurts: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            help="Make one property of a device ideal at a time, and rank them by what it gains.",
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="CONFIG", help="Network of --what-hurts; by default digits."),
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
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Make the runs on the nodes of this Ray cluster, each with one CPU.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder with the files of the data sets.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Output directory; by default studies/NAME.")
    ] = None,
    plot_format: Annotated[PictureKind, typer.Option(help="Format of the plots.")] = "png",
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

    [bold]crossmesh study digits --vary tile.cell.step=0.0001..0.1:log --trials 16[/bold]

    [bold]crossmesh study --what-hurts reram-es-gong-2018 --config digits[/bold]

    The runs are made side by side. If it is interrupted or killed, run the same
    command again to resume; finished runs are not repeated.
    """
    names, fields = names_and_changes(study or ())
    if not names and what_hurts is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    options = {"engine.kind": engine, "data.directory": data_dir and str(data_dir)}
    given = overrides({field: value for field, value in options.items() if value is not None})
    wanted = _asked(names, what_hurts, config).changed(
        [*given, *(set_ or ()), *fields],
        vary or (),
        seeds,
        trials,
        baseline=baseline,
        one_at_a_time=one_at_a_time,
        chip_only=chip_only,
    )
    directory = output or Path("studies") / wanted.name
    reports.resumable(reports.this_command())
    with display(quiet=quiet) as callbacks:
        table = run_study(
            wanted,
            directory,
            jobs=jobs,
            address=address,
            callbacks=callbacks,
            plot_format=plot_format,
        )
    if wanted.search is not None:
        _print_search(wanted, directory, table, json_=json_)
    elif what_hurts is None:
        _print(wanted, directory, table, json_=json_)
    else:
        _print_gains(wanted, directory, table, plot_format, json_=json_)
    if failures(table):
        raise typer.Exit(1)


def _asked(study: Sequence[str], what_hurts: str | None, config: str | None) -> Study:
    """The study that is named, or that of a device."""
    if what_hurts is None:
        if config is not None:
            raise ConfigError(f"--config must come with --what-hurts DEVICE, got {config} alone")
        return load_study(*study)
    if study:
        raise ConfigError(
            f"--what-hurts must stand alone, got {study[0]} too; its network is --config {study[0]}"
        )
    return hurts_study(what_hurts, config or "digits")


def _print_gains(
    study: Study, directory: Path, table: Any, plot_format: PictureKind, *, json_: bool
) -> None:
    found = gains(table)
    picture = leave_gains(found, study.name, directory, plot_format)
    if json_:
        print_json({"name": study.name, "path": str(directory), "rows": list(map(asdict, found))})
        return
    print_table(HEAD, cells_of(found))
    for line in failures(table):
        typer.echo(f"failed: {line}", err=True)
    typer.echo(f"table and plots: {directory}, ranked in {picture}")


def _print_search(study: Study, directory: Path, table: Any, *, json_: bool) -> None:
    by = searched_by(study.search, table)
    candidates = ranked(table, by)
    best = candidates[0] if candidates[0].is_whole else None
    config = str(directory / BEST)
    if json_:
        found = best and {"by": by, "figure": best.figure, "title": best.title, "config": config}
        fields = {"name": study.name, "path": str(directory), "runs": table.to_pylist()}
        print_json({**fields, "best": found})
        return
    print_table(head(by), search_cells(candidates[:_MOST_SHOWN], table, by))
    if (more := len(candidates) - _MOST_SHOWN) > 0:
        typer.echo(f"and {more} more in {directory / 'table.md'}")
    for line in failures(table):
        typer.echo(f"failed: {line}", err=True)
    if best:
        typer.echo(f"best: {best.title}; train it with: crossmesh train {config}")
    typer.echo(f"table and plots: {directory}")


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

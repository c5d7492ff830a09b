"""The command that launches a training on a cluster."""

from pathlib import Path
from typing import Annotated, Any

import typer

# Settings of typer that pass options behind CONFIG on to the training.
PASSING_ON: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True}


def launch(  # noqa: PLR0913, PLR0917  because each is an option of its own
    context: typer.Context,
    cluster: Annotated[
        str, typer.Argument(metavar="CLUSTER", help="A YAML file, or a shipped cluster's name.")
    ],
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG [TRAIN OPTIONS]",
            help="Config to train, followed by options of crossmesh train.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done without doing it.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only look whether everything needed is there.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep machines that were taken for the training.")
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option(help="Folder of this launch, new or empty; by default launched/NAME."),
    ] = None,
) -> None:
    """Train on a cluster: nodes on this machine, a running one, machines by ssh, clouds, queues.

    Examples: [bold]crossmesh launch local digits --epochs 3[/bold], or
    [bold]crossmesh launch mine.yaml mnist-2018 --seed 1 --dry-run[/bold]. Each launch has a
    name, which it prints, and by which crossmesh jobs, status, logs, cancel, fetch and watch know
    it. With --dry-run and --files, the generated files are written but nothing is started.
    """
    from crossmesh.cluster.launch.launched import FOLDERS, LOG, Launched, fresh_name
    from crossmesh.cluster.launch.loading import load_cluster  # every kind takes a moment
    from crossmesh.cluster.launch.order import Order
    from crossmesh.common.errors import ConfigError
    from crossmesh.common.hints import command
    from crossmesh.common.refusals import one_line

    chosen = load_cluster(cluster)
    plain = Order(chosen, config, tuple(context.args))
    name = fresh_name(chosen.name, plain.config.name)
    order = Order(chosen, config, tuple(context.args), name, keep)
    folder = files or FOLDERS / name
    if dry_run:
        chosen.show(order, folder, write=files is not None)
        return
    if missing := list(chosen.preflight(order, folder)):
        for line in missing[:-1]:
            typer.echo(f"error: {one_line(line)}", err=True)
        raise ConfigError(missing[-1])
    if check:
        typer.echo("everything that a launch needs is there")
        return
    launched = Launched.new(order, folder, chosen.run_directory(order, folder.absolute()))
    if not order.given["quiet"]:
        follow = command("logs", name, "--follow")
        typer.echo(f"launch {name}: files in {folder}, log in {folder / LOG}", err=True)
        typer.echo(f"follow it from any terminal with: {follow}", err=True)
        typer.echo(f"end it with: {command('cancel', name)}", err=True)
    with launched.going():
        code = chosen.launch(order, launched)
        if code:
            raise typer.Exit(code)

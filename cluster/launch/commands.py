"""The command that launches a training on a cluster."""

from pathlib import Path
from typing import Annotated, Any

import typer

# Settings of typer that pass options behind CONFIG on to the training.
PASSING_ON: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True}


def launch(
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
    files: Annotated[
        Path | None,
        typer.Option(help="Folder for the generated files; by default launched/CLUSTER-RUN."),
    ] = None,
) -> None:
    """Train on a cluster: nodes on this machine, a running one, machines by ssh, clouds, queues.

    Examples: [bold]crossmesh launch local digits --epochs 3[/bold], or
    [bold]crossmesh launch mine.yaml mnist-2018 --seed 1 --dry-run[/bold]. With --dry-run and
    --files, the generated files are written but nothing is started.
    """
    from crossmesh.cluster.launch.loading import load_cluster  # every kind takes a moment
    from crossmesh.cluster.launch.order import Order

    chosen = load_cluster(cluster)
    order = Order(chosen, config, tuple(context.args))
    order.config  # noqa: B018  so that a mistake in it is reported before anything starts
    code = chosen.launch(order, files, dry_run=dry_run)
    if code:
        raise typer.Exit(code)

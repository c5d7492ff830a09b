"""The command ``crossmesh scale``."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crossmesh.cluster.scaling.network import load_network
from crossmesh.cluster.scaling.plan import ScalingPlan, counts
from crossmesh.cluster.scaling.projection import Projection, projection_of
from crossmesh.common.locked_folders import held
from crossmesh.emulator.cli.options import Address, Config, DataDirectory, Json, Quietly, Set
from crossmesh.emulator.cli.printing import print_json
from crossmesh.emulator.config.loading import load_config, overrides
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.progress import display


def scale(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    config: Config,
    actors: Annotated[str, typer.Option(metavar="1,2,4", help="Actor counts to measure.")] = "1,2",
    weak: Annotated[
        bool, typer.Option("--weak", help="Widen hidden layers with the number of actors.")
    ] = False,
    repeats: Annotated[
        int, typer.Option(metavar="N", min=1, help="Repetitions of the measurement.")
    ] = 5,
    examples: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Examples per repetition; by default a few seconds of work."
        ),
    ] = None,
    independent: Annotated[
        bool,
        typer.Option(
            "--independent",
            help="Also measure independent processes: the upper bound on this machine.",
        ),
    ] = False,
    project: Annotated[
        str | None,
        typer.Option(metavar="8,16,32", help="Actor counts to project to; by default up to 64."),
    ] = None,
    nodes: Annotated[
        str | None,
        typer.Option(
            metavar="1,2,4", help="Nodes for each of --project; by default a CPU per actor."
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Project with a network between nodes: ethernet-10g, ethernet-25g, "
            "ethernet-100g, or a YAML file.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Output directory; by default runs/NAME-scale.")
    ] = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    set_: Set = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Measure how the throughput of the emulation grows with the number of actors.

    The same examples are trained by every number of actors in turns, and by
    this process without Ray. It leaves tables, a plot, and a cost model with its
    error and a projection to more actors.

    [bold]crossmesh scale synthetic-scaling --actors 1,2,4[/bold]

    [bold]crossmesh scale synthetic-scaling --actors 1,2 --weak --independent[/bold]

    [bold]crossmesh scale synthetic-4096-tiles --project 64,1024 --nodes 8,128 --network
    ethernet-25g[/bold]

    Ray's actors train the same bits whatever their number: what differs is time.
    """
    options = {"engine.address": address, "data.directory": data_dir and str(data_dir)}
    given = overrides({field: value for field, value in options.items() if value is not None})
    plan = ScalingPlan(
        config=load_config(config, [*given, *(set_ or ())]),
        actors=counts(actors, "--actors"),
        is_weak=weak,
        repeats=repeats,
        examples=examples,
        with_independent=independent,
    )
    fabric = None if network is None else load_network(network)
    projection = projection_of(project, nodes, fabric)
    path = output or Path("runs") / f"{plan.config.name}-scale"
    with held(path, "--output", "measurement", new=True, numbered=output is None) as folder:
        _measure(plan, projection, RunDirectory(folder.path), json_=json_, quiet=quiet)


def _measure(
    plan: ScalingPlan,
    projection: Projection,
    directory: RunDirectory,
    *,
    json_: bool,
    quiet: bool,
) -> None:
    # Imported here, so that other commands need not load what only this one uses.
    from crossmesh.cluster.scaling.explain import explain, target_jobs
    from crossmesh.cluster.scaling.measure import measure
    from crossmesh.cluster.scaling.plot import draw
    from crossmesh.cluster.scaling.plot_projection import draw_projection
    from crossmesh.cluster.scaling.printing import print_scaling
    from crossmesh.cluster.scaling.tables import hosts_table, scaling_table, summary

    jobs = target_jobs(plan, projection)  # what is asked for is checked before anything is measured
    with display(quiet=quiet) as callbacks:
        measured = measure(plan, callbacks)
        explained = explain(
            measured, jobs, projection, lambda n: callbacks.phase(f"replaying {n} actors", 0)
        )
    figures = summary(measured, explained)
    directory.write_config(plan.config)
    directory.write_table("scaling", scaling_table(measured))
    directory.write_table("hosts", hosts_table(measured, explained))
    directory.write_json("scale", figures)
    draw(measured, explained, directory.path / "scaling.png")
    if projection.network is not None and explained.projections:
        draw_projection(explained.projections, directory.path / "projection.png")
    if json_:
        print_json({**figures, "path": str(directory.path)})
        return
    print_scaling(measured, explained, Console(width=None if sys.stdout.isatty() else 110))
    typer.echo(f"tables and plot: {directory.path}")

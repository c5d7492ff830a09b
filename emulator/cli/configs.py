"""The commands that show configs: ``crossmesh configs``, ``schema`` and ``program``."""

from typing import Annotated

import typer

from crossmesh.emulator.cli.catalogue import configs
from crossmesh.emulator.cli.options import Config, DataDirectory, Json, Set, given
from crossmesh.emulator.cli.printing import (
    RECORD_HEADER,
    print_configs,
    print_json,
    record_json,
    record_line,
)
from crossmesh.emulator.compiler.job import prepare_chip
from crossmesh.emulator.compiler.records import records
from crossmesh.emulator.config.loading import dumped, load_config
from crossmesh.emulator.config.schema import file_schema

configs_app = typer.Typer()


@configs_app.callback(invoke_without_command=True)
def configs_command(context: typer.Context, json_: Json = False) -> None:
    """The shipped configs."""
    if context.invoked_subcommand is None:
        configs_list(json_)


@configs_app.command("list")
def configs_list(json_: Json = False) -> None:
    """List the shipped configs."""
    catalogue = configs()
    if json_:
        print_json(catalogue)
    else:
        print_configs(catalogue)


@configs_app.command("show")
def configs_show(config: Config, set_: Set = None) -> None:
    """Print the resolved config, with all defaults."""
    typer.echo(dumped(load_config(config, set_ or ())), nl=False)


def schema() -> None:
    """Print the JSON Schema of a config file, for editors."""
    print_json(file_schema())


def program(
    config: Config,
    micro_batches: Annotated[int, typer.Option(min=1, help="How many micro-batches to print.")] = 2,
    data_dir: DataDirectory = None,
    set_: Set = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Print the compiled program: which tile does what, when, for which layer.

    Columns: tick of the schedule, tile, operation and the layer it serves, micro-batch, version
    of the tile's weights (updates seen so far), and the tiles that the result is sent to with the
    number of columns each takes. A transfer moves lines between the arrays of a tile: it is a part
    of the pulse before it, after whose vectors the lines have their turns.
    """
    fields = [*given({"data.directory": data_dir}), *(set_ or ())]
    job = prepare_chip(load_config(config, fields))
    line = record_json if json_ else record_line
    if not json_:
        typer.echo(RECORD_HEADER)
    for record in records(job.program, job.epoch(0).schedule, micro_batches):
        typer.echo(line(record))

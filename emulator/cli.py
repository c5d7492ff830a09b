"""The command ``crossmesh``."""

import itertools
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from emulator import interrupt
from emulator.config import RunConfig
from emulator.data import DataError
from emulator.errors import ConfigError, RunError
from emulator.interrupt import Interrupted
from emulator.loading import dumped, load_config, shipped
from emulator.progress import display
from emulator.rundir import RunDirectory
from emulator.training import RunResult, evaluate, train

app = typer.Typer(
    help="Train neural networks on emulated crossbar tiles. Begin with: crossmesh train digits",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Set a field of the config; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quietly = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
EngineKind = Annotated[
    str | None, typer.Option("--engine", metavar="local|ray", help="Where the tiles run.")
]
Address = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="A running Ray cluster to use.")
]
DataDirectory = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder with the files of the data set.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")]
Config = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped config.")
]


@app.command("train")
def train_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    config: Config,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Where to leave the run; by default runs/NAME.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    examples: Annotated[
        int | None, typer.Option(metavar="N", help="Train on the first N examples.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.")] = None,
    set_: Set = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Train the network of CONFIG and leave a run directory.

    Examples: [bold]crossmesh train digits[/bold], or
    [bold]crossmesh train mnist-ideal --engine local --data-dir ~/mnist --epochs 3[/bold].
    """
    overrides = _overrides(
        {
            "engine.kind": engine,
            "engine.address": address,
            "data.directory": str(data_dir) if data_dir else None,
            "seed": seed,
            "training.examples": examples,
            "training.epochs": epochs,
        },
        set_,
    )
    loaded = load_config(config, overrides)
    directory = _new_directory(run_dir, loaded.name)
    _train(loaded, directory, json_=json_, quiet=quiet, resume=False)


@app.command()
def resume(
    run: Run,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Go on with an interrupted run from its newest checkpoint.

    The result is the same, bit for bit, as if the run had never been interrupted.
    """
    directory = RunDirectory.existing(run)
    config = directory.config(_where(engine, address, data_dir))
    _train(config, directory, json_=json_, quiet=quiet, resume=True)


@app.command("evaluate")
def evaluate_command(
    run: Run,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    json_: Json = False,
) -> None:
    """Test the network of a run again, with the same noise as at its end."""
    directory = RunDirectory.existing(run)
    config = directory.config(_where(engine, address, data_dir))
    result = evaluate(directory, config, lambda text: print(text, file=sys.stderr))  # noqa: T201  because it is the command's output
    if json_:
        _print_json(result)
        return
    table = _table("field", "value")
    for name, value in result.items():
        table.add_row(name, _figure(name, value))
    Console().print(table)


configs_app = typer.Typer(help="The shipped configs.", no_args_is_help=True)
app.add_typer(configs_app, name="configs")


@configs_app.command("list")
def configs_list() -> None:
    """List the shipped configs."""
    table = _table("name", "what it is")
    for name, path in shipped().items():
        first = path.read_text("utf-8").splitlines()[0]
        table.add_row(name, first.lstrip("# "))
    Console().print(table)


@configs_app.command("show")
def configs_show(config: Config, set_: Set = None) -> None:
    """Print a config as it resolves, with all defaults."""
    typer.echo(dumped(load_config(config, set_ or ())), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors."""
    _print_json(RunConfig.model_json_schema())


devices_app = typer.Typer(help="The devices that a unit cell can be made of.", no_args_is_help=True)
app.add_typer(devices_app, name="devices")


@devices_app.command("list")
def devices_list(json_: Json = False) -> None:
    """List the devices with their parameters, defaults and sources."""
    from emulator.catalogue import devices

    catalogue = devices()
    if json_:
        _print_json(catalogue)
        return
    for device in catalogue:
        table = _table("parameter", "default", "what it is")
        table.title = f"{device['kind']}: {device['summary']}"
        table.caption = f"source: {device['source']}"
        for parameter in device["parameters"]:
            what = escape(parameter["what"])
            table.add_row(parameter["name"], str(parameter["default"]), what)
        Console().print(table)


@app.command()
def program(
    config: Config,
    micro_batches: Annotated[int, typer.Option(min=1, help="How many micro-batches to print.")] = 2,
    data_dir: DataDirectory = None,
    set_: Set = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Print the compiled program: which tile does what, when, for whom.

    Columns: tick of the schedule, tile, operation and the layer it serves, micro-batch, version
    of the tile's weights (updates seen so far), and the tiles that the result is sent to with the
    number of columns each takes.
    """
    from emulator.compiler import records
    from emulator.job import prepare

    overrides = _overrides({"data.directory": str(data_dir) if data_dir else None}, set_)
    job = prepare(load_config(config, overrides))
    rows = records(job.program, job.epoch(0).schedule, micro_batches)
    if json_:
        for record in rows:
            operation = record.operation
            typer.echo(
                json.dumps(
                    {
                        "tick": record.tick,
                        "tile": operation.tile,
                        "operation": operation.kind,
                        "layer": operation.node,
                        "micro_batch": record.micro_batch,
                        "version": record.version,
                        "messages": [list(message) for message in record.messages],
                    }
                )
            )
        return
    typer.echo(
        f"{'tick':>6} {'tile':>5} {'operation':10} {'layer':20} {'batch':>5} {'ver.':>5}  to"
    )
    for record in rows:
        operation = record.operation
        sent = " ".join(
            f"{tile}:{columns}" for tile, columns in itertools.islice(record.messages, 8)
        )
        more = " ..." if len(record.messages) > 8 else ""
        typer.echo(
            f"{record.tick:6} {operation.tile:5} {operation.kind:10} {operation.node:20} "
            f"{record.micro_batch:5} {record.version:5}  {sent}{more}"
        )


def _overrides(options: dict[str, Any], set_: list[str] | None) -> list[str]:
    given = [
        f"{k}={yaml.safe_dump(v).splitlines()[0]}" for k, v in options.items() if v is not None
    ]
    return [*(set_ or ()), *given]


def _where(engine: str | None, address: str | None, data_dir: Path | None) -> list[str]:
    directory = str(data_dir) if data_dir else None
    return _overrides(
        {"engine.kind": engine, "engine.address": address, "data.directory": directory}, None
    )


def _new_directory(run_dir: Path | None, name: str) -> RunDirectory:
    if run_dir is None:
        return RunDirectory.new(Path("runs"), name)
    if run_dir.exists() and any(run_dir.iterdir()):
        raise ConfigError(f"--run-dir must be new or empty, got {run_dir}")
    return RunDirectory(run_dir)


def _train(
    config: RunConfig, directory: RunDirectory, *, json_: bool, quiet: bool, resume: bool
) -> None:
    with display(quiet=quiet) as listener:
        try:
            result = train(config, directory, listener, resume=resume)
        except Interrupted:
            _say_interrupted(directory)
            raise
    if json_:
        _print_json(result.summary)
    else:
        _print_summary(result)


def _say_interrupted(directory: RunDirectory) -> None:
    if directory.checkpoints():
        typer.echo(f"interrupted; go on with: crossmesh resume {directory.path}", err=True)
    else:
        typer.echo("interrupted before the first checkpoint", err=True)


def _print_summary(result: RunResult) -> None:
    summary, emulation = result.summary, result.summary["emulation"]
    table = _table("figure", "value")
    for name in ("test_accuracy", "baseline_test_accuracy", "test_loss", "train_loss"):
        if summary[name] is not None:
            table.add_row(name.replace("_", " "), _figure(name, summary[name]))
    table.add_row("examples trained", f"{summary['examples_trained']:,}")
    where = f"{emulation['tiles']} tiles"
    if emulation["actors"]:
        where += f" in {emulation['actors']} Ray actors on {emulation['nodes']} node(s)"
    table.add_row("emulated on", where)
    table.add_row("emulation speed", f"{emulation['examples_per_s']:,.0f} examples/s")
    table.add_row(
        "time", f"{emulation['wall_s']:.1f} s training, {emulation['start_s']:.1f} s start"
    )
    table.add_row("run directory", str(result.path))
    Console().print(table)


def _figure(name: str, value: Any) -> str:
    if name.endswith("accuracy") and value is not None:
        return f"{100 * value:.2f} %"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, title_justify="left", caption_justify="left")
    table.columns[0].no_wrap = True
    return table


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2, never a stack trace."""
    interrupt.install()
    try:
        app()
    except (ConfigError, DataError) as error:
        _end(error, 2)
    except RunError as error:
        _end(error, 1)
    except Interrupted:
        sys.exit(130)


def _end(error: Exception, code: int) -> None:
    typer.echo(f"error: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()

"""The commands of ``crossmesh`` and their options."""

import functools
import json
import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from emulator import interrupt
from emulator.aging import age, draw_ages, parse_times, summed_up
from emulator.catalogue import configs
from emulator.chip.printing import print_report
from emulator.chip.report import chip_of
from emulator.chip.trace import trace as make_trace
from emulator.compiler import records
from emulator.config import RunConfig
from emulator.data import DataError
from emulator.device_commands import Json, devices_app
from emulator.ends.words import this_command
from emulator.errors import ConfigError, RunError, RunLost, in_our_words, masked
from emulator.exchange_commands import app as exchange_app
from emulator.job import prepare
from emulator.laws import one_line
from emulator.layout.commands import app as layout_app
from emulator.listener import Listener
from emulator.loading import dumped, load_config, overrides
from emulator.printing import (
    AGE_HEAD,
    RECORD_HEADER,
    age_cells,
    checked_picture,
    print_configs,
    print_fields,
    print_json,
    print_result,
    print_table,
    record_json,
    record_line,
    write_text,
)
from emulator.progress import display
from emulator.rundir import RunDirectory
from emulator.schema import file_schema
from emulator.study_commands import app as study_app
from emulator.training import evaluate, train
from tiles.inference import MODELS
from tiles.version import VERSION

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
configs_app = typer.Typer()
app.add_typer(configs_app, name="configs")
app.add_typer(devices_app, name="devices")
app.add_typer(study_app)
app.add_typer(exchange_app)
app.add_typer(layout_app)

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Set a field of the config; may be repeated."),
]
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
Epochs = Annotated[int | None, typer.Option(help="Passes over the training set.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")]
Config = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped config.")
]


def run() -> int:
    """Run the command and return its exit code; any error is one line, never a stack trace."""
    try:
        command = _command(len(app.registered_commands))
        return command(prog_name="crossmesh", standalone_mode=False) or 0
    except typer.TyperException as error:  # of usage
        return _refused(error.format_message(), error.exit_code)
    except (ConfigError, DataError) as error:
        return _refused(error, 2)
    except Exception as error:
        if interrupt.came():  # which may have ended Ray, or a compiler that then has no result
            return 130
        return _refused(_told(error), 1)


@functools.cache
def _command(_: int) -> Any:
    """The command with so many commands, of which others add some; to build it takes 30 ms."""
    return typer.main.get_command(app)


def _told(error: Exception) -> str:
    """What happened, in our words; of a mistake of ours, also where to find what is known."""
    if isinstance(error, RunError):
        return _with_way_on(error)
    if (told := in_our_words(error)) is not None:
        return told
    with tempfile.NamedTemporaryFile(
        "w", prefix="crossmesh-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(masked("".join(traceback.format_exception(error))))
    return f"{type(error).__name__}: {error}; please report it with the file {file.name}"


def _with_way_on(error: RunError) -> str:
    """What happened, and the command that tries again if that may help."""
    if not isinstance(error, RunLost) or "go on with: " in str(error):
        return str(error)
    return f"{error}; begin again with: {this_command()}"


def _refused(error: object, code: int) -> int:
    typer.echo(f"error: {one_line(masked(str(error)))}", err=True)
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crossmesh {VERSION}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def crossmesh(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    """Train neural networks on emulated crossbar tiles. Begin with: crossmesh train digits."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


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
    epochs: Epochs = None,
    set_: Set = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Train the network of CONFIG and leave a run directory.

    Examples: [bold]crossmesh train digits[/bold], or
    [bold]crossmesh train mnist-ideal --engine local --data-dir ~/mnist --epochs 3[/bold].
    """
    options = {"seed": seed, "training.examples": examples, "training.epochs": epochs}
    overrides = [*_where(engine, address, data_dir), *_overrides(options), *(set_ or ())]
    loaded = load_config(config, overrides)
    if run_dir is None:
        directory = RunDirectory(Path("runs") / loaded.name, numbered=True)
    else:
        directory = RunDirectory(run_dir)
    _train(loaded, directory, json_=json_, quiet=quiet, resume=False)


@app.command()
def resume(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    run: Run,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    epochs: Epochs = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Go on with a run from its newest checkpoint, and to more epochs if asked.

    The result is the same, bit for bit, as if the run had never been interrupted.
    """
    directory = RunDirectory.existing(run)
    more = _overrides({"training.epochs": epochs})
    config = directory.config([*_where(engine, address, data_dir), *more])
    _train(config, directory, json_=json_, quiet=quiet, resume=True)


@app.command("evaluate")
def evaluate_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|CONFIG",
            help="Directory of a run, or a config with the weights to begin with.",
        ),
    ],
    after: Annotated[
        str | None,
        typer.Option(
            metavar="1s,1h,1d,30d,1y",
            help="Program the weights to memories for inference, and test after these times.",
        ),
    ] = None,
    inference: Annotated[
        str | None,
        typer.Option(metavar="|".join(MODELS), help="The memories that --after programs: pcm."),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(metavar="N", help="How often they are programmed: 5 times.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="PNG or SVG of --after; by default RUN/after.png."),
    ] = None,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Test the network of a run again, with the same noise as at its end.

    Of a config, test the network before training, such as one with the weights of an ONNX file.
    With [bold]--after[/bold], its weights are programmed to memories that scatter, drift and
    fluctuate, and the network is tested at those ages: with and without scaling back what each
    tile has lost on the whole, mean and standard deviation over repeated programming.
    """
    where = _where(engine, address, data_dir)
    if after is None:
        _refuse_without_after({"--inference": inference, "--repeats": repeats, "--plot": plot})
        with display(quiet=quiet) as listener:
            result = _tested(run, where, listener)
        print_json(result) if json_ else print_fields(result)
        return
    directory = RunDirectory.existing(run)
    config = directory.config(where)
    times, inference = parse_times(after), inference or "pcm"
    repeats = 5 if repeats is None else repeats
    picture = checked_picture(plot or directory.path / "after.png")
    with display(quiet=quiet) as listener:
        ages = age(directory, config, times, listener, inference=inference, repeats=repeats)
    rows = summed_up(ages.table)
    title = f"{config.name}: weights programmed {repeats} times to {inference}"
    draw_ages(rows, ages.trained_accuracy, title, picture)
    if json_:
        told = {"inference": inference, "repeats": repeats, "plot": str(picture)}
        trained = {"trained_accuracy": ages.trained_accuracy}
        print_json(told | trained | {"ages": [asdict(row) for row in rows]})
    else:
        print_table(AGE_HEAD, age_cells(rows, ages.trained_accuracy))
        typer.echo(f"plot: {picture}")


def _tested(run: Path, where: list[str], listener: Listener) -> dict[str, Any]:
    """The test of a run, or of a config where there is no folder of that name."""
    if run.is_dir():
        directory = RunDirectory.existing(run)
        return evaluate(directory, directory.config(where), listener.note)
    return evaluate(None, load_config(str(run), where), listener.note)


def _refuse_without_after(options: dict[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} must come with --after, got {value} without it")


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
    """Print a config as it resolves, with all defaults."""
    typer.echo(dumped(load_config(config, set_ or ())), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config file, for editors."""
    print_json(file_schema())


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
    overrides = [*_overrides({"data.directory": data_dir}), *(set_ or ())]
    job = prepare(load_config(config, overrides))
    line = record_json if json_ else record_line
    if not json_:
        typer.echo(RECORD_HEADER)
    for record in records(job.program, job.epoch(0).schedule, micro_batches):
        typer.echo(line(record))


@app.command("chip")
def chip_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    config: Config,
    data_dir: DataDirectory = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="NAME", help="Schedule, instead of the config's.")
    ] = None,
    inference: Annotated[
        bool, typer.Option("--inference", help="Of examples that pass forward only.")
    ] = False,
    set_: Set = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write a timeline for Perfetto to this file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw floor plan, pipeline, energy and link width.")
    ] = None,
    json_: Json = False,
) -> None:
    """Time, energy and area of the chip that CONFIG describes, without training.

    Examples: [bold]crossmesh chip digits[/bold], or
    [bold]crossmesh chip mnist-2018 --set chip.flit_bits=32 --plot chip.png[/bold].
    """
    picture = checked_picture(plot) if plot else None
    options = {"data.directory": data_dir, "training.schedule": schedule}
    job = prepare(load_config(config, [*_overrides(options), *(set_ or ())]))
    with Console(stderr=True).status("timing the chip"):
        report = chip_of(job, inference=inference)
    if json_:
        print_json(report.summary)
    else:
        print_report(report)
    if trace:
        write_text(trace, json.dumps(make_trace(report), separators=(",", ":")) + "\n", "--trace")
    if picture:
        from emulator.chip.plot import draw_chip  # Matplotlib takes a second to import

        draw_chip(report, picture)


def _where(engine: str | None, address: str | None, data_dir: Path | None) -> list[str]:
    return _overrides(
        {"engine.kind": engine, "engine.address": address, "data.directory": data_dir}
    )


def _overrides(options: dict[str, Any]) -> list[str]:
    """The options that were given, as ``--set`` takes them."""
    return overrides({field: value for field, value in options.items() if value is not None})


def _train(
    config: RunConfig, directory: RunDirectory, *, json_: bool, quiet: bool, resume: bool
) -> None:
    with display(quiet=quiet) as listener:
        result = train(config, directory, listener, resume=resume)
    if json_:
        print_json(result.summary)
    else:
        print_result(result)

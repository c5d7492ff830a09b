"""The command ``crossmesh``: its commands, and how they end."""

import functools
import tempfile
import traceback
import warnings
from typing import Annotated, Any

import typer

from crossmesh.common.errors import ConfigError, DataError, RunError, RunLost, in_our_words, masked
from crossmesh.common.refusals import one_line
from crossmesh.common.supervision import interrupts
from crossmesh.common.supervision.reports import this_command
from crossmesh.common.version import VERSION
from crossmesh.emulator.cli.board import board_app
from crossmesh.emulator.cli.calibrate import calibrate_command
from crossmesh.emulator.cli.chip import chip_command
from crossmesh.emulator.cli.compare import compare_command
from crossmesh.emulator.cli.configs import configs_app, program, schema
from crossmesh.emulator.cli.devices import devices_app
from crossmesh.emulator.cli.evaluate import evaluate_command
from crossmesh.emulator.cli.export import export_command
from crossmesh.emulator.cli.map import map_command
from crossmesh.emulator.cli.pareto import pareto_command
from crossmesh.emulator.cli.plot import plot_command
from crossmesh.emulator.cli.predict import predict_command
from crossmesh.emulator.cli.report import report_command
from crossmesh.emulator.cli.runs import runs_command
from crossmesh.emulator.cli.study import StudyHelp, study_command
from crossmesh.emulator.cli.train import resume, train_command
from crossmesh.emulator.cli.usage import told

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run() -> int:
    """Run the command and return its exit code; any error is one line, never a stack trace."""
    warnings.showwarning = _show_warning
    try:
        command = _command(len(app.registered_commands))
        return command(prog_name="crossmesh", standalone_mode=False) or 0
    except typer.TyperException as error:  # of usage
        return _refused(told(error), error.exit_code)
    except (ConfigError, DataError) as error:
        return _refused(error, 2)
    except Exception as error:
        if interrupts.came():  # which may have ended Ray, or a compiler that then has no result
            return 130
        return _refused(_described(error), 1)


@functools.cache
def _command(_: int) -> Any:
    """The command with so many commands, of which others add some; to build it takes 30 ms."""
    return typer.main.get_command(app)


def _described(error: Exception) -> str:
    """The error as one line; for an internal error, with the file that holds its traceback."""
    if isinstance(error, RunError):
        return _with_next_command(error)
    if (words := in_our_words(error)) is not None:
        return words
    with tempfile.NamedTemporaryFile(
        "w", prefix="crossmesh-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(masked("".join(traceback.format_exception(error))))
    return f"{type(error).__name__}: {error}; please report it with the file {file.name}"


def _with_next_command(error: RunError) -> str:
    """The error, and the command to run again if that may help."""
    if not isinstance(error, RunLost) or "resume with: " in str(error):
        return str(error)
    return f"{error}; restart with: {this_command()}"


def _refused(error: object, code: int) -> int:
    typer.echo(f"error: {one_line(masked(str(error)))}", err=True)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"warning: {one_line(masked(str(message)))}", err=True)


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


app.command("train")(train_command)
app.command()(resume)
app.command("evaluate")(evaluate_command)
app.command("predict")(predict_command)
app.command("calibrate")(calibrate_command)
app.command("export")(export_command)
app.command("study", cls=StudyHelp)(study_command)
app.command("pareto")(pareto_command)
app.command("plot")(plot_command)
app.command("report")(report_command)
app.command("compare")(compare_command)
app.command("runs")(runs_command)
app.command("map")(map_command)
app.command("chip")(chip_command)
app.command()(schema)
app.command()(program)
app.add_typer(configs_app, name="configs")
app.add_typer(devices_app, name="devices")
app.add_typer(board_app, name="board")

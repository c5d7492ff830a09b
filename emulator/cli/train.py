"""The commands ``crossmesh train`` and ``crossmesh resume``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.emulator.callbacks.loggers import loggers_of
from crossmesh.emulator.cli.options import (
    Address,
    Changes,
    Config,
    DataDirectory,
    EngineKind,
    Epochs,
    Json,
    Log,
    Quietly,
    Run,
    Set,
    StopEarly,
    changes,
    given,
    named_as_options,
    stopping,
    where,
)
from crossmesh.emulator.cli.printing import print_json, print_result
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.progress import display
from crossmesh.emulator.training.few import few_examples
from crossmesh.emulator.training.training import train


def train_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    config: Config,
    fields: Changes = None,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Run directory; by default runs/NAME.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    examples: Annotated[
        int | None, typer.Option(metavar="N", help="Train on the first N examples.")
    ] = None,
    epochs: Epochs = None,
    stop_early: StopEarly = None,
    set_: Set = None,
    log: Log = None,
    fast_dev_run: Annotated[
        bool,
        typer.Option("--fast-dev-run", help="Try everything on a few examples, in seconds."),
    ] = False,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Train the network of CONFIG and write a run directory.

    Examples: [bold]crossmesh train digits training.epochs=3[/bold], or
    [bold]crossmesh train mnist-ideal --engine local --data-dir ~/mnist --epochs 3[/bold].
    """
    options = {"seed": seed, "training.examples": examples, "training.epochs": epochs}
    asked = [*where(engine, address, data_dir), *given(options), *stopping(stop_early)]
    loaded = load_config(config, [*asked, *(set_ or ()), *changes(fields or ())])
    if fast_dev_run:
        loaded = few_examples(loaded)
    if run_dir is None:
        directory = RunDirectory(Path("runs") / loaded.name, numbered=True)
    else:
        directory = RunDirectory(run_dir)
    _train(loaded, directory, log, json_=json_, quiet=quiet, resume=False)


def resume(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    run: Run,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    epochs: Epochs = None,
    stop_early: StopEarly = None,
    log: Log = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Resume a run from its newest checkpoint, optionally for more epochs.

    The result is the same, bit for bit, as if the run had never been interrupted.
    """
    directory = RunDirectory.existing(run)
    more = [*given({"training.epochs": epochs}), *stopping(stop_early)]
    config = directory.config([*where(engine, address, data_dir), *more])
    _train(config, directory, log, json_=json_, quiet=quiet, resume=True)


def _train(
    config: RunConfig,
    directory: RunDirectory,
    log: str | None,
    *,
    json_: bool,
    quiet: bool,
    resume: bool,
) -> None:
    options = {"directory": "--run-dir", "log": "--log"}
    with named_as_options(options), display(quiet=quiet) as callbacks:
        loggers = loggers_of(log)
        result = train(config, directory, callbacks, resume=resume, during=loggers)
    if json_:
        print_json(result.summary)
    else:
        print_result(result)

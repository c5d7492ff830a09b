"""The commands ``crossmesh train`` and ``crossmesh resume``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.emulator.cli.options import (
    Address,
    Config,
    DataDirectory,
    EngineKind,
    Epochs,
    Json,
    Quietly,
    Run,
    Set,
    given,
    where,
)
from crossmesh.emulator.cli.printing import print_json, print_result
from crossmesh.emulator.cli.progress import display
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.training import train


def train_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    config: Config,
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
    set_: Set = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Train the network of CONFIG and write a run directory.

    Examples: [bold]crossmesh train digits[/bold], or
    [bold]crossmesh train mnist-ideal --engine local --data-dir ~/mnist --epochs 3[/bold].
    """
    options = {"seed": seed, "training.examples": examples, "training.epochs": epochs}
    fields = [*where(engine, address, data_dir), *given(options), *(set_ or ())]
    loaded = load_config(config, fields)
    if run_dir is None:
        directory = RunDirectory(Path("runs") / loaded.name, numbered=True)
    else:
        directory = RunDirectory(run_dir)
    _train(loaded, directory, json_=json_, quiet=quiet, resume=False)


def resume(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    run: Run,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    epochs: Epochs = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Resume a run from its newest checkpoint, optionally for more epochs.

    The result is the same, bit for bit, as if the run had never been interrupted.
    """
    directory = RunDirectory.existing(run)
    more = given({"training.epochs": epochs})
    config = directory.config([*where(engine, address, data_dir), *more])
    _train(config, directory, json_=json_, quiet=quiet, resume=True)


def _train(
    config: RunConfig, directory: RunDirectory, *, json_: bool, quiet: bool, resume: bool
) -> None:
    with display(quiet=quiet) as callbacks:
        result = train(config, directory, callbacks, resume=resume)
    if json_:
        print_json(result.summary)
    else:
        print_result(result)

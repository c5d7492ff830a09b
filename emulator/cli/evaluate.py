"""The command ``crossmesh evaluate``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.common.picture_files import check_picture
from crossmesh.emulator.cli.options import (
    Address,
    Checkpoint,
    DataDirectory,
    EngineKind,
    Inference,
    Json,
    Quietly,
    named_as_options,
    where,
)
from crossmesh.emulator.cli.printing import (
    AGE_HEAD,
    age_cells,
    print_fields,
    print_json,
    print_table,
)
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.progress import display
from crossmesh.emulator.training.retention import age, draw_ages, parse_times, summed_up
from crossmesh.emulator.training.training import evaluate


def evaluate_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|CONFIG",
            help="Directory of a run, or a config (tests its initial weights).",
        ),
    ],
    after: Annotated[
        str | None,
        typer.Option(
            metavar="1s,1h,1d,30d,1y",
            help="Program the weights to inference memories and test after these times.",
        ),
    ] = None,
    inference: Inference = None,
    repeats: Annotated[
        int | None,
        typer.Option(metavar="N", help="Programming repetitions of --after; by default 5."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .png, .svg or .pdf plot of --after; of a run by default RUN/after.png.",
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Test the network of a run again, with the same noise as at its end.

    Given a config, test the network before training, such as one with the weights of an ONNX file.
    With [bold]--after[/bold], its weights are programmed to memories with programming error,
    drift and read noise, and the network is tested at those ages: with and without global drift
    compensation per tile, mean and standard deviation over repeated programming.
    """
    fields = where(engine, address, data_dir)
    if after is None:
        _refuse_without_after({"--inference": inference, "--repeats": repeats, "--plot": plot})
        with display(quiet=quiet) as callbacks:
            result = evaluate(*_opened(run, fields, checkpoint), callbacks.note)
        print_json(result) if json_ else print_fields(result)
        return
    directory, config = _opened(run, fields, checkpoint)
    times, inference = parse_times(after), inference or "pcm"
    repeats = 5 if repeats is None else repeats
    if plot is None and directory is not None:
        plot = directory.path / "after.png"
    if plot is not None:
        check_picture(plot, "--plot")
    with named_as_options({"inference": "--inference"}), display(quiet=quiet) as callbacks:
        ages = age(directory, config, times, callbacks, inference=inference, repeats=repeats)
    rows = summed_up(ages.table)
    title = f"{config.name}: weights programmed {repeats} times to {inference}"
    if plot is not None:
        draw_ages(rows, ages.trained_accuracy, title, plot)
    if json_:
        given = {"inference": inference, "repeats": repeats, "plot": plot and str(plot)}
        trained = {"trained_accuracy": ages.trained_accuracy}
        print_json(given | trained | {"ages": [asdict(row) for row in rows]})
    else:
        print_table(AGE_HEAD, age_cells(rows, ages.trained_accuracy))
        if plot is not None:
            typer.echo(f"plot: {plot}")


def _opened(
    run: Path, fields: list[str], checkpoint: str | None
) -> tuple[RunDirectory | None, RunConfig]:
    """A run and its config, or only a config where there is no folder of that name."""
    if run.is_dir():
        directory = RunDirectory.existing(run)
        with named_as_options({"checkpoint": "--checkpoint"}):
            return directory, directory.config(fields, checkpoint)
    if checkpoint is not None:
        raise ConfigError(f"--checkpoint must be left out but for a run, got {checkpoint}")
    return None, load_config(str(run), fields)


def _refuse_without_after(options: dict[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} must come with --after, got {value} without it")

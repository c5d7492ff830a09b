"""The command ``crossmesh predict``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.cli.options import (
    Address,
    Checkpoint,
    DataDirectory,
    EngineKind,
    Inference,
    Json,
    Quietly,
    Set,
    named_as_options,
    where,
)
from crossmesh.emulator.cli.printing import print_fields, print_json
from crossmesh.emulator.runs.progress import display

_OPTIONS = {"top": "--top", "inference": "--inference", "checkpoint": "--checkpoint"}


def predict_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CONFIG|FILE.onnx",
            help="Directory of a run, a config (its initial weights) or an ONNX file.",
        ),
    ],
    inputs: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Inputs: an NPZ archive with one array, or a Parquet table."
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Outputs, as .npz or .parquet; overwritten.")
    ],
    ideal: Annotated[
        bool, typer.Option("--ideal", help="Exact tiles: no devices, converters or noise.")
    ] = False,
    top: Annotated[
        int | None, typer.Option(metavar="K", help="Add the K best classes and their shares.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            metavar="1s,1h,1d",
            help="Program the weights to inference memories, read at these ages.",
        ),
    ] = None,
    inference: Inference = None,
    uncompensated: Annotated[
        bool,
        typer.Option("--uncompensated", help="With --after, without global drift compensation."),
    ] = False,
    checkpoint: Checkpoint = None,
    set_: Set = None,
    engine: EngineKind = None,
    address: Address = None,
    data_dir: DataDirectory = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Write the outputs of a network for given inputs; no targets are needed.

    Example: [bold]crossmesh predict runs/digits --inputs new.npz --out outputs.npz --top 3[/bold].
    """
    from crossmesh.emulator.training.memories import Memories  # these take a moment to import
    from crossmesh.emulator.training.outputs import check_path
    from crossmesh.emulator.training.predicting import predict
    from crossmesh.emulator.training.retention import parse_times

    if after is None and (inference is not None or uncompensated):
        option = "--uncompensated" if inference is None else "--inference"
        raise ConfigError(f"{option} must come with --after, got it without")
    check_path(out)
    if after is not None and ideal:
        raise ConfigError("--after must come without --ideal, got both")
    fields = [*where(engine, address, data_dir), *(set_ or ())]
    with named_as_options(_OPTIONS), display(quiet=quiet) as callbacks:
        memories = after and Memories(
            after_s=parse_times(after),
            inference=inference or "pcm",
            compensated=not uncompensated,
        )
        prediction = predict(
            what,
            inputs,
            overrides=fields,
            ideal=ideal,
            top=top,
            memories=memories or None,
            checkpoint=checkpoint,
            callbacks=callbacks,
        )
    prediction.write(out)
    arrays = {name: list(array.shape) for name, array in prediction.arrays.items()}
    print_json({"out": str(out), "arrays": arrays}) if json_ else print_fields(
        {"out": str(out), **{name: str(tuple(shape)) for name, shape in arrays.items()}}
    )

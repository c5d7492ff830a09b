"""The command ``crossmesh export``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.cli.options import Checkpoint, named_as_options
from crossmesh.emulator.cli.printing import print_fields, print_json
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.progress import display


def export_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run.")],
    onnx: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write an ONNX model whose output is logits."),
    ] = None,
    npz: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write only the weights, with PyTorch's names and layouts."
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder with the files of the data set.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Write the trained network of RUN to files that other programs read.

    Example: [bold]crossmesh export runs/digits --onnx digits.onnx --npz digits.npz[/bold]. A config
    takes them back with [bold]network: {onnx: digits.onnx}[/bold] or
    [bold]weights: digits.npz[/bold].
    """
    if onnx is None and npz is None:
        raise ConfigError("export must be given --onnx FILE, --npz FILE or both, got neither")
    for name, path in (("--onnx", onnx), ("--npz", npz)):
        if path is not None and not path.absolute().parent.is_dir():
            raise ConfigError(f"{name} must be in an existing folder, got {path}")
        if path is not None and path.is_dir():
            raise ConfigError(f"{name} must be a file, got the folder {path}")
    from crossmesh.emulator.training.export import export  # onnx takes a moment to import

    directory = RunDirectory.existing(run)
    where = [] if data_dir is None else [f"data.directory={data_dir}"]
    with named_as_options({"checkpoint": "--checkpoint"}):
        config = directory.config([*where, "engine.kind=local"], checkpoint)
    with display(quiet=quiet) as callbacks:
        try:
            result = export(directory, config, onnx=onnx, npz=npz, warn=callbacks.note)
        except OSError as error:
            raise ConfigError(f"the files must be writable, got {error}") from None
    print_json(result) if json_ else print_fields(result)

"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Any

import typer

from crossmesh.emulator.config.loading import overrides
from crossmesh.tiles.analog.programmed import MODELS

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
Inference = Annotated[
    str | None,
    typer.Option(metavar="|".join(MODELS), help="Memory model used by --after; by default pcm."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def where(engine: str | None, address: str | None, data_dir: Path | None) -> list[str]:
    """The options that say where tiles run and data lie, as ``--set`` takes them."""
    return given({"engine.kind": engine, "engine.address": address, "data.directory": data_dir})


def given(options: dict[str, Any]) -> list[str]:
    """The options that were given, as ``--set`` takes them."""
    return overrides({field: value for field, value in options.items() if value is not None})

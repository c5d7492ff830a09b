"""Options that several commands have."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.common.hints import command
from crossmesh.emulator.config.loading import overrides
from crossmesh.emulator.config.overriding import assignment
from crossmesh.emulator.study.config import is_study
from crossmesh.tiles.analog.programmed import MODELS


def _checked(settings: list[str] | None) -> list[str] | None:
    for setting in settings or ():
        assignment(setting, "--set")
    return settings


def no_study(source: str) -> str:
    """A word that stands for a config, or a ConfigError if it is a study's."""
    if is_study(source):
        running = command("study", source)
        raise ConfigError(f"CONFIG must be a config, got the study {source}; run it by {running}")
    return source


Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=C",
        help="Set a field of the config; may be repeated.",
        callback=_checked,
    ),
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
    str,
    typer.Argument(
        metavar="CONFIG",
        help="A YAML file, or the name of a shipped config.",
        callback=no_study,
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Argument(metavar="[A.B=C]...", help="Fields of the config to set, as --set does."),
]
Inference = Annotated[
    str | None,
    typer.Option(metavar="|".join(MODELS), help="Memory model used by --after; by default pcm."),
]
DeviceSeed = Annotated[int, typer.Option(min=0, help="Seed of the emulated devices.")]
Checkpoint = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Checkpoint of the run; by default its newest."),
]
Log = Annotated[
    str | None,
    typer.Option(
        metavar="csv,tensorboard,mlflow,wandb", help="Log the metrics for other programs as well."
    ),
]
StopEarly = Annotated[
    str | None,
    typer.Option(
        "--stop-early",
        metavar="[FIGURE:]patience=N",
        help="Stop after N epochs without improvement of a figure such as test_loss; off: never.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def where(engine: str | None, address: str | None, data_dir: Path | None) -> list[str]:
    """The options that say where tiles run and data lie, as ``--set`` takes them."""
    return given({"engine.kind": engine, "engine.address": address, "data.directory": data_dir})


def changes(words: Iterable[str]) -> list[str]:
    """Words behind a config, each of which sets a field.

    Raises:
        ConfigError: If one does not.
    """
    names, fields = names_and_changes(words)
    for name in names:
        raise ConfigError(f"CONFIG must be followed by fields like a.b=value only, got {name}")
    return fields


def names_and_changes(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """The words that name configs, and those that set fields of them.

    >>> names_and_changes(["digits", "training.epochs=3", "mnist"])
    (['digits', 'mnist'], ['training.epochs=3'])
    """
    names: list[str] = []
    fields: list[str] = []
    for word in words:
        is_name = "=" not in word or Path(word).is_file()
        (names if is_name else fields).append(word)
    return names, fields


def given(options: dict[str, Any]) -> list[str]:
    """The options that were given, as ``--set`` takes them."""
    return overrides({field: value for field, value in options.items() if value is not None})


def stopping(text: str | None) -> list[str]:
    """What ``--stop-early`` says, as ``--set`` takes it.

    >>> stopping("test_loss:patience=2")
    ['training.stop_early.monitor=test_loss', 'training.stop_early.patience=2']
    >>> stopping("off"), stopping(None)
    (['training.stop_early=null'], [])
    """
    if text in {None, "off"}:
        return ["training.stop_early=null"] if text else []
    fields = []
    for k, part in enumerate(str(text).split(":")):
        is_monitor = not k and "=" not in part
        name, equals, value = ("monitor", "=", part) if is_monitor else part.partition("=")
        if not (name and equals and value):
            rule = "must be [FIGURE:]patience=N, such as patience=3 or test_loss:patience=3, or off"
            raise ConfigError(f"--stop-early {rule}, got {text}")
        fields.append(f"training.stop_early.{name}={value}")
    return fields


@contextlib.contextmanager
def named_as_options(options: Mapping[str, str]) -> Iterator[None]:
    """Within, errors call an argument of a function by the option that it was given as.

    Args:
        options: Name of the option by that of the argument.
    """
    try:
        yield
    except ConfigError as error:
        name, space, rest = str(error).partition(" ")
        raise type(error)(f"{options.get(name, name)}{space}{rest}") from None

"""Options by which commands reach a board, and a bar for its requests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich import progress as rich
from rich.console import Console

from crossmesh.common.durations import duration
from crossmesh.common.errors import ConfigError
from crossmesh.tiles.boards.access import Access
from crossmesh.tiles.boards.addresses import FORMS, Address, address_of
from crossmesh.tiles.boards.client import BoardClient
from crossmesh.tiles.boards.keys import keys_of, token_of

BoardAddress = Annotated[
    str,
    typer.Argument(metavar="ADDRESS", help=f"Where the board is: {', '.join(FORMS.values())}."),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token", metavar="FILE", help="File with the token of the board.")
]
KeysFile = Annotated[
    Path | None,
    typer.Option("--keys", metavar="FILE", help="File with keys for curve: addresses."),
]
Patience = Annotated[
    float,
    typer.Option(min=0, metavar="SECONDS", help="How long to wait for a board that has vanished."),
]
Watch = Callable[[int], None]
T = TypeVar("T")


@contextmanager
def board_client(
    address: str, token: Path | None, keys: Path | None, patience_s: float
) -> Iterator[BoardClient]:
    """The client of the board that options name.

    Raises:
        ConfigError: If one of them cannot be used.
        BoardError: If the board cannot be reached.
    """
    access = Access(
        address=checked_address(address, "ADDRESS"),
        token=None if token is None else _read(token_of, token, "--token"),
        keys=None if keys is None else _read(keys_of, keys, "--keys"),
        patience_s=patience_s,
    )
    board = BoardClient(access, lambda line: typer.echo(line, err=True))
    try:
        yield board
    finally:
        board.close()


def checked_address(text: str, option: str) -> Address:
    """An address, or the error that names the option."""
    try:
        return address_of(text)
    except ValueError as error:
        raise ConfigError(f"{option} {error}") from None


def _read(reader: Callable[[Path], T], path: Path, option: str) -> T:
    try:
        return reader(path)
    except OSError as error:
        raise ConfigError(f"{option} must be readable, got {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{option} {error}") from None


@contextmanager
def request_bar(what: str, total: int, seconds: float, *, quiet: bool) -> Iterator[Watch]:
    """A bar for so many requests on a terminal; before it, about how long they take.

    Args:
        what: What they do.
        total: Requests.
        seconds: How long they take by what the board says of itself; 0: it does not.
        quiet: Whether to show nothing.
    """
    console = Console(stderr=True)
    if not quiet:
        takes = f", about {duration(seconds)}" if seconds else ""
        console.print(f"{what}: {total:,} requests{takes}", highlight=False, soft_wrap=True)
    bar = rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.TextColumn("{task.percentage:3.0f} %"),
        rich.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    task = bar.add_task(what, total=total)
    with bar:
        yield lambda done: bar.update(task, completed=done)

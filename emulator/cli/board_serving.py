"""Serving a board from a command: where, to whom, and what to tell people."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.common.supervision import interrupts
from crossmesh.tiles.boards.addresses import Address, address_of
from crossmesh.tiles.boards.hardware import Hardware

T = TypeVar("T")
At = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="unix:PATH, tcp:HOST:PORT, curve:HOST:PORT or serial:DEVICE@BAUD; port 0: any.",
    ),
]
Token = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="File with the token that clients must have, for its owner alone."
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="For curve: file of keys for clients; made, with FILE.server, if it is not there.",
    ),
]


def served_at(at: str, token: Path | None, keys: Path | None) -> Address:
    """The address to serve a board at.

    Raises:
        ConfigError: If no board can be served there, or not without a token or keys.
    """
    try:
        address = address_of(at)
    except ValueError as error:
        raise ConfigError(f"--at {error}") from None
    if address.kind == "replay":
        raise ConfigError(f"--at must be a unix, tcp, curve or serial address, got {at}")
    if address.kind == "tcp" and address.is_outside and token is None:
        raise ConfigError(
            f"--token must be given where other machines can connect, got none with --at {at}"
        )
    if address.kind == "curve" and keys is None:
        raise ConfigError(f"--keys must be given for an encrypted line, got none with --at {at}")
    return address


def serve_board(
    hardware: Hardware, address: Address, token: Path | None, keys: Path | None
) -> None:
    """Serve a board until a signal asks to end.

    Args:
        hardware: The board.
        address: As ``served_at`` has checked it.
        token: File of the token that clients must have, or None.
        keys: File of the clients' keys, or None.
    """
    from crossmesh.tiles.boards import keys as boards
    from crossmesh.tiles.boards.listening import serve
    from crossmesh.tiles.boards.serving import Service

    secret = None
    if token is not None:
        secret = _of_file("--token", token, boards.token_of)
    pair = None
    if address.kind == "curve" and keys is not None:
        pair, _ = _of_file("--keys", keys, boards.new_keys)
    with interrupts.deferred():
        serve(
            Service(hardware, secret), address, pair,
            ready=lambda at: _tell(at, token, keys), stop=interrupts.requested,
        )  # fmt: skip


def _of_file(option: str, path: Path, read: Callable[[Path], T]) -> T:
    """What a file of secrets holds.

    Raises:
        ConfigError: If it cannot be read or holds something else.
    """
    try:
        return read(path)
    except ValueError as error:
        raise ConfigError(f"{option} {error}") from None
    except OSError as error:
        raise ConfigError(f"{option} {path} must be readable: {error.strerror}") from None


def _tell(address: Address, token: Path | None, keys: Path | None) -> None:
    """Say where the board listens, and how a config uses it."""
    if address.kind == "unix":
        address = Address("unix", str(Path(address.place).resolve()))
    fields = {"kind": "board", "address": address}
    if token is not None and address.kind != "unix":
        fields["token"] = token.resolve()
    if address.kind == "curve" and keys is not None:
        fields["keys"] = keys.resolve()
    section = ", ".join(f"{name}: {value}" for name, value in fields.items())
    typer.echo(f"listening at {address}")
    typer.echo(f"use it with: --set 'tile.array={{{section}}}'")
    typer.echo("end it with Ctrl-C")

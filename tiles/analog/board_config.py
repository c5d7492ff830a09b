"""Where devices of a tile lie that are on a board: the section ``tile.array`` of a config."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen, Many
from crossmesh.tiles.boards.access import Access
from crossmesh.tiles.boards.addresses import address_of
from crossmesh.tiles.boards.keys import keys_of, token_of
from crossmesh.tiles.boards.maps import LineMap, read_map

T = TypeVar("T")
Conductances = Annotated[
    Many[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)
]


def _checked(text: str) -> str:
    address = address_of(text)
    if address.kind in {"unix", "replay"}:  # so that a run can go on from another folder
        address = replace(address, place=_whole(address.place))
    return str(address)


def _whole(path: str) -> str:
    return str(Path(path).absolute())


FilePath = Annotated[str, AfterValidator(_whole)]


class BoardArray(Frozen):
    """Devices of a tile that lie on a real board, or on a simulated one.

    What a tile's cells are still comes from ``tile.cell``: how large their steps are, for which
    updates are scaled, and between which values they move. What a pulse really does, the board
    decides: it is read after every write, and forward and backward reads multiply with what was
    read. Bits then depend on the board; a transcript of it can be replayed.

    Attributes:
        kind: Where devices lie.
        address: ``unix:PATH``, ``tcp:HOST:PORT``, ``curve:HOST:PORT``, ``serial:DEVICE@BAUD``, or
            ``replay:FILE`` of a transcript.
        region: Word line and bit line of the board at which the layer's first matrix begins.
        planes: Which of the cell's arrays lie there; None: all. The others are emulated.
        siemens: Conductances of the board at the lower and upper bound of a typical device; None:
            as ``electrical`` of the device says, if that was measured or published, else as the
            board says.
        reads: ``cells``: products are those of the conductances that were read after the last
            write. ``products``: the board multiplies, which takes a request for every product.
        tolerance: Error, as a part of the range of ``siemens``, with which a write is content and
            devices are left as they are when a run goes on.
        patience_s: Seconds to wait for a board that has vanished, before the run ends.
        token: File with the token that the board asks for.
        keys: File with keys for ``curve``, as the board's server wrote it.
        map: File of lines to use, as ``crossmesh board check`` writes it; None: all.
        transcript: Folder for what is sent and comes back, a file for each tile; None: none.
    """

    kind: Literal["board"] = "board"
    address: Annotated[str, AfterValidator(_checked)]
    region: Many[Annotated[int, Field(ge=0, le=65535)]] = Field((0, 0), min_length=2, max_length=2)
    planes: Many[str] | None = Field(None, min_length=1)
    siemens: Conductances | None = None
    reads: Literal["cells", "products"] = "cells"
    tolerance: float = Field(0.01, gt=0, le=1)
    patience_s: float = Field(600.0, ge=0, le=1e7)
    token: FilePath | None = None
    keys: FilePath | None = None
    map: FilePath | None = None
    transcript: FilePath | None = None

    @model_validator(mode="after")
    def _conductances_rise(self) -> Self:
        if self.siemens is not None and self.siemens[0] >= self.siemens[1]:
            raise ValueError(f"siemens must rise, got {list(self.siemens)}")
        return self

    def access(self, tile: int) -> Access:
        """How a tile reaches it.

        Raises:
            ConfigError: If a file of keys or of a token cannot be used.
        """
        address = address_of(self.address)
        if address.kind == "replay" and Path(address.place).is_dir():
            address = address_of(f"replay:{Path(address.place) / _file_of(tile)}")
        return Access(
            address=address,
            token=_of_file("token", self.token, token_of),
            keys=_of_file("keys", self.keys, keys_of),
            patience_s=self.patience_s,
            transcript=Path(self.transcript) / _file_of(tile) if self.transcript else None,
        )

    @property
    def lines(self) -> LineMap | None:
        """Lines to use, or None: all."""
        return _of_file("map", self.map, read_map)


def _file_of(tile: int) -> str:
    return f"tile-{tile:06d}.transcript"


def _of_file(name: str, path: str | None, read: Callable[[Path], T]) -> T | None:
    if path is None:
        return None
    try:
        return read(Path(path))
    except OSError as error:
        raise ConfigError(f"tile.array.{name} cannot be read: {error.strerror}: {path}") from None
    except ValueError as error:
        raise ConfigError(f"tile.array.{name} {error}") from None

"""The schema of ``live.json``: written by runs, read by ``crossmesh watch``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA: Literal[1] = 1


class _LiveSection(BaseModel):
    """What a file says; a newer version may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class LiveHost(_LiveSection):
    """Place of a tile host, and shares of its time since the previous file.

    Attributes:
        host: Its number.
        node: Its machine in the cluster.
        ip: The machine's address.
        tiles: Tiles that it holds.
        compute: Share of work on tiles.
        message: Share of sending and receiving.
        wait: Share of waiting for others.
    """

    host: int
    node: str
    ip: str
    tiles: int
    compute: float
    message: float
    wait: float

    @property
    def busy(self) -> float:
        """Share of anything but waiting: the busiest host is the one that others wait for."""
        return self.compute + self.message


class LiveState(_LiveSection):
    """``live.json``.

    Attributes:
        schema_: Version of the format, ``schema`` in the file.
        phase: Present phase of the run.
        epoch: Epochs finished.
        epochs: Epochs of the run.
        examples: Examples trained.
        total: Examples of the run.
        examples_per_s: Recent rate, once known.
        loss: Recent training loss, once known.
        accuracy: Recent training accuracy, once known.
        updated: When, in seconds since 1970.
        recoveries: Losses survived.
        moves: So often tiles were put into other hosts, to grow or to share evenly.
        checkpoint: Examples trained at the newest checkpoint, if there is one.
        hosts: The tile hosts.
    """

    schema_: Literal[1] = Field(SCHEMA, alias="schema")
    phase: str
    epoch: int
    epochs: int
    examples: int
    total: int
    examples_per_s: float | None
    loss: float | None
    accuracy: float | None
    updated: float
    recoveries: int
    moves: int = 0
    checkpoint: int | None
    hosts: tuple[LiveHost, ...]

    @property
    def slowest_first(self) -> list[LiveHost]:
        """Hosts by how busy they are."""
        return sorted(self.hosts, key=lambda host: (-host.busy, host.host))

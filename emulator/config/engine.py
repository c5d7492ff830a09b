"""Where a run is computed, and when its state is saved: sections ``engine`` and ``checkpoint``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from crossmesh.common.frozen import Frozen
from crossmesh.common.registry import KindName
from crossmesh.tiles.analog.backends import BACKENDS, EMULATED


class Engine(Frozen):
    """Where the tiles run; only ``backend`` can change the result.

    Attributes:
        kind: ``local``: all in this process. ``ray``: in actors of a Ray cluster.
        tiles_per_actor: Tiles that share an actor: a number, ``all``, or ``auto``: one while the
            cluster has room for so many processes, and beyond that one actor per CPU.
        actors: Exactly so many actors, with about the same work each, instead; with ``grow`` at
            most so many.
        address: Address of a running Ray cluster; by default a private one is started.
        nodes: Wait for so many nodes of the cluster; by default those are used that are there.
        code: How other nodes get the code of crossmesh: ``installed`` there, or ``shipped``
            by Ray when the run starts; what crossmesh depends on must be installed in any case.
        timeout_s: Longest wait for the cluster to start or to answer.
        grow: Whether a run takes CPUs that come while it trains: nodes that join the cluster, and
            CPUs that other jobs free. There is one actor per CPU then.
        rebalance: Whether tiles move between actors that are unevenly busy, where that pays.
        metrics: Whether Ray exports figures of the run for Prometheus, with its own; a private
            instance exports none.
        recoveries_per_hour: So often may a run recover from lost actors and nodes before it ends.
        backend: Backend that makes the tiles; other packages may add more.
    """

    kind: Literal["local", "ray"] = "ray"
    tiles_per_actor: Annotated[int, Field(ge=1)] | Literal["auto", "all"] = "auto"
    actors: int | None = Field(None, ge=1)
    address: str | None = None
    nodes: int | None = Field(None, ge=1)
    code: Literal["installed", "shipped"] = "installed"
    timeout_s: float = Field(120.0, gt=0)
    grow: bool = False
    rebalance: bool = True
    metrics: bool = False
    recoveries_per_hour: int = Field(20, ge=0)
    backend: Annotated[str, KindName(BACKENDS)] = EMULATED

    @model_validator(mode="after")
    def _actors_are_counted_once(self) -> Self:
        if self.actors is not None and self.tiles_per_actor != "auto":
            raise ValueError(
                f"actors must come without tiles_per_actor ({self.tiles_per_actor}), "
                f"got {self.actors}"
            )
        if self.grow and self.tiles_per_actor != "auto":
            raise ValueError(
                f"grow must come without tiles_per_actor ({self.tiles_per_actor}), got true"
            )
        return self


class CheckpointConfig(Frozen):
    """When the state of all tiles is saved, besides the end of every epoch.

    Attributes:
        every_examples: After so many examples of an epoch. The schedule ``asynchronous`` drains its
            pipeline there, which is a part of the result; under the others nothing changes.
        every_s: When the last is so many seconds of wall clock old and the pipeline is drained; the
            schedule ``asynchronous`` drains only after ``every_examples``. By default 5 minutes.
        keep: The newest so many are kept.
        storage: Storage that all nodes share: a folder, or an address such as s3://bucket/folder
            of a file system that pyarrow knows; by default the folder checkpoints of the run.
    """

    every_examples: int | None = Field(None, ge=1)
    every_s: float | None = Field(300.0, gt=0)
    keep: int = Field(2, ge=1)
    storage: str | None = Field(None, min_length=1)

"""A cluster of Ray nodes on this machine, for as long as a training runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import typer
from pydantic import Field

from crossmesh.cluster.launch.config import Port
from crossmesh.cluster.launch.launcher import ClusterAtHand
from crossmesh.cluster.launch.local import LocalNodes, checked_port
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.tokens import checked_token
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.data.config import UserPath


class LocalCluster(ClusterAtHand):
    """Ray nodes on this machine, each with processes, an address and a folder of its own.

    Attributes:
        nodes: Number of nodes.
        cpus_per_node: CPUs that Ray counts on each; they are shares of this machine's.
        object_store_bytes: Memory of each node for Ray's objects.
        port: Port on which the head listens; by default a free one.
        token: File with the token; by default a fresh token, which ends with the nodes.
        timeout_s: Longest wait until all nodes have joined.
    """

    kind: Literal["local"] = "local"
    nodes: int = Field(3, ge=1, le=250)
    cpus_per_node: int = Field(1, ge=1)
    object_store_bytes: int = Field(256 << 20, ge=80 << 20)
    port: Port | None = None
    token: UserPath | None = None
    timeout_s: float = Field(120.0, gt=0)

    @property
    def described(self) -> tuple[str, str]:
        """An address that is known when the nodes run."""
        where = f"on {self.nodes} Ray nodes of this machine, {self.cpus_per_node} CPUs each"
        return "HOST:PORT", where

    def preflight(self, order: Order, folder: Path) -> Iterator[str]:
        """A port that is taken, or a token that cannot be used."""
        for check in (self._check_port, self._check_token):
            try:
                check()
            except ConfigError as error:
                yield str(error)

    def _check_port(self) -> None:
        if self.port is not None:
            checked_port(self.port)

    def _check_token(self) -> None:
        if self.token is not None:
            checked_token(self.token, "token")

    @contextmanager
    def reached(self, *, quiet: bool) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The nodes, which end with the training."""
        nodes = LocalNodes(
            self.nodes,
            cpus_per_node=self.cpus_per_node,
            object_store_bytes=self.object_store_bytes,
            variables=self.variables,
            token=self.token,
            port=self.port,
            timeout_s=self.timeout_s,
        )
        if not quiet:
            typer.echo(f"starting {self.nodes} Ray nodes on this machine", err=True)
        with nodes:
            yield nodes.address, {**self.variables, **nodes.environment}

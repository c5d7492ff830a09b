"""A cluster that runs already, which must be within reach and have what its file promises."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from crossmesh.cluster.launch.launcher import ClusterAtHand
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.tokens import checked_token, token_variables
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.data.config import UserPath
from crossmesh.emulator.executors import environment
from crossmesh.emulator.executors.reach import alive_nodes, check_reachable, is_ours

_LAW = "address must be where a Ray cluster listens"


class ExistingCluster(ClusterAtHand):
    """A Ray cluster that runs already; this machine must be one of its nodes.

    Attributes:
        address: ``host:port`` of its head.
        token: File with its token; by default the user's own.
        nodes: Least number of nodes that it must have.
        cpus_per_node: Least number of CPUs of each of these nodes.
    """

    kind: Literal["existing"] = "existing"
    address: str = Field(pattern=r"^[^\s:/]+:[0-9]{1,5}$")
    token: UserPath | None = None
    nodes: int = Field(1, ge=1)
    cpus_per_node: int = Field(1, ge=1)

    @property
    def described(self) -> tuple[str, str]:
        """Its address."""
        return self.address, f"on the cluster at {self.address}"

    def preflight(self, order: Order, folder: Path) -> Iterable[str]:
        """The address, the token or what the cluster lacks."""
        try:
            check(self)
        except ConfigError as error:
            yield str(error)

    @contextmanager
    def reached(self, *, quiet: bool) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The cluster, which has been checked."""
        os.environ.update(self.variables)
        yield self.address, {}


def check(cluster: ExistingCluster) -> None:
    """Refuse a cluster that cannot be used, before anything is loaded for it.

    It sets what Ray reads from the environment, so it must run before Ray is imported.

    Raises:
        ConfigError: With one line: the address, the token or what the cluster lacks.
    """
    if cluster.token is not None:
        os.environ.pop("RAY_AUTH_TOKEN", None)  # which would count instead
        os.environ.update(token_variables(checked_token(cluster.token, "token")))
    check_reachable(cluster.address, _LAW)
    environment.prepare(cluster.address)
    _check_nodes(cluster, alive_nodes(cluster.address, _LAW))


def _check_nodes(cluster: ExistingCluster, nodes: list[Any]) -> None:
    large = [node for node in nodes if _cpus(node) >= cluster.cpus_per_node]
    if len(large) < cluster.nodes:
        raise ConfigError(
            f"nodes must be at most {len(large)}, which the cluster at {cluster.address} has alive "
            f"with {cluster.cpus_per_node} CPUs or more, got {cluster.nodes}"
        )
    addresses = [node.node_manager_address for node in nodes]
    if not any(map(is_ours, addresses)):
        raise ConfigError(
            f"address must be of a cluster that this machine is a node of ({', '.join(addresses)}),"
            f" got {cluster.address}; launch there, or start a node here: ray start --address="
            f"{cluster.address} --num-cpus=0"
        )


def _cpus(node: Any) -> float:
    return float(dict(node.resources_total).get("CPU", 0.0))

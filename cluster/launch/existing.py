"""A cluster that runs already: whether it can be reached, and has what its description promises."""

import os
import socket
from typing import Any

from crossmesh.cluster.launch.config_ray import ExistingCluster
from crossmesh.cluster.launch.tokens import checked_token, token_variables
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.executors import environment
from crossmesh.emulator.executors.reach import alive_nodes, check_reachable

_LAW = "address must be where a Ray cluster listens"


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
    if not any(map(_is_ours, addresses)):
        raise ConfigError(
            f"address must be of a cluster that this machine is a node of ({', '.join(addresses)}),"
            f" got {cluster.address}; launch there, or start a node here: ray start --address="
            f"{cluster.address} --num-cpus=0"
        )


def _cpus(node: Any) -> float:
    return float(dict(node.resources_total).get("CPU", 0.0))


def _is_ours(address: str) -> bool:
    try:
        with socket.create_server((address, 0)):
            return True
    except OSError:
        return False

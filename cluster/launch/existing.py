"""A cluster that runs already: whether it can be reached, and has what its description promises."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

from cluster.launch.config import ExistingCluster
from cluster.launch.tokens import checked_token, token_variables
from emulator.errors import ConfigError
from emulator.executors import environment

REACH_S = 5.0  # longest wait for an answer


def check(cluster: ExistingCluster) -> None:
    """Refuse a cluster that cannot be used, before anything is loaded for it.

    It sets what Ray reads from the environment, so it must run before Ray is imported.

    Raises:
        ConfigError: With one line: the address, the token or what the cluster lacks.
    """
    if cluster.token is not None:
        os.environ.pop("RAY_AUTH_TOKEN", None)  # which would count instead
        os.environ.update(token_variables(checked_token(cluster.token, "token")))
    _check_reachable(cluster.address)
    environment.prepare(cluster.address)
    _check_nodes(cluster, _alive(cluster))


def _check_reachable(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise ConfigError(
            f"address must be where a Ray cluster listens, got {address} ({reason.lower()}); a "
            "port that does not answer may be blocked by a firewall"
        ) from None


def _alive(cluster: ExistingCluster) -> list[Any]:
    """The nodes that live, as Ray describes them."""
    # Ray is imported when the environment is set, and not before.
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled, without types
    from ray.exceptions import AuthenticationError, RpcError

    try:
        with _muted():
            nodes = GcsClient(address=cluster.address).get_all_node_info(timeout=REACH_S)
    except AuthenticationError:
        shown = f"the one in {cluster.token}" if cluster.token else "your own, or none"
        raise ConfigError(
            f"token must be that of the cluster at {cluster.address}, got {shown}; give the file "
            "as token, or by RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        ) from None
    except (RpcError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        law = "address must be where a Ray cluster listens"
        raise ConfigError(f"{law}, got {cluster.address} ({reason})") from None
    return [node for node in nodes.values() if node.state == 0]


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


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Keep what Ray's C++ side writes to stderr from the user: failures are told in our words."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)

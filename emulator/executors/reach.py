"""Whether a cluster can be reached at an address, and lets this process in; without joining it."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.executors.ray_internals import demands_token, nodes_at

REACH_S = 5.0  # longest wait for an address to accept a connection, and for an answer


def check_reachable(address: str, rule: str) -> None:
    """Refuse an address at which nothing listens, before Ray waits for it.

    Args:
        address: ``host:port``.
        rule: The rule that an error states before the value.

    Raises:
        ConfigError: If that is so.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or "/" in address:
        raise ConfigError(f"{rule}, got {address}")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise ConfigError(
            f"{rule}, got {address} ({reason.lower()}); a port that does not answer may be blocked "
            "by a firewall"
        ) from None


def alive_nodes(address: str, rule: str) -> list[Any]:
    """The nodes of a cluster that live, as Ray describes them, asked for without joining it.

    Raises:
        ConfigError: If the cluster has another token, or none and this process demands one; does
            not answer; or if its node on this machine belongs to another user, whom alone Ray's
            sockets let in.
    """
    # Ray is imported when the environment is set, and not before.
    import ray
    from ray.exceptions import AuthenticationError, RpcError

    try:
        with muted():
            nodes = nodes_at(address, REACH_S)
            if not ray.is_initialized():
                _check_mode(address)
    except AuthenticationError:
        raise ConfigError(
            f"the token must be that of the cluster at {address}, got another one, or none: set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file with it"
        ) from None
    except (RpcError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"{rule}, got {address} ({reason})") from None
    _check_open(nodes, address)
    return nodes


def _check_mode(address: str) -> None:
    """Refuse a cluster without tokens if this process demands one.

    Ray would join it, and then wait in vain for all that its nodes ask of this process, such as
    results of more than 100 KB.
    """
    ours = os.environ.get("RAY_AUTH_MODE", "").lower()
    if ours == "token" and not demands_token(address, REACH_S):
        raise ConfigError(
            f"RAY_AUTH_MODE must be the same here and on the nodes of {address}, got token here "
            "(the default where ~/.ray/auth_token is) and none there: set RAY_AUTH_MODE=disabled "
            "here, or start the nodes with RAY_AUTH_MODE=token and this token"
        )


def is_ours(address: str) -> bool:
    """Whether an address is one of this machine's."""
    try:
        with socket.create_server((address, 0)):
            return True
    except OSError:
        return False


def _check_open(nodes: list[Any], address: str) -> None:
    """Refuse a node of this machine that is another user's, at which Ray would abort."""
    sockets = [node.raylet_socket_name for node in nodes if is_ours(node.node_manager_address)]
    if sockets and not any(os.access(path, os.W_OK) for path in sockets):
        raise ConfigError(
            f"address must be of a cluster whose node on this machine is of the same user (Ray "
            f"lets in nobody else), got {address}; train from the account that started it, or "
            "from a machine on which ray start was run from this account"
        )


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Keep what Ray's C++ side writes to stderr from the user: we report failures."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)

"""All uses of Ray that are not public API, each with the reason; tested with Ray 2.60.

Ray has no public calls for these. A new version that lacks one fails here, in tests of this file.
Everything is imported when it is used, after the environment that Ray reads is set.
"""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from crossmesh.common.supervision import interrupts

_STAND_IN = Path(__file__).with_name("stand_in.py")
_SERVICES = ("METRICS_AGENT", "METRICS_EXPORT", "DASHBOARD_AGENT_LISTEN", "RUNTIME_ENV_AGENT")
_NO_PORT = -1  # so Ray's own agents say that there is no such service


def import_ray() -> None:
    """Import Ray whole before a signal is heeded.

    Half-way it registers what is called at the end of this process, which fails with half of Ray.
    """
    with interrupts.deferred():
        importlib.import_module("ray")


def process_ids(kinds: Iterable[str]) -> list[int]:
    """Ids of processes of the instance that this process has started.

    The public API says nothing of them, and a run is lost with its raylet or GCS.
    """
    import ray

    node: Any = ray._private.worker._global_node
    return [started.process.pid for kind in kinds for started in node.all_processes.get(kind, [])]


def silence_worker_messages() -> None:
    """Keep Ray from printing the deaths of workers to stdout, which no public setting does."""
    import ray

    worker = ray._private.worker
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *arguments, **options: None


def free_resources() -> dict[str, dict[str, float]]:
    """What is free on each node; ``ray.available_resources`` has the sum of all nodes alone."""
    import ray

    free: dict[str, dict[str, float]] = ray._private.state.available_resources_per_node()
    return free


def is_clustered() -> bool:
    """Whether Ray would listen on all addresses, also where one node is all there is."""
    from ray._private import ray_constants

    return bool(ray_constants.ENABLE_RAY_CLUSTER)


def read_environment_again(*, is_clustered: bool) -> None:
    """Have Ray look at the environment, which it does by itself only when it is imported.

    So an instance in a process that had Ray before gets a token and the loopback address too.
    """
    from ray._private import ray_constants
    from ray._raylet import (  # type: ignore[attr-defined]  # compiled, without types
        AuthenticationTokenLoader,
        Config,
    )

    ray_constants.ENABLE_RAY_CLUSTER = is_clustered
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def nodes_at(address: str, timeout_s: float) -> list[Any]:
    """The nodes that live of a cluster that this process has not joined.

    ``ray.init`` would join it first, and aborts the process where the token is wrong.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled, without types

    nodes = GcsClient(address=address).get_all_node_info(timeout=timeout_s)
    return [node for node in nodes.values() if node.state == 0]


def demands_token(address: str, timeout_s: float) -> bool:
    """Whether a cluster that this process has not joined refuses calls without a token."""
    from ray.exceptions import AuthenticationError

    before = os.environ.get("RAY_AUTH_MODE")
    os.environ["RAY_AUTH_MODE"] = "disabled"
    try:
        read_environment_again(is_clustered=is_clustered())
        nodes_at(address, timeout_s)
    except AuthenticationError:
        return True
    finally:
        os.environ.pop("RAY_AUTH_MODE")
        if before is not None:
            os.environ["RAY_AUTH_MODE"] = before
        read_environment_again(is_clustered=is_clustered())
    return False


def check_cluster_file(tree: dict[str, Any]) -> None:
    """Have Ray's own schema judge a file for ``ray up``, before machines are paid for."""
    import_ray()
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(tree))


@contextlib.contextmanager
def few_processes(n_workers: int | None) -> Iterator[None]:
    """Within this, an instance starts without five processes that actors do not need.

    They are the autoscaler, the server of the dashboard, the reader of logs, and the agents of a
    node for metrics and for runtime environments: each is a Python process of 40 MB that is busy
    for half a second, and the start waits for three of them. No public setting leaves them out.

    Args:
        n_workers: Processes for actors that are started at once; None: one for each CPU.
    """
    from ray._private import services
    from ray._private.node import Node

    started = services.start_ray_process

    def start(command: list[str], kind: str, *arguments: Any, **options: Any) -> Any:
        words = _without_agents(command, n_workers) if kind == "raylet" else command
        return started(words, kind, *arguments, **options)

    def skip(self: Any, *arguments: Any, **options: Any) -> None:
        pass

    with (
        _replaced(Node, start_monitor=skip, start_log_monitor=skip, start_api_server=skip),
        _replaced(services, start_ray_process=start),
    ):
        yield


@contextlib.contextmanager
def _replaced(owner: Any, **values: Any) -> Iterator[None]:
    """Attributes have other values within this."""
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def _without_agents(command: list[str], n_workers: int | None) -> list[str]:
    """The command of a raylet whose agents do nothing, and which does not wait for their ports."""
    from ray import _raylet

    raylet: Any = _raylet  # compiled, without types
    given = dict(word.split("=", 1) for word in command if "=" in word)
    for service in _SERVICES:
        name = getattr(raylet, f"{service}_PORT_NAME")
        raylet.persist_port(given["--session_dir"], given["--node_id"], name, _NO_PORT)
    stand_in = subprocess.list2cmdline([sys.executable, "-IS", str(_STAND_IN)])
    ours = {
        "--dashboard_agent_command": stand_in,
        "--runtime_env_agent_command": stand_in,
    }
    if n_workers is not None:
        ours["--num_prestart_python_workers"] = str(n_workers)
    names = [word.partition("=")[0] for word in command]
    return [
        f"{name}={ours[name]}" if name in ours else word
        for name, word in zip(names, command, strict=True)
    ]

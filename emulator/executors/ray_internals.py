"""All uses of Ray that are not public API, each with the reason; tested with Ray 2.60.

Ray has no public calls for these. A new version that lacks one fails here, in tests of this file.
Everything is imported when it is used, after the environment that Ray reads is set.
"""

from collections.abc import Iterable
from typing import Any


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


def check_cluster_file(tree: dict[str, Any]) -> None:
    """Have Ray's own schema judge a file for ``ray up``, before machines are paid for."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(tree))

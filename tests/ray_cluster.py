"""A Ray cluster of several nodes here: ``python -m tests.ray_cluster 2`` prints its address.

It ends when its standard input is closed, so that it never outlives a test.
"""

import logging
import os
import sys

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from ray.cluster_utils import Cluster


def main() -> None:
    """Run the cluster."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    node = {"num_cpus": 2, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(int(sys.argv[1]) - 1):
            cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
        print(cluster.address, flush=True)  # noqa: T201  because it is what the test reads
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()

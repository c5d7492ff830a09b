"""Ray clusters that are at hand: nodes on this machine, or one that runs already."""

from typing import Literal

from pydantic import Field

from crossmesh.cluster.launch.config import Cluster, Port
from crossmesh.emulator.data.config import UserPath


class LocalCluster(Cluster):
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


class ExistingCluster(Cluster):
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

"""What to project to: numbers of actors, the nodes that they are on, and what joins these."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crossmesh.cluster.scaling.events import Deployment
from crossmesh.cluster.scaling.network import NodeNetwork
from crossmesh.cluster.scaling.plan import counts
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.executors.placement import spread


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Numbers of actors, and where they are.

    Attributes:
        actors: Numbers of actors, rising; none for the default.
        nodes: Nodes for each of them; by default as many as have a processor for each actor.
        network: What joins the nodes; None: as within the nodes that were measured.
    """

    actors: tuple[int, ...] = ()
    nodes: Mapping[int, int] = field(default_factory=dict)
    network: NodeNetwork | None = None

    def nodes_of(self, actors: int, default: int) -> int:
        """Number of nodes for so many actors."""
        return self.nodes.get(actors, default)

    def site(self, actors: int, nodes: int) -> Deployment:
        """Where the actors are: consecutive ones on a node, each with a processor of its own."""
        if self.network is None:
            return Deployment()
        there = spread(actors, [-(-actors // nodes)] * nodes)
        return Deployment(node_of=there, network=self.network)


HERE = Projection()


def projection_of(actors: str | None, nodes: str | None, network: NodeNetwork | None) -> Projection:
    """The projection that options ask for.

    Args:
        actors: Value of ``--project``.
        nodes: Value of ``--nodes``.
        network: The network of ``--network``.

    Raises:
        ConfigError: If they do not fit each other.
    """
    many = counts(actors, "--project") if actors is not None else ()
    if nodes is None:
        return Projection(actors=many, network=network)
    if network is None:
        raise ConfigError("--nodes needs --network, which says what joins them")
    few = tuple(map(int, nodes.split(","))) if _are_counts(nodes) else ()
    if len(few) != len(many) or not few:
        raise ConfigError(
            f"--nodes must be a whole number for each of --project ({len(many)}), got {nodes}"
        )
    for n, there in zip(many, few, strict=True):
        if there > n:
            raise ConfigError(f"--nodes must be at most --project ({n} actors), got {there}")
    return Projection(actors=many, nodes=dict(zip(many, few, strict=True)), network=network)


def _are_counts(text: str) -> bool:
    return all(
        part.strip().isascii() and part.strip().isdigit() and int(part) > 0
        for part in text.split(",")
    )

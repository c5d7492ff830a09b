"""Machines of one's own that are reached over ssh."""

from typing import Any, Literal, Self

from pydantic import model_validator

from crossmesh.cluster.launch.config import Word
from crossmesh.cluster.launch.machines import LaunchedCluster, home
from crossmesh.common.frozen import Many


class OnPremisesCluster(LaunchedCluster):
    """Machines that are there already and are reached over ssh.

    Attributes:
        head: Address of the machine that starts the training.
        workers: Addresses of the others.
    """

    kind: Literal["on-premises"] = "on-premises"
    head: Word
    workers: Many[Word] = ()

    @property
    def nodes(self) -> int:
        """Number of machines."""
        return 1 + len(self.workers)

    @model_validator(mode="after")
    def _machines_differ(self) -> Self:
        machines = [self.head, *self.workers]
        twice = next((name for name in machines if machines.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"workers must be other machines than the head's, got {twice} twice")
        return self

    @property
    def launcher_keys(self) -> dict[str, Any]:
        """The addresses."""
        workers = list(self.workers)
        return {"provider": {"type": "local", "head_ip": self.head, "worker_ips": workers}}

    @property
    def ending(self) -> str:
        """The command that ends our Ray there, and no other."""
        return f"ray exec cluster.yaml 'bash {home(self)}/ray.sh end'"

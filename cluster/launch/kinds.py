"""Kinds of clusters by the name that a cluster's file uses."""

from typing import Annotated

from crossmesh.cluster.launch.existing import ExistingCluster
from crossmesh.cluster.launch.kubernetes.cluster import KubernetesCluster
from crossmesh.cluster.launch.launcher import Launcher
from crossmesh.cluster.launch.local_cluster import LocalCluster
from crossmesh.cluster.launch.machines.clouds import AwsCluster, GcpCluster
from crossmesh.cluster.launch.machines.on_premises import OnPremisesCluster
from crossmesh.cluster.launch.slurm.cluster import SlurmCluster
from crossmesh.common.registry import Kinds, Registry, kind_of

_OWN: tuple[type[Launcher], ...] = (
    LocalCluster,
    ExistingCluster,
    OnPremisesCluster,
    AwsCluster,
    GcpCluster,
    KubernetesCluster,
    SlurmCluster,
)


def _check(kind: type[Launcher]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Launcher)):
        raise TypeError("must be a subclass of crossmesh.cluster.launch.launcher.Launcher")


LAUNCHERS = Registry("crossmesh.launchers", {kind_of(cls): cls for cls in _OWN}, _check)
AnyCluster = Annotated[Launcher, Kinds(Launcher, LAUNCHERS)]

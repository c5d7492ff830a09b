"""Every kind of cluster that a description can name."""

from typing import Annotated

from pydantic import Field

from crossmesh.cluster.launch.config_machines import AwsCluster, GcpCluster, OnPremisesCluster
from crossmesh.cluster.launch.config_queues import KubernetesCluster, SlurmCluster
from crossmesh.cluster.launch.config_ray import ExistingCluster, LocalCluster

AnyCluster = Annotated[
    LocalCluster
    | ExistingCluster
    | OnPremisesCluster
    | AwsCluster
    | GcpCluster
    | KubernetesCluster
    | SlurmCluster,
    Field(discriminator="kind"),
]

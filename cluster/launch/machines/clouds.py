"""Virtual machines of clouds, which Ray makes and removes: EC2, GCE."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from crossmesh.cluster.launch.config import Word
from crossmesh.cluster.launch.machines import ec2, gce
from crossmesh.cluster.launch.machines.checks import key_misses
from crossmesh.cluster.launch.machines.cluster import LaunchedCluster
from crossmesh.cluster.launch.machines.ray_up import VirtualMachines
from crossmesh.cluster.launch.order import Order


class AwsCluster(VirtualMachines):
    """Virtual machines of Amazon EC2, made for the run and removed behind it.

    Attributes:
        nodes: Number of nodes, including the head.
        region: Region of the cloud.
        availability_zone: Zone of the region; by default any.
        instance_type: Instance type of every node.
        machine_image: Identifier of the machine image, with Python 3.11 or newer; by default
            Canonical's newest Ubuntu 24.04.
        disk_gb: Size of each machine's disk.
        spot: Whether the workers may be taken away at any time, at a lower price.
        instance_profile: ARN of the role that lets all nodes reach the storage.
    """

    package: ClassVar[str] = "boto3"
    head_packages: ClassVar[tuple[str, ...]] = ("boto3",)
    kind: Literal["aws"] = "aws"
    nodes: int = Field(ge=1)
    region: Word = "us-west-2"
    availability_zone: Word | None = None
    instance_type: Word = "m5.2xlarge"
    machine_image: Word | None = None
    disk_gb: int = Field(100, ge=8)
    spot: bool = False
    instance_profile: Word | None = None

    @property
    def launcher_keys(self) -> dict[str, Any]:
        """The region, and what the machines are."""
        provider = {"type": "aws", "region": self.region, "cache_stopped_nodes": False}
        if self.availability_zone is not None:
            provider["availability_zone"] = self.availability_zone
        return {"provider": provider, **_node_types(self, *self._nodes())}

    def preflight(self, order: Order, folder: Path) -> Iterator[str]:
        """What this machine lacks, or the cloud."""
        yield from (here := list(super().preflight(order, folder)))
        yield from key_misses(self.ssh)
        if not here:
            yield from ec2.misses(self.region, self.instance_type, self.machine_image)

    @property
    def rays_keys(self) -> str:
        """One for the region."""
        return f"ray-autoscaler*_{self.region}.pem"

    def resolved(self, tree: dict[str, Any]) -> dict[str, Any]:
        """With the newest image, if none is named."""
        if self.machine_image is None:
            image = ec2.newest_image(ec2.client(self.region), self.region, self.instance_type)
            for kind in tree["available_node_types"].values():
                kind["node_config"]["ImageId"] = image
        return tree

    def removed(self, name: str, folder: Path, wait: Callable[[], None]) -> None:
        """Terminate the instances."""
        ec2.remove(self.region, name, wait)

    def _nodes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": self.disk_gb}}
        node: dict[str, Any] = {
            "InstanceType": self.instance_type,
            "ImageId": self.machine_image or "newest-ubuntu-24.04",  # found when it is launched
            "BlockDeviceMappings": [disk],
        }
        if self.instance_profile is not None:
            node["IamInstanceProfile"] = {"Arn": self.instance_profile}
        spot = {"InstanceMarketOptions": {"MarketType": "spot"}} if self.spot else {}
        return node, {**node, **spot}


class GcpCluster(VirtualMachines):
    """Virtual machines of Google Compute Engine, made for the run and removed behind it.

    Attributes:
        nodes: Number of nodes, including the head.
        project_id: Project that is charged.
        region: Region of the cloud.
        availability_zone: Zone of the region.
        machine_type: Machine type of every node.
        source_image: Machine image, or a family of them, with Python 3.11 or newer.
        disk_gb: Size of each machine's disk.
        preemptible: Whether the workers may be taken away at any time, at a lower price.
        service_account: Account that lets all nodes reach the storage.
    """

    package: ClassVar[str] = "googleapiclient"
    head_packages: ClassVar[tuple[str, ...]] = ("google-api-python-client",)
    kind: Literal["gcp"] = "gcp"
    nodes: int = Field(ge=1)
    project_id: Word
    region: Word = "us-west1"
    availability_zone: Word = "us-west1-a"
    machine_type: Word = "n2-standard-8"
    source_image: str = Field(
        "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64",
        pattern=r"^(https://[a-z.]+/compute/v1/)?(projects/[a-z0-9.:-]+/)?"
        r"global/images/(family/)?[a-z0-9-]+$",
    )
    disk_gb: int = Field(100, ge=10)
    preemptible: bool = False
    service_account: Word | None = None

    @property
    def launcher_keys(self) -> dict[str, Any]:
        """The region and the project, and what the machines are."""
        return {
            "provider": {
                "type": "gcp",
                "region": self.region,
                "availability_zone": self.availability_zone,
                "project_id": self.project_id,
            },
            **_node_types(self, *self._nodes()),
        }

    def preflight(self, order: Order, folder: Path) -> Iterator[str]:
        """What this machine lacks, or the cloud."""
        yield from (here := list(super().preflight(order, folder)))
        yield from key_misses(self.ssh)
        if not here:
            yield from gce.misses(
                self.project_id, self.availability_zone, self.machine_type, self.source_image
            )

    @property
    def rays_keys(self) -> str:
        """One for the region, the project and the user."""
        return f"ray-autoscaler_gcp_{self.region}_{self.project_id}_*.pem"

    def resolved(self, tree: dict[str, Any]) -> dict[str, Any]:
        """As it is: a family of images is resolved by the cloud."""
        return tree

    def removed(self, name: str, folder: Path, wait: Callable[[], None]) -> None:
        """Delete the instances."""
        gce.remove(self.project_id, self.availability_zone, name, wait)

    def _nodes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        image = {"diskSizeGb": self.disk_gb, "sourceImage": self.source_image}
        disk = {"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": image}
        node: dict[str, Any] = {"machineType": self.machine_type, "disks": [disk]}
        if self.service_account is not None:
            scopes = ["https://www.googleapis.com/auth/cloud-platform"]
            node["serviceAccounts"] = [{"email": self.service_account, "scopes": scopes}]
        taken = {"scheduling": [{"preemptible": True}]} if self.preemptible else {}
        return node, {**node, **taken}


def _node_types(
    machines: LaunchedCluster, head_config: dict[str, Any], worker_config: dict[str, Any]
) -> dict[str, Any]:
    """What the head and the workers are; all workers are started at once and stay."""
    resources = {} if machines.cpus_per_node is None else {"CPU": machines.cpus_per_node}
    n_workers = machines.nodes - 1
    head = {"resources": resources, "min_workers": 0, "max_workers": 0, "node_config": head_config}
    worker = {
        "resources": resources,
        "min_workers": n_workers,
        "max_workers": n_workers,
        "node_config": worker_config,
    }
    return {"head_node_type": "head", "available_node_types": {"head": head, "worker": worker}}

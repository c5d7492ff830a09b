"""Virtual machines of clouds, which Ray makes and removes: EC2, GCE."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from crossmesh.cluster.launch.config import Word
from crossmesh.cluster.launch.machines import LaunchedCluster


class AwsCluster(LaunchedCluster):
    """Virtual machines of Amazon EC2, made for the run and removed behind it.

    Attributes:
        nodes: Number of nodes, including the head.
        region: Region of the cloud.
        availability_zone: Zone of the region; by default any.
        instance_type: Instance type of every node.
        machine_image: Identifier of the machine image; by default Ray's choice for the region.
        disk_gb: Size of each machine's disk.
        spot: Whether the workers may be taken away at any time, at a lower price.
        instance_profile: ARN of the role that lets all nodes reach the storage.
    """

    package: ClassVar[str] = "boto3"
    head_setup: ClassVar[tuple[str, ...]] = ("pip install 'boto3>=1.4.8'",)
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

    def _nodes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": self.disk_gb}}
        node: dict[str, Any] = {"InstanceType": self.instance_type, "BlockDeviceMappings": [disk]}
        if self.machine_image is not None:
            node["ImageId"] = self.machine_image
        if self.instance_profile is not None:
            node["IamInstanceProfile"] = {"Arn": self.instance_profile}
        spot = {"InstanceMarketOptions": {"MarketType": "spot"}} if self.spot else {}
        return node, {**node, **spot}


class GcpCluster(LaunchedCluster):
    """Virtual machines of Google Compute Engine, made for the run and removed behind it.

    Attributes:
        nodes: Number of nodes, including the head.
        project_id: Project that is charged.
        region: Region of the cloud.
        availability_zone: Zone of the region.
        machine_type: Machine type of every node.
        source_image: Machine image.
        disk_gb: Size of each machine's disk.
        preemptible: Whether the workers may be taken away at any time, at a lower price.
        service_account: Account that lets all nodes reach the storage.
    """

    package: ClassVar[str] = "googleapiclient"
    head_setup: ClassVar[tuple[str, ...]] = ("pip install google-api-python-client",)
    kind: Literal["gcp"] = "gcp"
    nodes: int = Field(ge=1)
    project_id: Word
    region: Word = "us-west1"
    availability_zone: Word = "us-west1-a"
    machine_type: Word = "n2-standard-8"
    source_image: Word = "projects/debian-cloud/global/images/family/debian-12"
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

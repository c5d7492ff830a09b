"""Machines that are reached over ssh: of one's own, of EC2, of GCE."""

from typing import Literal, Self

from pydantic import Field, model_validator

from crossmesh.cluster.launch.config import Cluster, Port, Text, Word
from crossmesh.common.frozen import Frozen, Many
from crossmesh.emulator.data.config import UserPath


class Ssh(Frozen):
    """SSH login to the machines.

    Attributes:
        user: Name of the account.
        private_key: File with the key; by default what ssh or Ray finds.
        proxy_command: ssh's ProxyCommand, where machines are reached through another.
    """

    user: Word = "ubuntu"
    private_key: Text | None = None
    proxy_command: Text | None = None


class LaunchedCluster(Cluster):
    """Machines that Ray's cluster launcher (``ray up``) sets up over ssh.

    Attributes:
        storage: Needed here: nodes have no disk in common otherwise.
        cpus_per_node: CPUs that Ray counts on each; by default what it finds.
        activate: Shell commands at the beginning of every shell on a node, as ``source
            /opt/crossmesh/bin/activate``.
        setup: Shell commands that set a node up once, before Ray starts.
        image: Container image in which everything runs; by default none.
        wheel: crossmesh's wheel, copied to each node and installed with pip; by default none.
            With ``code: shipped`` and no image, pip installs what crossmesh depends on, in the
            versions used here.
        port: Port on which the head listens.
        token: File with the token; by default a fresh one beside the generated files.
        timeout_s: Longest wait until all nodes have joined, from when the head is up.
        ssh: SSH login to the machines.
    """

    storage: Text
    cpus_per_node: int | None = Field(None, ge=1)
    activate: Many[Text] = ()
    setup: Many[Text] = ()
    image: Word | None = None
    wheel: UserPath | None = None
    port: Port = 6379
    token: UserPath | None = None
    timeout_s: float = Field(900.0, gt=0)
    ssh: Ssh = Ssh()


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

    kind: Literal["aws"] = "aws"
    nodes: int = Field(ge=1)
    region: Word = "us-west-2"
    availability_zone: Word | None = None
    instance_type: Word = "m5.2xlarge"
    machine_image: Word | None = None
    disk_gb: int = Field(100, ge=8)
    spot: bool = False
    instance_profile: Word | None = None


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

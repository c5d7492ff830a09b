"""Where a run is launched: frozen objects that validate themselves, one class per kind."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emulator.data.config import UserPath
from tiles.frozen import Frozen, FrozenDict, Keyed, Many

CLUSTERS = Path(__file__).parents[1] / "clusters"

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Text = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1024, le=65535)]
# A host, an account or the like as it stands in scripts and in the headers of batch jobs.
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._:/-]*$")]
Variables = Keyed[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str]


class Cluster(Frozen):
    """What every kind of cluster says.

    Attributes:
        name: Names the cluster and the folder of its files.
        code: How the code of crossmesh reaches the nodes that host tiles: ``installed`` there, or
            ``shipped`` by Ray when the run starts; what it depends on must be installed anyway.
        storage: Folder that all nodes share, or a URI as in ``s3://bucket/folder``; every run has
            a folder of its own in it for its checkpoints.
        run_dir: Where the run directory lies, seen from where training is started; by default in
            ``storage`` if that is a folder, otherwise as ``crossmesh train`` has it.
        data_dir: Folder of the data sets, seen from where training is started: examples are
            loaded there and reach the other nodes through Ray.
        variables: Environment variables of every process.
    """

    name: Name = "cluster"
    code: Literal["installed", "shipped"] = "installed"
    storage: Text | None = None
    run_dir: Text | None = None
    data_dir: Text | None = None
    variables: Variables = Field(default_factory=FrozenDict)

    @property
    def shared_folder(self) -> str | None:
        """The storage if it is a folder."""
        return None if self.storage is None or "://" in self.storage else self.storage


class LocalCluster(Cluster):
    """Ray nodes on this machine, each with processes, an address and a folder of its own.

    Attributes:
        nodes: How many.
        cpus_per_node: CPUs that Ray counts on each; they are shares of this machine's.
        object_store_bytes: Memory of each node for Ray's objects.
        port: Where the head listens; by default a free port.
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
        nodes: How many nodes it must have at least.
        cpus_per_node: How many CPUs each of so many nodes must have at least.
    """

    kind: Literal["existing"] = "existing"
    address: str = Field(pattern=r"^[^\s:/]+:[0-9]{1,5}$")
    token: UserPath | None = None
    nodes: int = Field(1, ge=1)
    cpus_per_node: int = Field(1, ge=1)


class Ssh(Frozen):
    """How machines are logged in to.

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
        port: Where the head listens.
        token: File with the token; by default a fresh one beside the generated files.
        timeout_s: Longest wait until all nodes have joined, from when the head is up.
        ssh: How machines are logged in to.
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
        nodes: How many, with the head.
        region: Where.
        availability_zone: Where in it; by default any.
        instance_type: What each machine is.
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
        nodes: How many, with the head.
        project_id: Who pays.
        region: Where.
        availability_zone: Where in it.
        machine_type: What each machine is.
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


class Claim(Frozen):
    """A PersistentVolumeClaim that is there already; it must admit many writers (ReadWriteMany).

    Attributes:
        name: Its name.
        path: Where it is mounted, on every node.
    """

    name: Word
    path: str = Field("/shared", pattern=r"^/[A-Za-z0-9._/-]+$")


class KubernetesCluster(Cluster):
    """Pods of Kubernetes, made by the KubeRay operator (1.5.1 or newer) as a RayJob.

    Attributes:
        namespace: Where.
        nodes: Number of pods, with the head.
        cpus_per_node: CPUs of each, requested and at most.
        memory: Memory of each, requested and at most.
        image: Container image with Ray, and crossmesh unless ``packages`` name it.
        packages: What pip installs for the run on every node.
        claim: Volume that all pods share.
        storage: Needed here: a folder in the claim, or a URI.
        secret: Secret with the token under ``auth_token`` (KubeRay 1.6); by default the operator
            makes one for every cluster.
        service_account: Account of the pods, for instance one that may use the storage.
        retries: How often a failed job is begun again, with fresh pods; it goes on from its last
            checkpoint.
        ttl_s: How long the pods stay, to be looked at, when the job has ended.
    """

    kind: Literal["kubernetes"] = "kubernetes"
    storage: Text
    namespace: Name = "default"
    nodes: int = Field(3, ge=1)
    cpus_per_node: int = Field(4, ge=1)
    memory: str = Field("16Gi", pattern=r"^[1-9][0-9]*(Ki|Mi|Gi|Ti)$")
    image: Word
    packages: Many[Text] = ()
    claim: Claim | None = None
    secret: Name | None = None
    service_account: Name | None = None
    retries: int = Field(3, ge=0)
    ttl_s: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _folders_are_shared(self) -> Self:
        path = None if self.claim is None else Path(self.claim.path)
        for field, value in (("storage", self.shared_folder), ("run_dir", self.run_dir)):
            if value is not None and (path is None or not Path(value).is_relative_to(path)):
                where = "in claim.path" if path is None else f"in claim.path ({path})"
                raise ValueError(f"{field} must be {where}, got {value}")
        if self.shared_folder is None and self.run_dir is None:
            raise ValueError(f"run_dir must be given with a URI as storage, got {self.storage}")
        return self


class SlurmCluster(Cluster):
    """Nodes that Slurm gives a batch job, whole; Ray starts on them by ``ray symmetric-run``.

    Attributes:
        storage: Needed here: a folder that all nodes share, or a URI.
        nodes: How many.
        cpus_per_node: CPUs of each.
        memory: Memory of each, as Slurm writes it; by default the partition's.
        time: Longest time, as Slurm writes it.
        partition: Where to queue; by default Slurm's choice. So with the next ones.
        account: Who is charged.
        qos: Quality of service.
        constraint: What nodes must have.
        activate: Shell commands at the beginning of the job, as ``module load python``.
        requeue: Whether the job queues again and goes on when its time is up or a node fails.
        warning_s: So long before the end of its time the run is told to save its state and end.
        port: Where the head listens.
    """

    kind: Literal["slurm"] = "slurm"
    storage: Text
    nodes: int = Field(2, ge=1)
    cpus_per_node: int = Field(8, ge=1)
    memory: str | None = Field(None, pattern=r"^[1-9][0-9]*[KMGT]?$")
    time: str = Field("1-00:00:00", pattern=r"^([0-9]+-)?[0-9]{1,2}(:[0-9]{2}){0,2}$|^[0-9]+$")
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    activate: Many[Text] = ()
    requeue: bool = True
    warning_s: int = Field(300, ge=60, le=65535)
    port: Port = 6379


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

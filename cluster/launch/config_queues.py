"""Machines that another system gives: Kubernetes, Slurm."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from crossmesh.cluster.launch.config import Cluster, Name, Port, Text, Word
from crossmesh.common.frozen import Frozen, Many


class Claim(Frozen):
    """A PersistentVolumeClaim that is there already; it must admit many writers (ReadWriteMany).

    Attributes:
        name: Its name.
        path: Mount point on every node.
    """

    name: Word
    path: str = Field("/shared", pattern=r"^/[A-Za-z0-9._/-]+$")


class KubernetesCluster(Cluster):
    """Pods of Kubernetes, made by the KubeRay operator (1.5.1 or newer) as a RayJob.

    Attributes:
        namespace: Namespace of the job.
        nodes: Number of pods, with the head.
        cpus_per_node: CPUs of each, requested and at most.
        memory: Memory of each, requested and at most.
        image: Container image with Ray, and crossmesh unless ``packages`` name it.
        packages: Packages that pip installs on every node for the run.
        claim: Volume that all pods share.
        storage: Needed here: a folder in the claim, or a URI.
        secret: Secret with the token under ``auth_token`` (KubeRay 1.6); by default the operator
            makes one for every cluster.
        service_account: Account of the pods, for instance one that may use the storage.
        retries: How often a failed job is begun again, with fresh pods; it goes on from its last
            checkpoint.
        ttl_s: Seconds for which the pods of an ended job are kept for inspection.
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
        nodes: Number of nodes.
        cpus_per_node: CPUs of each.
        memory: Memory of each, as Slurm writes it; by default the partition's.
        time: Longest time, as Slurm writes it.
        partition: Slurm partition; by default Slurm's choice, as for the next three.
        account: Account that is charged.
        qos: Quality of service.
        constraint: Features that nodes must have.
        activate: Shell commands at the beginning of the job, as ``module load python``.
        requeue: Whether the job is queued again, and resumes, when its time is up or a node fails.
        warning_s: Seconds before the end of its time when the run is asked to save and end.
        port: Port on which the head listens.
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

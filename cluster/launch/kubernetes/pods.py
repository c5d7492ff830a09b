"""The fields of a cluster of pods."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from crossmesh.cluster.launch.config import Name, Text, Word
from crossmesh.cluster.launch.generated import GeneratedCluster
from crossmesh.common.frozen import Anything, Frozen, FrozenDict, Keyed, Many

Section = Keyed[str, Anything]


class Claim(Frozen):
    """A PersistentVolumeClaim that is there already; it must admit many writers (ReadWriteMany).

    Attributes:
        name: Name of the claim.
        path: Mount point on every node.
    """

    name: Word
    path: str = Field("/shared", pattern=r"^/[A-Za-z0-9._/-]+$")


class KubernetesPods(GeneratedCluster):
    """What a description says of the pods, and of the job that they are for.

    Attributes:
        context: Context of kubectl; by default the current one.
        namespace: Namespace of the job.
        nodes: Number of pods, with the head.
        cpus_per_node: CPUs of each, requested and at most.
        memory: Memory of each, requested and at most.
        image: Container image with Ray, and crossmesh unless ``packages`` name it or the code is
            shipped.
        packages: Packages that pip installs on every node for the run.
        claim: Volume that all pods share.
        storage: Needed here: a folder in the claim, or a URI.
        secret: Secret with the token under ``auth_token`` (KubeRay 1.6); by default the operator
            makes one for every cluster.
        service_account: Account of the pods, for instance one that may use the storage.
        retries: How often a failed job is begun again, with fresh pods; it goes on from its last
            checkpoint.
        ttl_s: Seconds for which the pods of an ended job are kept for inspection.
        grace_s: Seconds that a training gets to save its state before its pods are ended.
        pod: Further fields of every pod, and its ``labels`` and ``annotations``.
        container: Further fields of the container in which Ray runs.
        job: Further fields of the RayJob, and its ``labels`` and ``annotations``.
    """

    storage: Text
    context: Word | None = None
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
    grace_s: int = Field(120, ge=30, le=86_400)
    pod: Section = Field(default_factory=FrozenDict)
    container: Section = Field(default_factory=FrozenDict)
    job: Section = Field(default_factory=FrozenDict)

    @model_validator(mode="after")
    def _folders_are_shared(self) -> Self:
        for field, value in (("storage", self.shared_folder), ("run_dir", self.run_dir)):
            if value is not None:
                self.check_shared(field, value)
        if self.shared_folder is None and self.run_dir is None:
            raise ValueError(f"run_dir must be given with a URI as storage, got {self.storage}")
        return self

    @property
    def seen_by_all(self) -> str | None:
        """The mount point of the claim."""
        return None if self.claim is None else self.claim.path

    def check_shared(self, field: str, folder: str) -> None:
        """Refuse a folder that is lost with its pod.

        Raises:
            ValueError: If it is not in the claim.
        """
        path = None if self.claim is None else Path(self.claim.path)
        if path is None or not Path(folder).is_relative_to(path):
            where = "in claim.path" if path is None else f"in claim.path ({path})"
            raise ValueError(f"{field} must be {where}, got {folder}")

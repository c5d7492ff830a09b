"""Cluster configs: frozen objects that validate themselves, one class per kind."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from crossmesh.common.frozen import Frozen, FrozenDict, Keyed

CLUSTERS = Path(__file__).parent / "shipped"
PACKAGE = Path(__file__).parents[2]  # this copy of crossmesh; links of a checkout lead to its rooms

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Text = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1024, le=65535)]
# A host, an account or the like as it stands in scripts and in the headers of batch jobs.
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._:/-]*$")]
Variables = Keyed[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str]


class Cluster(Frozen):
    """Fields of every kind of cluster.

    Attributes:
        name: Names the cluster and the folder of its files.
        code: How the nodes that host tiles get crossmesh: ``installed`` there, or
            ``shipped`` by Ray when the run starts; what it depends on must be installed anyway.
        storage: Folder that all nodes share, or a URI as in ``s3://bucket/folder``; every run has
            a folder of its own in it for its checkpoints.
        run_dir: The run directory, as seen from where training is started; by default in
            ``storage`` if that is a folder, otherwise as ``crossmesh train`` has it.
        data_dir: Folder of the data sets, seen from where training is started: examples are
            loaded there and reach the other nodes through Ray.
        variables: Environment variables of every process.
        kind: The name of its kind; a field of every kind.
        nodes: How many nodes it has; a field or a property of every kind.
    """

    name: Name = "cluster"
    code: Literal["installed", "shipped"] = "installed"
    storage: Text | None = None
    run_dir: Text | None = None
    data_dir: Text | None = None
    variables: Variables = Field(default_factory=FrozenDict)

    if TYPE_CHECKING:  # fields of the kinds, each with limits and a default of its own

        @property
        def kind(self) -> str:
            """As above."""

        @property
        def nodes(self) -> int:
            """As above."""

    @property
    def joining_s(self) -> float | None:
        """Longest wait for its nodes if a training may start before all have joined, or None."""
        return None

    @property
    def shared_folder(self) -> str | None:
        """The storage if it is a folder."""
        return None if self.storage is None or "://" in self.storage else self.storage

    @property
    def seen_by_all(self) -> str | None:
        """Folder whose files all nodes see by the same path."""
        return self.shared_folder

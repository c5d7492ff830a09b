"""Reading the description of a cluster: YAML, ``extends``, and errors of one line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from crossmesh.cluster.launch.config import CLUSTERS
from crossmesh.cluster.launch.kinds import AnyCluster
from crossmesh.cluster.launch.launcher import Launcher
from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.credentials import check_without
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen
from crossmesh.common.refusals import nearest, sentence
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.config.loading import MOST_FILES, merged

# Fields that are paths of this machine.
PLACES = ("token", "wheel", "private_key", "known_hosts")


class _ClusterFile(Frozen):
    """A description under the name that errors leave out."""

    cluster: AnyCluster


def shipped_clusters() -> dict[str, Path]:
    """The shipped clusters by name."""
    return {path.stem: path for path in sorted(CLUSTERS.glob("*.yaml"))}


def load_cluster(source: str) -> Launcher:
    """Read a cluster's file, or a shipped cluster by name.

    Raises:
        ConfigError: With one line that names the file, the field, the rule and the value.
    """
    path = _found(source, Path(), "CLUSTER")
    tree = _read(path, ())
    check_without({key: tree[key] for key in tree if key != "variables"}, "generated files")
    try:
        return _ClusterFile.model_validate({"cluster": tree}).cluster
    except ValidationError as error:
        rule = sentence(error, _ClusterFile).removeprefix("cluster.")
        raise ConfigError(f"{path.name}: {rule}") from None


def recorded_cluster(fields: Mapping[str, Any], name: str) -> Launcher:
    """The cluster of a launch, from what was recorded of it.

    Raises:
        ConfigError: If this version does not know such a cluster.
    """
    try:
        return _ClusterFile.model_validate({"cluster": fields}).cluster
    except ValidationError as error:
        raise ConfigError(
            f"{name} was launched on a cluster that this version does not know: "
            f"{sentence(error, _ClusterFile)}"
        ) from None


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise ConfigError(f"{path.name}: extends must not form a cycle, got {path}")
    if len(seen) == MOST_FILES:
        raise ConfigError(f"{path.name}: extends must chain at most {MOST_FILES} files")
    tree = _placed(read_mapping(path), path.parent)
    if "extends" not in tree:
        return tree
    base = tree.pop("extends")
    if not isinstance(base, str):
        raise ConfigError(f"{path.name}: extends must be a file or a shipped name, got {base!r}")
    found = _found(base, path.parent, f"{path.name}: extends")
    return merged(_read(found, (*seen, path)), tree, variants=())


def _placed(tree: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """``tree`` with paths that are relative to the folder of its file."""
    paths = {
        field: str(folder / value)
        for field in PLACES
        if isinstance(value := tree.get(field), str) and not value.startswith("~")
    }
    ssh = tree.get("ssh")
    return {**tree, **paths, **({"ssh": _placed(ssh, folder)} if isinstance(ssh, Mapping) else {})}


def _found(source: str, folder: Path, field: str) -> Path:
    named = shipped_clusters()
    for path in (folder / source, Path(source)):
        if is_file(path):
            return path.resolve()
    if source in named:
        return named[source]
    raise ConfigError(
        f"{field} must be a file or a shipped name ({', '.join(named)}), got {source}"
        f"{nearest(source, named)}"
    )

"""Free-form sections of a cluster's file: fields of Kubernetes, merged into those set here."""

from collections.abc import Mapping
from typing import Any

# Fields that a section may not set, by the field of the cluster that does, if one does.
OURS: dict[str, dict[str, str]] = {
    "pod": {
        "containers": "container",
        "restartPolicy": "",
        "serviceAccount": "service_account",
        "serviceAccountName": "service_account",
        "terminationGracePeriodSeconds": "grace_s",
    },
    "container": {
        "name": "",
        "image": "image",
        "command": "",
        "args": "",
        "lifecycle": "",
    },
    "job": {
        "backoffLimit": "retries",
        "clusterSelector": "",
        "entrypoint": "",
        "jobId": "",
        "rayClusterSpec": "pod and container",
        "runtimeEnvYAML": "packages",
        "shutdownAfterJobFinishes": "",
        "submissionMode": "",
        "submitterPodTemplate": "pod",
        "ttlSecondsAfterFinished": "ttl_s",
    },
}
_SIZE = {"cpu": "cpus_per_node", "memory": "memory"}
_KEYS = ("name", "mountPath")  # what tells the entries of a list apart


def check_section(name: str, section: Mapping[str, Any]) -> None:
    """Refuse what a section may not set.

    Raises:
        ValueError: With the field, who sets it, and the value.
    """
    for field, by in OURS[name].items():
        if field in section:
            raise ValueError(_left_out(f"{name}.{field}", by, section[field]))
    for field in ("labels", "annotations"):
        if not isinstance(section.get(field, {}), Mapping):
            raise ValueError(f"{name}.{field} must be a mapping, got {section[field]!r}")
    resources = section.get("resources") if name == "container" else None
    for kind, sizes in resources.items() if isinstance(resources, Mapping) else ():
        for size, by in _SIZE.items():
            if isinstance(sizes, Mapping) and size in sizes:
                raise ValueError(_left_out(f"container.resources.{kind}.{size}", by, sizes[size]))


def merged(ours: dict[str, Any], theirs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Our fields with those of a section: mappings joined, lists appended, others replaced.

    Raises:
        ValueError: If an entry of a list has the name of one of ours, or something else is in the
            place of a mapping or a list.
    """
    both = dict(ours)
    for key, value in theirs.items():
        place = where if key in {"spec", "metadata"} else f"{where}.{key}"
        mine = ours.get(key)
        if isinstance(mine, dict):
            if not isinstance(value, Mapping):
                raise ValueError(f"{place} must be a mapping, got {value!r}")
            both[key] = merged(mine, value, place)
        elif isinstance(mine, list):
            both[key] = _joined(mine, value, place)
        else:
            both[key] = plain(value)
    return both


def plain(value: Any) -> Any:
    """A frozen value as YAML has it."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    return list(map(plain, value)) if isinstance(value, list | tuple) else value


def _joined(ours: list[Any], theirs: Any, where: str) -> list[Any]:
    if not isinstance(theirs, list | tuple):
        raise ValueError(f"{where} must be a list, got {theirs!r}")
    if not ours:
        return list(map(plain, theirs))
    taken = {_named(entry) for entry in ours} - {None}
    for entry in theirs:
        if isinstance(entry, Mapping) != isinstance(ours[0], dict):
            kind = "mappings" if isinstance(ours[0], dict) else "words"
            raise ValueError(f"{where} must be a list of {kind}, got {plain(entry)!r} in it")
        if _named(entry) in taken:
            key, name = _named(entry) or ("", "")
            raise ValueError(f"{where} must leave out the {key} {name}, which crossmesh sets")
    return [*ours, *map(plain, theirs)]


def _named(entry: Any) -> tuple[str, str] | None:
    """What tells an entry of a list from others: where it is mounted, or else its name."""
    for key in reversed(_KEYS):
        if isinstance(entry, Mapping) and key in entry:
            return key, str(entry[key])
    return None


def _left_out(field: str, by: str, value: Any) -> str:
    return f"{field} must be left out ({by or 'crossmesh'} sets it), got {plain(value)}"

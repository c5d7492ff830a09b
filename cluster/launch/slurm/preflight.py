"""What stands in the way of a job, from what Slurm says of its partitions and nodes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crossmesh.cluster.launch.slurm.queue import SlurmError, complaint, records, said
from crossmesh.common.refusals import nearest

_UNITS = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a job asks for, by the names of the cluster's fields."""

    nodes: int
    cpus_per_node: int
    memory: str | None
    time: str
    partition: str | None
    account: str | None
    qos: str | None


def misses(wish: Wish, script: str) -> Iterator[str]:
    """What Slurm cannot give, a line each; ``sbatch`` judges the script if all else is well."""
    try:
        partitions = {
            each["PartitionName"]: each
            for each in records(said("scontrol", "--all", "show", "partition", "--oneliner"))
        }
    except SlurmError as error:
        yield f"Slurm's controller must answer here, got: {error}"
        return
    found = list(_of_partition(wish, partitions))
    yield from found
    if not found and (refusal := _refusal(script)):
        yield f"sbatch must take the job, got: {refusal}"


def _refusal(script: str) -> str | None:
    """What ``sbatch`` has against a script; it queues nothing."""
    try:
        said("sbatch", "--test-only", given=script)
    except SlurmError as error:
        return complaint(str(error))
    return None


def _of_partition(wish: Wish, partitions: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    name = wish.partition or next(
        (name for name, each in partitions.items() if each.get("Default") == "YES"), None
    )
    if name is None:
        yield f"partition must be given, as Slurm has no default: {', '.join(partitions)}"
        return
    if name not in partitions:
        yield (
            f"partition must be one of {', '.join(partitions)}, got {name}"
            f"{nearest(name, partitions)}"
        )
        return
    partition = partitions[name]
    if (state := partition.get("State", "UP")) != "UP":
        yield f"partition must be up, got {name}, which is {state}"
    yield from _limits(wish, name, partition)
    try:
        yield from _of_nodes(wish, name, _machines(name))
    except SlurmError as error:
        yield f"sinfo must answer here, got: {error}"


def _limits(wish: Wish, name: str, partition: Mapping[str, str]) -> Iterator[str]:
    most, asked = minutes(partition.get("MaxTime", "UNLIMITED")), minutes(wish.time)
    if most is not None and (asked is None or asked > most):
        limit = partition["MaxTime"]
        yield f"time must be at most {limit} in the partition {name}, got {wish.time}"
    most_nodes = partition.get("MaxNodes", "UNLIMITED")
    if most_nodes.isdecimal() and wish.nodes > int(most_nodes):
        yield f"nodes must be at most {most_nodes} in the partition {name}, got {wish.nodes}"
    for field, key in (("account", "AllowAccounts"), ("qos", "AllowQos")):
        allowed, value = partition.get(key, "ALL"), getattr(wish, field)
        if allowed != "ALL" and value is not None and value not in allowed.split(","):
            yield f"{field} must be one of {allowed} in the partition {name}, got {value}"


def _machines(partition: str) -> list[tuple[int, int]]:
    """CPUs and memory, in MiB, of every node."""
    text = said("sinfo", "--noheader", "--Node", f"--partition={partition}", "--format=%c %m")
    rows = (line.split() for line in text.splitlines())
    return [(int(cpus.rstrip("+")), int(memory.rstrip("+"))) for cpus, memory in rows]


def _of_nodes(wish: Wish, partition: str, machines: list[tuple[int, int]]) -> Iterator[str]:
    where = f"of a node of the partition {partition}"
    cpus = max((cpus for cpus, _ in machines), default=0)
    memory = max((memory for _, memory in machines), default=0)
    asked = 0.0 if wish.memory is None else mebibytes(wish.memory)
    if wish.cpus_per_node > cpus:
        yield f"cpus_per_node must be at most {cpus}, the most {where}, got {wish.cpus_per_node}"
    elif asked > memory:
        yield f"memory must be at most {memory}M, the most {where}, got {wish.memory}"
    else:
        fit = [m for m in machines if m[0] >= wish.cpus_per_node and m[1] >= asked]
        if wish.nodes > len(fit):
            memory_too = f" and {wish.memory} of memory" if wish.memory else ""
            yield (
                f"nodes must be at most {len(fit)}, which the partition {partition} has with "
                f"{wish.cpus_per_node} CPUs{memory_too}, got {wish.nodes}"
            )


def minutes(time: str) -> float | None:
    """A time as Slurm writes it, in minutes; None for no limit, which zero means too.

    >>> minutes("1-12"), minutes("90"), minutes("1:30:00"), minutes("10:30")
    (2160.0, 90.0, 90.0, 10.5)
    >>> minutes("UNLIMITED"), minutes("0")
    (None, None)
    """
    if not re.fullmatch(r"[0-9:-]+", time):
        return None
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, mins, seconds = [*parts, 0, 0][:3]
    elif len(parts) == 3:
        hours, mins, seconds = parts
    else:
        hours, mins, seconds = [0, *parts, 0][:3]
    return (int(days or 0) * 1440 + hours * 60 + mins + seconds / 60) or None


def mebibytes(memory: str) -> float:
    """A size as Slurm writes it, in MiB, its unit by default.

    >>> mebibytes("64G"), mebibytes("500")
    (65536.0, 500.0)
    """
    number, unit = re.fullmatch(r"([0-9]+)([KMGT]?)", memory).groups()  # type: ignore[union-attr]  # as the field's pattern
    return float(number) * _UNITS[unit or "M"]

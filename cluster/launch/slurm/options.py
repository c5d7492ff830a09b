"""Options of ``sbatch`` that a cluster's file may add, and those that are set by other means."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from crossmesh.common.frozen import FrozenDict, Keyed

_FIELDS = {
    "nodes": "nodes",
    "cpus-per-task": "cpus_per_node",
    "ntasks": "nodes",
    "ntasks-per-node": "nodes",
    "mem": "memory",
    "mem-per-cpu": "memory",
    "time": "time",
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "requeue": "requeue",
    "no-requeue": "requeue",
    "exclusive": "exclusive",
    "signal": "warning_s",
}
_ELSEWHERE = {
    "array": "a launch is one run; launch once for every seed",
    "clusters": "launch on a login node of that cluster",
}
_SET = {  # by every launch, which would not work otherwise
    "job-name", "output", "error", "input", "open-mode", "chdir", "no-kill", "parsable",
    "test-only", "wait", "wrap", "export", "export-file", "ignore-pbs", "help", "usage", "version",
    "quiet", "verbose",
}  # fmt: skip

Option = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]+$")]
Words = Annotated[str, Field(pattern=r"^[^\s\"'\\#](?:[^\n\r\"'\\#]*[^\s\"'\\#])?$")]
Value = Words | int | bool


def _left_to_others(options: Mapping[str, object]) -> Mapping[str, object]:
    for name, value in options.items():
        if name in _ELSEWHERE:
            reason = _ELSEWHERE[name]
        elif name in _FIELDS:
            reason = f"the field {_FIELDS[name]} is for that"
        elif name in _SET:
            reason = "the launch sets it"
        else:
            continue
        raise ValueError(f"{name} must be left out ({reason}), got {value}")
    return options


# Long options as sbatch names them; true for those that take no value, as for `spread-job`.
SbatchOptions = Annotated[
    Keyed[Option, Value], AfterValidator(_left_to_others), AfterValidator(FrozenDict)
]


def header(options: Mapping[str, object]) -> Iterable[str]:
    """Lines that ``sbatch`` reads; those whose value is None or False are left out."""
    for name, value in options.items():
        if value is True:
            yield f"#SBATCH --{name}"
        elif value is not None and value is not False:
            yield f"#SBATCH --{name}={_quoted(str(value))}"


def _quoted(text: str) -> str:
    """A value as ``sbatch`` reads it, which no shell does."""
    if not re.search(r"""[\s"'\\#]""", text):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'

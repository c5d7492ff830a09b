"""What machines lack for a launch, found in seconds and before anything is started."""

import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.machines.cluster import LaunchedCluster
from crossmesh.cluster.launch.machines.site import LaunchSite
from crossmesh.cluster.launch.machines.ssh import SshMachine, everywhere
from crossmesh.cluster.launch.machines.ssh_login import Ssh
from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.version import VERSION
from crossmesh.common.whole_files import is_file

OLDEST_PYTHON = (3, 11)
ROOM_BYTES = 1 << 30  # assumed: logs and objects of a node; a run's own needs are told elsewhere
_CHECK_S = 40

# Runs on each machine, with whatever Python there is, and prints one line of JSON.
_PROBE = """
import json, os, shutil, socket, sys
asked = json.loads(sys.argv[1])
found = {"python": list(sys.version_info[:3])}
def tried(name, work):
    try:
        found[name] = work()
    except Exception as error:
        found[name + "_error"] = (getattr(error, "strerror", None) or str(error)).lower()
def version(name):
    from importlib.metadata import version
    return version(name)
for name in asked["packages"]:
    tried(name, lambda: version(name))
for folder in asked["room"]:
    tried("room " + folder, lambda: shutil.disk_usage(os.path.expanduser(folder)).free)
if asked["port"]:
    def bound():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", asked["port"]))
    tried("port", bound)
if asked["data"]:
    tried("data", lambda: len(os.listdir(os.path.expanduser(asked["data"]))))
if asked["write"]:
    def written():
        place = os.path.expanduser(asked["write"]["folder"])
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        path = os.path.join(place, asked["write"]["name"])
        with open(path, "x") as file:
            file.write(asked["write"]["name"])
        return path
    tried("written", written)
if asked["read"]:
    tried("read", lambda: open(asked["read"]).read())
if asked["remove"]:
    tried("removed", lambda: os.remove(asked["remove"]))
print("crossmesh-probe " + json.dumps(found))
"""


def misses(
    cluster: LaunchedCluster, site: LaunchSite, machines: Sequence[SshMachine]
) -> Iterator[str]:
    """What stands in the way of a launch, a line each."""
    if local := list(key_misses(cluster.ssh)):
        yield from local
        return
    reached = []
    for machine, refusal in zip(machines, everywhere(machines, _refusal), strict=True):
        if refusal:
            yield refusal
        else:
            reached.append(machine)
    if cluster.image is not None:
        for line in everywhere(reached, lambda machine: _container_miss(cluster, machine)):
            yield from filter(None, [line])
        return
    storage = _SharedFolder(cluster, site)
    found = dict(zip(reached, everywhere(reached, storage.written_by(machines[0], _asked(cluster))),
                     strict=True))  # fmt: skip
    for machine, facts in found.items():
        is_head = machine is machines[0]
        yield from _misses_of(cluster, machine, facts, is_head=is_head)
    yield from _python_miss(found)
    yield from storage.misses(machines[0], found)


def check_ready(cluster: LaunchedCluster, site: LaunchSite, machines: Sequence[SshMachine]) -> None:
    """Refuse machines whose set-up has not given them what runs need.

    Raises:
        ConfigError: With the first miss.
    """
    if cluster.image is not None:
        return  # ray.sh looks at its versions
    asked = {**_NOTHING, "packages": _packages(cluster)}
    found = everywhere(machines, lambda machine: probed(cluster, machine, asked))
    for machine, facts in zip(machines, found, strict=True):
        for line in version_misses(cluster, machine, facts, is_prepared=True):
            raise ConfigError(line)


def key_misses(ssh: Ssh) -> Iterator[str]:
    """What is wrong with the files of keys, before ssh ignores them."""
    if ssh.known_hosts is not None and not is_file(ssh.known_hosts):
        yield f"ssh.known_hosts must be a file, got {ssh.known_hosts}"
    path, rule = ssh.key, "ssh.private_key must be"
    if path is None:
        return
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        yield f"{rule} a readable file, got {path} ({(error.strerror or str(error)).lower()})"
        return
    if not path.is_file() or not os.access(path, os.R_OK):
        yield f"{rule} a readable file, got {path}"
    elif mode & 0o077:
        yield f"{rule} readable by its owner alone (chmod 600), got {path} with mode {mode:04o}"


def probed(
    cluster: LaunchedCluster, machine: SshMachine, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Facts about a machine, as seen by the Python that runs will use there."""
    begin = "" if cluster.setup else "\n".join(cluster.activate)  # which setup may be what makes
    script = f"{begin}\nexec python3 - {scripts.quoted([json.dumps(asked)])} <<'END'\n{_PROBE}END\n"
    try:
        answer = machine.run("exec bash -s", send=script.encode(), within_s=_CHECK_S)
    except RunError as error:
        return {"failure": str(error)}
    for line in answer.out.splitlines():
        if line.startswith("crossmesh-probe "):
            facts: dict[str, Any] = json.loads(line.partition(" ")[2])
            return facts
    return {"failure": f"python3 must run on {machine}, got {answer.last_words}"}


_NOTHING: dict[str, Any] = {"packages": [], "room": [], "port": None, "data": None, "write": None,
                            "read": None, "remove": None}  # fmt: skip


def _asked(cluster: LaunchedCluster) -> dict[str, Any]:
    return {**_NOTHING, "packages": _packages(cluster), "room": ["~", "/tmp"],
            "port": cluster.port, "data": cluster.data_dir}  # fmt: skip


def _packages(cluster: LaunchedCluster) -> list[str]:
    return ["ray", *([] if cluster.code == "shipped" else ["crossmesh"])]


def _refusal(machine: SshMachine) -> str:
    """Why a machine cannot be reached, or nothing."""
    try:
        machine.connect()
    except RunError as error:
        return str(error)
    return ""


def _misses_of(
    cluster: LaunchedCluster, machine: SshMachine, facts: Mapping[str, Any], *, is_head: bool
) -> Iterator[str]:
    if "failure" in facts:
        yield facts["failure"]
        return
    yield from version_misses(cluster, machine, facts, is_prepared=cluster.is_prepared)
    for folder in ("~", "/tmp"):
        free = facts.get(f"room {folder}", 0)
        if free < ROOM_BYTES:
            yield (f"{folder} on {machine} must have {ROOM_BYTES >> 20} MiB free, got "
                   f"{free >> 20} MiB")  # fmt: skip
    if is_head and (reason := facts.get("port_error")):
        yield f"port must be free on {machine}, got {cluster.port} ({reason})"
    if is_head and (reason := facts.get("data_error")):
        yield f"data_dir must be a folder on {machine}, got {cluster.data_dir} ({reason})"


def version_misses(
    cluster: LaunchedCluster, machine: SshMachine, facts: Mapping[str, Any], *, is_prepared: bool
) -> Iterator[str]:
    """What is wrong with Python, and with what must be installed there by now."""
    if "failure" in facts:
        yield facts["failure"]
        return
    if tuple(facts["python"][:2]) < OLDEST_PYTHON and (is_prepared or not cluster.setup):
        yield f"Python must be 3.11 or newer on {machine}, got {_dotted(facts['python'])}"
        return
    if not is_prepared:
        return
    wanted = {"ray": version("ray"), "crossmesh": VERSION}
    for name in _packages(cluster):
        got = facts.get(name)
        if got != wanted[name]:
            yield f"{name} must be {wanted[name]} on {machine}, got {got or 'none'}"


def _python_miss(found: Mapping[SshMachine, Mapping[str, Any]]) -> Iterator[str]:
    """Ray wants one minor version of Python on all nodes."""
    versions = {tuple(facts["python"][:2]): machine for machine, facts in found.items()
                if "python" in facts}  # fmt: skip
    if len(versions) > 1:
        each = ", ".join(f"{_dotted(python)} on {machine}" for python, machine in versions.items())
        yield f"Python must be the same minor version on all machines, got {each}"


def _dotted(numbers: Sequence[int]) -> str:
    return ".".join(map(str, numbers))


def _container_miss(cluster: LaunchedCluster, machine: SshMachine) -> str:
    """Whether docker runs there, and has the image or can get it."""
    image = scripts.quoted([str(cluster.image)])
    command = (
        "command -v docker > /dev/null || exit 3; docker info > /dev/null 2>&1 || exit 4; "
        f"docker image inspect {image} > /dev/null 2>&1 || "
        f"timeout 20 docker manifest inspect {image} > /dev/null 2>&1 || exit 5"
    )
    try:
        code = machine.run(command, within_s=_CHECK_S).code
    except RunError as error:
        return str(error)
    reasons = {3: "there is no docker", 4: "docker does not run, or not for this user",
               5: "it is neither there nor in its registry"}  # fmt: skip
    if code not in reasons:
        return ""
    return (
        f"image must be one that docker can run on {machine}, got {cluster.image} ({reasons[code]})"
    )


class _SharedFolder:
    """Whether all machines see the storage: the head writes a file there, the others read it."""

    def __init__(self, cluster: LaunchedCluster, site: LaunchSite) -> None:
        self._cluster = cluster
        self._folder = cluster.shared_folder
        self._name = f".crossmesh-{secrets.token_hex(8)}"

    def written_by(self, head: SshMachine, asked: Mapping[str, Any]) -> Any:
        """What asks a machine for facts, and the head to write the file as well."""
        write = {"folder": self._folder, "name": self._name} if self._folder else None

        def facts(machine: SshMachine) -> dict[str, Any]:
            more = {"write": write} if machine is head else {}
            return probed(self._cluster, machine, {**asked, **more})

        return facts

    def misses(
        self, head: SshMachine, found: Mapping[SshMachine, Mapping[str, Any]]
    ) -> Iterator[str]:
        """Which machines do not see the file; it is removed."""
        facts = found.get(head)
        if self._folder is None or facts is None or "failure" in facts:
            return
        rule = "storage must be a folder that all machines share"
        if reason := facts.get("written_error"):
            yield f"{rule} and {head} can write, got {self._folder} ({reason})"
            return
        path = facts["written"]
        others = [machine for machine, known in found.items()
                  if machine is not head and "failure" not in known]  # fmt: skip
        asked = {**_NOTHING, "read": path}
        seen = everywhere(others, lambda machine: probed(self._cluster, machine, asked))
        probed(self._cluster, head, {**_NOTHING, "remove": path})
        for machine, known in zip(others, seen, strict=True):
            if known.get("read") != self._name:
                where = PurePosixPath(path).parent
                yield (f"{rule}, got {self._folder}: what {head} writes in {where}, {machine} does "
                       "not see")  # fmt: skip

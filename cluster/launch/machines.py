"""Ray's cluster launcher: files for ``ray up`` on machines of one's own, on EC2 and on GCE.

Keys: docs.ray.io/en/latest/cluster/vms/references/ray-cluster-configuration.html, and the schema
in Ray's own package, against which every file is checked before it is used.
"""

import contextlib
import importlib.metadata
import io
import re
import shlex
from pathlib import Path
from typing import Any

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.config_machines import (
    AwsCluster,
    GcpCluster,
    LaunchedCluster,
    OnPremisesCluster,
)
from crossmesh.cluster.launch.files import SCRIPT, File, LaunchPlan, yaml_text
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.tokens import checked_token
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.executors.ray_internals import check_cluster_file

Machines = OnPremisesCluster | AwsCluster | GcpCluster

HEAD, WORKER = "head", "worker"
_START_S = 120  # longest wait for a node's Ray
# What Ray's own defaults install on the head to start workers from there.
_HEAD_SETUP = {
    "aws": ["pip install 'boto3>=1.4.8'"],
    "gcp": ["pip install google-api-python-client"],
}


def plan(machines: Machines, order: Order, folder: Path) -> LaunchPlan:
    """The files that set machines up, train on them, and fetch the run.

    Raises:
        ConfigError: If Ray's own checks refuse them.
    """
    tree = launcher_tree(machines, folder)
    check(tree)
    run_dir = order.run_dir or f"{_there(machines)}/runs/{order.config.name}"
    address = f"127.0.0.1:{machines.port}"
    train = scripts.training_script(order, run_dir, address, _prologue(machines))
    files = (
        File("cluster.yaml", _HEADER + yaml_text(tree)),
        File("launch.sh", _launch_script(machines, order, run_dir), SCRIPT),
        scripts.config_file(order, "node/"),
        scripts.environment_file(machines.variables, machines.activate),
        File("node/train.sh", train, SCRIPT),
        File("node/job.sh", _JOB, SCRIPT),
        File("node/ray.sh", _ray_script(machines), SCRIPT),
    )
    end = f"cd {shlex.quote(str(folder))} && {_end(machines)}"
    return LaunchPlan(
        folder=folder,
        files=files,
        script="launch.sh",
        tools=("ray", "ssh", "rsync"),
        after=_AFTER.format(folder=shlex.quote(str(folder)), end=end),
        end=end,
        token=None if machines.token else "node/token",
    )


def launcher_tree(machines: Machines, folder: Path) -> dict[str, Any]:
    """The file for ``ray up``."""
    there = _there(machines)
    ray = f"bash {there}/ray.sh"
    ssh = machines.ssh
    auth = {"ssh_user": ssh.user, "ssh_private_key": ssh.private_key,
            "ssh_proxy_command": ssh.proxy_command}  # fmt: skip
    tree: dict[str, Any] = {
        "cluster_name": machines.name,
        "max_workers": machines.nodes - 1,
        "provider": _provider(machines),
        "auth": {key: value for key, value in auth.items() if value is not None},
        "file_mounts": _mounts(machines, folder),
        "rsync_exclude": ["**/__pycache__"],
        "setup_commands": [*machines.setup, *_installing(machines)],
        "head_setup_commands": _HEAD_SETUP.get(machines.kind, []),
        "worker_setup_commands": [],
        "head_start_ray_commands": [f"{ray} {HEAD}"],
        "worker_start_ray_commands": [f'{ray} {WORKER} "$RAY_HEAD_IP"'],
    }
    if machines.image is not None:
        tree["docker"] = {"image": machines.image, "container_name": f"crossmesh-{machines.name}"}
    if not isinstance(machines, OnPremisesCluster):
        tree |= _node_types(machines)
    return tree


def check(tree: dict[str, Any]) -> None:
    """Have Ray's schema and validator judge a file.

    Raises:
        ConfigError: With what they say.
    """
    # Ray depends on it, so it is there wherever Ray is.
    from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped]  # has none

    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            check_cluster_file(tree)
    except (ValidationError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the cluster's file must be one that Ray accepts: {reason}") from None


def _there(machines: LaunchedCluster) -> str:
    """The folder of our files on each node."""
    return f"~/.crossmesh/{machines.name}"


def _mounts(machines: Machines, folder: Path) -> dict[str, str]:
    """Remote paths and what is copied there; modes are kept."""
    there = _there(machines)
    mounts = {there: str(folder / "node")}
    if machines.token is not None:
        mounts[f"{there}/token"] = str(checked_token(machines.token, "token"))
    if machines.wheel is not None:
        if not machines.wheel.is_file():
            raise ConfigError(f"wheel must be an existing file, got {machines.wheel}")
        mounts[f"{there}/{machines.wheel.name}"] = str(machines.wheel)
    if machines.code == "shipped":
        for source in sorted(Path(__file__).parents[2].glob("[a-z_]*")):  # links in a checkout
            if source.name != "__pycache__":
                mounts[f"{there}/code/crossmesh/{source.name}"] = str(source.resolve())
    return mounts


def _installing(machines: Machines) -> list[str]:
    """Commands that install what runs need on a node."""
    if machines.wheel is not None:
        return [
            f"python3 -m pip install {scripts.path(f'{_there(machines)}/{machines.wheel.name}')}"
        ]
    if machines.code == "shipped" and machines.image is None:
        return [f"python3 -m pip install {scripts.quoted(_dependencies())}"]
    return []


def _dependencies() -> list[str]:
    """What crossmesh depends on, in the versions used here, so that all nodes compute the same."""
    required = importlib.metadata.requires("crossmesh") or []
    names = [re.split(r"[^A-Za-z0-9._-]", text)[0] for text in required if "extra ==" not in text]
    versions = {name: importlib.metadata.version(name) for name in names}
    versions["ray[default]"] = versions.pop("ray")  # which the launcher needs
    return [f"{name}=={version}" for name, version in versions.items()]


def _prologue(machines: Machines) -> list[str]:
    begin = ['. "$here/env.sh"']
    if machines.code == "shipped":  # to the head by ray up, from there to the actors by Ray
        begin.append('export PYTHONPATH="$here/code${PYTHONPATH:+:$PYTHONPATH}"')
    return begin


def _provider(machines: Machines) -> dict[str, Any]:
    match machines:
        case OnPremisesCluster():
            return {"type": "local", "head_ip": machines.head, "worker_ips": list(machines.workers)}
        case AwsCluster():
            provider = {"type": "aws", "region": machines.region, "cache_stopped_nodes": False}
            zone = machines.availability_zone
            return provider if zone is None else {**provider, "availability_zone": zone}
        case GcpCluster():
            return {
                "type": "gcp",
                "region": machines.region,
                "availability_zone": machines.availability_zone,
                "project_id": machines.project_id,
            }


def _node_types(machines: AwsCluster | GcpCluster) -> dict[str, Any]:
    """What the head and the workers are; all workers are started at once and stay."""
    configs = _aws_nodes(machines) if isinstance(machines, AwsCluster) else _gcp_nodes(machines)
    resources = {} if machines.cpus_per_node is None else {"CPU": machines.cpus_per_node}
    n_workers = machines.nodes - 1
    head = {"resources": resources, "min_workers": 0, "max_workers": 0, "node_config": configs[0]}
    worker = {
        "resources": resources,
        "min_workers": n_workers,
        "max_workers": n_workers,
        "node_config": configs[1],
    }
    return {"head_node_type": HEAD, "available_node_types": {HEAD: head, WORKER: worker}}


def _aws_nodes(machines: AwsCluster) -> tuple[dict[str, Any], dict[str, Any]]:
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": machines.disk_gb}}
    node: dict[str, Any] = {"InstanceType": machines.instance_type, "BlockDeviceMappings": [disk]}
    if machines.machine_image is not None:
        node["ImageId"] = machines.machine_image
    if machines.instance_profile is not None:
        node["IamInstanceProfile"] = {"Arn": machines.instance_profile}
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}} if machines.spot else {}
    return node, {**node, **spot}


def _gcp_nodes(machines: GcpCluster) -> tuple[dict[str, Any], dict[str, Any]]:
    image = {"diskSizeGb": machines.disk_gb, "sourceImage": machines.source_image}
    disk = {"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": image}
    node: dict[str, Any] = {"machineType": machines.machine_type, "disks": [disk]}
    if machines.service_account is not None:
        scopes = ["https://www.googleapis.com/auth/cloud-platform"]
        node["serviceAccounts"] = [{"email": machines.service_account, "scopes": scopes}]
    taken = {"scheduling": [{"preemptible": True}]} if machines.preemptible else {}
    return node, {**node, **taken}


def _ray_script(machines: Machines) -> str:
    """Starts and ends one node's Ray, and nothing else."""
    cpus = [] if machines.cpus_per_node is None else [f"--num-cpus={machines.cpus_per_node}"]
    options = scripts.quoted([*cpus, "--include-log-monitor=false"])
    return _RAY.format(
        port=machines.port,
        folder=scripts.PRIVATE_FOLDER,
        options=options,
        seconds=_START_S,
        version=importlib.metadata.version("ray"),
    )


def _end(machines: Machines) -> str:
    """The command that gives the machines back."""
    if isinstance(machines, OnPremisesCluster):
        return f"ray exec cluster.yaml 'bash {_there(machines)}/ray.sh end'"
    return "ray down --yes cluster.yaml"


def _launch_script(machines: Machines, order: Order, run_dir: str) -> str:
    return _LAUNCH.format(
        job=f"bash {_there(machines)}/job.sh",
        here=shlex.quote(f"runs/{order.config.name}"),
        from_there=shlex.quote(run_dir.rstrip("/") + "/"),
        to_here=shlex.quote(f"runs/{order.config.name}/"),
        end=_end(machines),
    )


_HEADER = """\
# For ray up, ray exec and ray down. Ray's defaults begin every start with a command that ends all
# Ray processes of a machine, other people's included; the start commands here take its place and
# touch only what they have started (see node/ray.sh).
"""

_LAUNCH = """\
#!/usr/bin/env bash
# Sets the machines up, trains, fetches the run and releases the machines.
# The training runs apart from this connection: a lost connection stops nothing and is reopened.
# Ctrl-C and SIGTERM reach the training, which saves its state first.
cd "$(dirname "${{BASH_SOURCE[0]}}")" || exit 1
export RAY_USAGE_STATS_ENABLED=0
stopped=
trap 'stopped=1; ray exec cluster.yaml "{job} stop"' INT TERM
status=0
ray up --yes cluster.yaml && ray exec cluster.yaml '{job} start' || status=$?
if [ "$status" = 0 ]; then
  until ray exec cluster.yaml '{job} follow' & wait $!; do
    [ -n "$stopped" ] || echo 'connection lost; training continues; reconnecting' >&2
    sleep "${{CROSSMESH_RETRY_S:-10}}"
  done
  ended=$(ray exec cluster.yaml '{job} status' 2>/dev/null | grep -o 'training ended with [0-9]*')
  status=${{ended##* }}
  mkdir -p {here}
  if [ -z "$status" ] || ! ray rsync-down cluster.yaml {from_there} {to_here}; then
    echo 'the run could not be fetched, so the machines are kept' >&2
    exit 1
  fi
fi
{end} || status=$?
exit "$status"
"""

_JOB = """\
#!/usr/bin/env bash
# The training on the head, apart from any connection: job.sh start | follow | stop | status
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export CROSSMESH_PID_FILE="$here/train.pid"

runs() { [ -e "$here/job.pid" ] && kill -0 "$(cat "$here/job.pid")" 2>/dev/null; }

case "$1" in
  start)
    if runs; then echo "training is already running"; exit 0; fi
    rm -f "$here/status" "$CROSSMESH_PID_FILE"
    nohup setsid bash -c 'bash "$0/train.sh"; echo $? > "$0/status"' "$here" \\
      > "$here/train.log" 2>&1 < /dev/null &
    echo $! > "$here/job.pid" ;;
  follow)
    if runs; then tail -n 50 --pid="$(cat "$here/job.pid")" -f "$here/train.log"; fi
    [ -e "$here/status" ] ;;
  stop)
    if runs && [ -e "$CROSSMESH_PID_FILE" ]; then kill -TERM "$(cat "$CROSSMESH_PID_FILE")"; fi ;;
  status)
    if [ -e "$here/status" ]; then echo "training ended with $(cat "$here/status")"; fi ;;
esac
"""

_AFTER = """\
Inspect:  cd {folder} && ray attach cluster.yaml
Release the machines if launch.sh could not:   {end}"""

_RAY = """\
#!/usr/bin/env bash
# Starts this node's Ray as head or as worker, or ends it: ray.sh head | worker HEAD | end
# It ends the process that it has started, by its number, and never anybody else's Ray.
set -e
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
. "$here/env.sh"
pid_file="$here/ray.pid"
folder_file="$here/ray.folder"
log="$here/ray.log"

runs() {{ [ -e "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }}

case "$1" in
  head)
    set -- --head --port={port} --include-dashboard=false
    if [ -e "$HOME/ray_bootstrap_config.yaml" ]; then  # by which the head starts the workers
      set -- "$@" --autoscaling-config="$HOME/ray_bootstrap_config.yaml"
    fi ;;
  worker)
    set -- --address="$2:{port}" ;;
  end)
    if runs; then
      kill "$(cat "$pid_file")"
      for _ in $(seq 60); do runs || break; sleep 1; done
    fi
    rm -f "$pid_file"
    if [ -e "$folder_file" ]; then rm -rf "$(cat "$folder_file")"; fi
    rm -f "$folder_file"
    exit 0 ;;
esac

if runs; then
  echo "Ray is already running here: $(cat "$pid_file")"
  exit 0
fi
there=$(python3 -c 'import ray; print(ray.__version__)')
if [ "$there" != {version} ]; then
  echo "Ray must be {version} on every node, got $there on $(hostname)" >&2
  exit 1
fi
{folder}
echo "$RAY_TMPDIR" > "$folder_file"
ulimit -n 65536 2>/dev/null || true
: > "$log"
nohup setsid ray start --block "$@" --temp-dir="$RAY_TMPDIR/ray" {options} \\
  >> "$log" 2>&1 < /dev/null &
echo $! > "$pid_file"
for _ in $(seq {seconds}); do
  if grep -q 'Ray runtime started' "$log"; then exit 0; fi
  runs || break
  sleep 1
done
echo "Ray did not start on $(hostname) within {seconds} s:" >&2
tail -n 20 "$log" >&2
exit 1
"""

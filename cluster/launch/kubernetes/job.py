"""The RayJob of a launch, and the ConfigMap with its config, its scripts and maybe its code.

Fields: docs.ray.io/en/latest/cluster/kubernetes/getting-started/rayjob-quick-start.html and, for
the token, docs.ray.io/en/latest/cluster/kubernetes/user-guides/kuberay-auth.html.
"""

import base64
import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Any

from crossmesh.cluster.launch.files import yaml_text
from crossmesh.cluster.launch.kubernetes.pods import KubernetesPods
from crossmesh.cluster.launch.kubernetes.sections import merged
from crossmesh.cluster.launch.settings import NODE

MOUNTED = "/etc/crossmesh"  # where the pods find the ConfigMap
HEAD, WORKER, SUBMITTER = "ray-head", "ray-worker", "ray-job-submitter"  # containers
PID_FILE = "/tmp/crossmesh-job.pid"
_USER = 1000  # ``ray`` in the images of the Ray project, ``crossmesh`` in ours
_COPYING_S = 3600  # longest life of a pod that only copies
_LATE_S = 10  # of the time to save the state, what is left to Ray's own end
# What the submitter gets, which only follows the log; as much as KubeRay gives it by itself.
_SUBMITTER_SIZE = {
    "requests": {"cpu": "500m", "memory": "200Mi"},
    "limits": {"cpu": "1", "memory": "1Gi"},
}


def ray_job(
    pods: KubernetesPods, name: str, files: Iterable[str] = (), *, keep: bool = False
) -> dict[str, Any]:
    """The RayJob.

    Args:
        pods: The cluster.
        name: Of the launch.
        files: Paths of the files of its ConfigMap.
        keep: Whether its pods outlive it.

    Raises:
        ValueError: If a section of the cluster's file sets what is set here.
    """
    secret = {} if pods.secret is None else {"secretName": pods.secret}
    spec: dict[str, Any] = {
        "entrypoint": f"bash {MOUNTED}/job.sh",
        "submissionMode": "K8sJobMode",
        "shutdownAfterJobFinishes": not keep,
        "ttlSecondsAfterFinished": 0 if keep else pods.ttl_s,
        "backoffLimit": pods.retries,
        "submitterPodTemplate": submitter_template(pods),
        "rayClusterSpec": {
            "rayVersion": importlib.metadata.version("ray"),
            "authOptions": {"mode": "token", **secret},
            "headGroupSpec": {
                # The operator and the submitter ask the dashboard, which demands the token.
                "rayStartParams": {
                    "dashboard-host": "0.0.0.0",
                    "num-cpus": str(pods.cpus_per_node),
                },
                "template": head_template(pods, name, files),
            },
            "workerGroupSpecs": _workers(pods, name),
        },
    }
    if pods.packages:
        spec["runtimeEnvYAML"] = yaml_text({"pip": list(pods.packages)})
    metadata = {"name": name, "namespace": pods.namespace}
    job = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}
    return merged(job, _placed(pods.job), "job")


def head_template(pods: KubernetesPods, name: str, files: Iterable[str] = ()) -> dict[str, Any]:
    """The head's pod, where the training runs; it finds files of the ConfigMap by their paths."""
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(pods.grace_s)}
    template = _ray_template(pods, name, HEAD, variables, "stop.sh")
    items = [{"key": key, "path": path} for path, key in _keys(files).items()]
    template["spec"]["volumes"][0]["configMap"] |= {"items": items} if items else {}
    return template


def worker_template(pods: KubernetesPods, name: str) -> dict[str, Any]:
    """The pod of each other node."""
    return _ray_template(pods, name, WORKER, {}, "wait.sh")


def submitter_template(pods: KubernetesPods) -> dict[str, Any]:
    """The pod that hands the training to the head and follows its log."""
    container = {
        "name": SUBMITTER,
        "image": pods.image,
        "resources": _SUBMITTER_SIZE,
        "securityContext": _UNPRIVILEGED,
    }
    spec = {"restartPolicy": "Never", "containers": [container], **_common(pods)}
    return merged({"spec": spec}, _placed(pods.pod), "pod")


def fetching_pod(pods: KubernetesPods, name: str) -> dict[str, Any]:
    """A pod that does nothing but have the claim, out of which a run is copied."""
    template = submitter_template(pods)
    (container,) = template["spec"]["containers"]
    volumes, mounts = _shared(pods)
    container |= {"name": HEAD, "command": ["sleep", str(_COPYING_S)], "volumeMounts": mounts}
    spec = {**template["spec"], "volumes": volumes, "activeDeadlineSeconds": _COPYING_S}
    metadata = {**template.get("metadata", {}), "name": name, "namespace": pods.namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def config_map(pods: KubernetesPods, name: str, files: Mapping[str, str | bytes]) -> dict[str, Any]:
    """The files that the pods find in ``MOUNTED``, by their paths there."""
    metadata = {"name": name, "namespace": pods.namespace}
    keys = _keys(files)
    texts = {keys[path]: text for path, text in files.items() if isinstance(text, str)}
    binary = {
        keys[path]: base64.b64encode(content).decode()
        for path, content in files.items()
        if isinstance(content, bytes)
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": texts,
        **({"binaryData": binary} if binary else {}),
    }


def without_binaries(config_map: dict[str, Any]) -> dict[str, Any]:
    """A ConfigMap as it is shown, with the sizes of binary files."""
    sizes = {
        key: f"({len(base64.b64decode(text))} bytes)"
        for key, text in config_map.get("binaryData", {}).items()
    }
    return {**config_map, **({"binaryData": sizes} if sizes else {})}


def _keys(paths: Iterable[str]) -> dict[str, str]:
    """Keys of a ConfigMap, in which few characters may be, by the paths of files."""
    return {path: f"file-{i}" if "/" in path else path for i, path in enumerate(paths)}


def scripts_of(grace_s: int) -> dict[str, str]:
    """Scripts of the pods: the job, and what runs before a pod of the head or a worker ends."""
    seconds = grace_s - _LATE_S
    return {
        "job.sh": _JOB,
        "stop.sh": _STOP.format(seconds=seconds),
        "wait.sh": _WAIT.format(seconds=seconds),
    }


def _workers(pods: KubernetesPods, name: str) -> list[dict[str, Any]]:
    n_workers = pods.nodes - 1
    if not n_workers:
        return []
    return [
        {
            "groupName": "workers",
            "replicas": n_workers,
            "minReplicas": n_workers,
            "maxReplicas": n_workers,
            "rayStartParams": {"num-cpus": str(pods.cpus_per_node)},
            "template": worker_template(pods, name),
        }
    ]


def _ray_template(
    pods: KubernetesPods, job: str, container: str, own: dict[str, str], before_end: str
) -> dict[str, Any]:
    """A pod of Ray: nothing privileged, and as much as it asks for at most."""
    size = {"cpu": str(pods.cpus_per_node), "memory": pods.memory}
    volumes, mounts = _shared(pods)
    volumes.insert(0, {"name": "config", "configMap": {"name": job}})
    mounts.insert(0, {"name": "config", "mountPath": MOUNTED, "readOnly": True})
    variables = {**NODE, **own, **pods.variables}
    ray = {
        "name": container,
        "image": pods.image,
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "resources": {"requests": size, "limits": dict(size)},
        "volumeMounts": mounts,
        "lifecycle": {"preStop": {"exec": {"command": ["bash", f"{MOUNTED}/{before_end}"]}}},
        "securityContext": _UNPRIVILEGED,
    }
    spec = {
        "containers": [merged(ray, pods.container, "container")],
        "volumes": volumes,
        "terminationGracePeriodSeconds": pods.grace_s,
        **_common(pods),
    }
    return merged({"spec": spec}, _placed(pods.pod), "pod")


def _shared(pods: KubernetesPods) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The claim, if there is one: as volumes of a pod, and where they are mounted."""
    if pods.claim is None:
        return [], []
    claim = {"claimName": pods.claim.name}
    volume = {"name": "shared", "persistentVolumeClaim": claim}
    return [volume], [{"name": "shared", "mountPath": pods.claim.path}]


def _common(pods: KubernetesPods) -> dict[str, Any]:
    """What the pods of Ray and the submitter's have in common."""
    account = {} if pods.service_account is None else {"serviceAccountName": pods.service_account}
    security = {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "fsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {**account, "securityContext": security}


def _placed(section: dict[str, Any]) -> dict[str, Any]:
    """A section, with its labels and annotations where Kubernetes has them."""
    metadata = {key: section[key] for key in ("labels", "annotations") if key in section}
    spec = {key: value for key, value in section.items() if key not in metadata}
    return {**({"metadata": metadata} if metadata else {}), **({"spec": spec} if spec else {})}


_UNPRIVILEGED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

_JOB = f"""\
#!/usr/bin/env bash
# Trains, and passes on the first signal to end alone: the operator sends one when the job is
# deleted, stop.sh another, and two would end the training before its state is saved.
here=$(dirname "${{BASH_SOURCE[0]}}")
train= asked=
trap '[ -n "$asked" ] || {{ asked=1; [ -z "$train" ] || kill -TERM "$train"; }}' TERM
echo $$ > {PID_FILE}
[ -z "$asked" ] || exit 130
bash "$here/train.sh" & train=$!
[ -z "$asked" ] || kill -TERM "$train"
status=0
until wait "$train"; do
  status=$?
  kill -0 "$train" 2>/dev/null || break
  status=0
done
[ -z "$asked" ] || [ "$status" != 143 ] || status=130  # ended before it could hear the signal
exit "$status"
"""

_STOP = f"""\
#!/usr/bin/env bash
# Run before the head's pod ends: the training saves its state first.
pid=$(cat {PID_FILE} 2>/dev/null) || exit 0
kill -TERM "$pid" 2>/dev/null || exit 0
for _ in $(seq {{seconds}}); do
  kill -0 "$pid" 2>/dev/null || exit 0
  sleep 1
done
"""

_WAIT = """\
#!/usr/bin/env bash
# Run before a worker's pod ends: waits as long as tiles live here, whose state is being saved.
for _ in $(seq {seconds}); do
  grep -qs '^ray::TileActor' /proc/[0-9]*/cmdline || exit 0
  sleep 1
done
"""

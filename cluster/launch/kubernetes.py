"""Kubernetes: a RayJob for the KubeRay operator, with the config and the script in a ConfigMap.

Fields: docs.ray.io/en/latest/cluster/kubernetes/getting-started/rayjob-quick-start.html and, for
the token, docs.ray.io/en/latest/cluster/kubernetes/user-guides/kuberay-auth.html.
"""

import importlib.metadata
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.config import Name, Text, Word
from crossmesh.cluster.launch.files import SCRIPT, File, LaunchPlan, lines, yaml_text
from crossmesh.cluster.launch.generated import GeneratedCluster
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.settings import NODE
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen, Many

MOUNTED = "/etc/crossmesh"  # where the pods find the ConfigMap
_MOST_BYTES = 900_000  # of a ConfigMap, whose limit is 1 MiB
_USER = 1000  # ``ray`` in the images of the Ray project
_STOP_S = 120  # what a training gets to save its state, before its pod or job is killed
_PID_FILE = "/tmp/crossmesh-train.pid"
_HEAD_VARIABLES = {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_S), "CROSSMESH_PID_FILE": _PID_FILE}


class Claim(Frozen):
    """A PersistentVolumeClaim that is there already; it must admit many writers (ReadWriteMany).

    Attributes:
        name: Its name.
        path: Mount point on every node.
    """

    name: Word
    path: str = Field("/shared", pattern=r"^/[A-Za-z0-9._/-]+$")


class KubernetesCluster(GeneratedCluster):
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

    def run_directory(self, order: Order, folder: Path) -> str:
        """What cluster or options say, which has been checked to be there."""
        return order.run_dir or ""

    def plan(self, order: Order, folder: Path) -> LaunchPlan:
        """The manifest, and the script that applies it.

        Raises:
            ConfigError: If the config is too large for a ConfigMap.
        """
        job = order.name
        run_dir = self.run_directory(order, folder)
        train = scripts.training_script(order, run_dir, '"${RAY_ADDRESS:-auto}"', ())
        config = scripts.config_file(order, "")
        if len(train) + len(config.text) > _MOST_BYTES:
            raise ConfigError(
                f"CONFIG must fit a ConfigMap ({_MOST_BYTES} bytes), got {len(config.text)} bytes"
            )
        data = {config.name: config.text, "train.sh": train, "stop.sh": _STOP}
        documents = [_config_map(self, job, data), ray_job(self, job)]
        texts = [yaml_text(document) for document in documents]
        namespace = f"--namespace={self.namespace}"
        end = f"kubectl delete {namespace} rayjob {job}"
        return LaunchPlan(
            folder=folder,
            files=(
                File("rayjob.yaml", _HEADER + "---\n".join(texts)),
                File("launch.sh", _launch_script(job, namespace), SCRIPT),
            ),
            script="launch.sh",
            tools=("kubectl",),
            after=_AFTER.format(job=job, namespace=namespace, end=end),
            end=end,
        )


def ray_job(pods: KubernetesCluster, name: str) -> dict[str, Any]:
    """The RayJob."""
    secret = {} if pods.secret is None else {"secretName": pods.secret}
    cpus = str(pods.cpus_per_node)
    head: dict[str, Any] = {
        # The operator and the submitter ask the dashboard, which demands the token.
        "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": cpus},
        "template": _pod(pods, name, "ray-head", _HEAD_VARIABLES),
    }
    stop = {"exec": {"command": ["bash", f"{MOUNTED}/stop.sh"]}}
    head["template"]["spec"]["containers"][0]["lifecycle"] = {"preStop": stop}
    spec: dict[str, Any] = {
        "entrypoint": f"bash {MOUNTED}/train.sh",
        "submissionMode": "K8sJobMode",
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": pods.ttl_s,
        "backoffLimit": pods.retries,
        "rayClusterSpec": {
            "rayVersion": importlib.metadata.version("ray"),
            "authOptions": {"mode": "token", **secret},
            "headGroupSpec": head,
            "workerGroupSpecs": _workers(pods, name),
        },
    }
    if pods.packages:
        spec["runtimeEnvYAML"] = yaml_text({"pip": list(pods.packages)})
    metadata = {"name": name, "namespace": pods.namespace}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}


def _workers(pods: KubernetesCluster, name: str) -> list[dict[str, Any]]:
    n_workers = pods.nodes - 1
    if not n_workers:
        return []
    template = _pod(pods, name, "ray-worker", {})
    # Until the head has saved the state of the tiles that are here.
    wait = {"exec": {"command": ["sleep", str(_STOP_S - 10)]}}
    template["spec"]["containers"][0]["lifecycle"] = {"preStop": wait}
    return [
        {
            "groupName": "workers",
            "replicas": n_workers,
            "minReplicas": n_workers,
            "maxReplicas": n_workers,
            "rayStartParams": {"num-cpus": str(pods.cpus_per_node)},
            "template": template,
        }
    ]


def _pod(
    pods: KubernetesCluster, job: str, container: str, variables: dict[str, str]
) -> dict[str, Any]:
    """A pod's template: nothing privileged, and as much as it asks for at most."""
    size = {"cpu": str(pods.cpus_per_node), "memory": pods.memory}
    volumes: list[dict[str, Any]] = [{"name": "config", "configMap": {"name": job}}]
    mounts: list[dict[str, Any]] = [{"name": "config", "mountPath": MOUNTED, "readOnly": True}]
    if pods.claim is not None:
        claim = {"claimName": pods.claim.name}
        volumes.append({"name": "shared", "persistentVolumeClaim": claim})
        mounts.append({"name": "shared", "mountPath": pods.claim.path})
    everything = {**NODE, **variables, **pods.variables}
    spec: dict[str, Any] = {
        "containers": [
            {
                "name": container,
                "image": pods.image,
                "env": [{"name": key, "value": value} for key, value in everything.items()],
                "resources": {"requests": size, "limits": dict(size)},
                "volumeMounts": mounts,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "volumes": volumes,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": _STOP_S,
    }
    if pods.service_account is not None:
        spec["serviceAccountName"] = pods.service_account
    return {"spec": spec}


def _config_map(pods: KubernetesCluster, name: str, files: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": pods.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files}


def _launch_script(job: str, namespace: str) -> str:
    return lines(
        "#!/usr/bin/env bash",
        "# Hands the job to Kubernetes, which runs it on its own from then on.",
        "set -e",
        'cd "$(dirname "${BASH_SOURCE[0]}")"',
        "kubectl apply -f rayjob.yaml",
        f"kubectl get {namespace} rayjob {job}",
    )


_HEADER = """\
# For kubectl apply, with the KubeRay operator in the cluster: 1.5.1 or newer, and 1.6 or newer if
# authOptions names a secret. Without one, the operator makes a token for each cluster of pods and
# hands it to all of them; it stands in no file.
"""

_AFTER = """\
Inspect:  kubectl get {namespace} rayjob {job};  kubectl logs {namespace} -f job/{job}
Stop it, saving its state:   {end}"""

_STOP = f"""\
#!/usr/bin/env bash
# Run before the head's pod ends: the training saves its state first.
pid=$(cat {_PID_FILE} 2>/dev/null) || exit 0
kill -TERM "$pid" 2>/dev/null || exit 0
for _ in $(seq {_STOP_S - 10}); do
  kill -0 "$pid" 2>/dev/null || exit 0
  sleep 1
done
"""

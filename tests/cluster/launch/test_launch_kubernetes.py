"""The manifest of a RayJob, against the fields that KubeRay and Kubernetes know.

``FIELDS`` holds, of all that they know, what is used here and what is near it. Sources, both under
Apache-2.0: ``RayJobSpec``, ``RayClusterSpec``, ``AuthOptions``, ``HeadGroupSpec`` and
``WorkerGroupSpec`` of github.com/ray-project/kuberay (ray-operator/apis/ray/v1, from which its
CustomResourceDefinitions are generated; authOptions since 1.5.1, secretName since 1.6); pods as in
the API reference of Kubernetes (core/v1).
"""

import jsonschema
import pytest
import yaml

from crossmesh.common.errors import ConfigError
from tests.cluster.launch.launch_material import app

TEXT, WHOLE, TRUTH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
WORDS = {"type": "array", "items": TEXT}


def fields(*required, **properties):
    """An object with these fields and no others."""
    return {"type": "object", "properties": properties, "required": list(required),
            "additionalProperties": False}  # fmt: skip


def several(item):
    return {"type": "array", "items": item}


NAME = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
METADATA = fields("name", name=NAME, namespace=NAME, labels=TEXTS, annotations=TEXTS)
QUANTITY = {
    "type": "string",
    "pattern": r"^([0-9]+(\\.[0-9]*)?)(([KMGTPE]i)|[numkMGTPE])?$".replace("\\\\", "\\"),
}
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}
SECCOMP = fields("type", type={"enum": ["RuntimeDefault", "Localhost", "Unconfined"]})
CONTAINER = fields(
    "name",
    name=NAME, image=TEXT, imagePullPolicy=TEXT, command=WORDS, args=WORDS,
    env=several(fields("name", name=TEXT, value=TEXT)),
    ports=several(fields("containerPort", name=TEXT, containerPort=WHOLE)),
    resources=fields(requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=several(fields("name", "mountPath", name=TEXT, mountPath=TEXT, readOnly=TRUTH)),
    lifecycle=fields(preStop=fields(exec=fields("command", command=WORDS))),
    securityContext=fields(
        allowPrivilegeEscalation=TRUTH, privileged=TRUTH, readOnlyRootFilesystem=TRUTH,
        runAsNonRoot=TRUTH, runAsUser=WHOLE, capabilities=fields(add=WORDS, drop=WORDS),
    ),
)  # fmt: skip
VOLUME = fields(
    "name",
    name=NAME, configMap=fields(name=NAME, defaultMode=WHOLE),
    persistentVolumeClaim=fields("claimName", claimName=TEXT, readOnly=TRUTH),
    emptyDir=fields(medium=TEXT, sizeLimit=TEXT),
)  # fmt: skip
POD = fields(
    "spec",
    metadata=fields(labels=TEXTS, annotations=TEXTS),
    spec=fields(
        "containers",
        containers=several(CONTAINER), volumes=several(VOLUME), serviceAccountName=TEXT,
        terminationGracePeriodSeconds=WHOLE, restartPolicy=TEXT, nodeSelector=TEXTS,
        securityContext=fields(
            runAsNonRoot=TRUTH, runAsUser=WHOLE, runAsGroup=WHOLE, fsGroup=WHOLE,
            seccompProfile=SECCOMP,
        ),
    ),
)  # fmt: skip
FIELDS = fields(
    "apiVersion", "kind", "metadata", "spec",
    apiVersion={"const": "ray.io/v1"}, kind={"const": "RayJob"}, metadata=METADATA,
    spec=fields(
        "entrypoint", "rayClusterSpec",
        entrypoint=TEXT, runtimeEnvYAML=TEXT, jobId=TEXT, metadata=TEXTS,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        shutdownAfterJobFinishes=TRUTH, ttlSecondsAfterFinished=WHOLE, backoffLimit=WHOLE,
        activeDeadlineSeconds=WHOLE, suspend=TRUTH,
        rayClusterSpec=fields(
            "headGroupSpec",
            rayVersion=TEXT,
            authOptions=fields(mode={"enum": ["disabled", "token"]}, secretName=TEXT),
            headGroupSpec=fields(
                "template", rayStartParams=TEXTS, serviceType=TEXT, template=POD
            ),
            workerGroupSpecs=several(fields(
                "groupName", "template", "minReplicas", "maxReplicas",
                groupName=TEXT, replicas=WHOLE, minReplicas=WHOLE, maxReplicas=WHOLE,
                numOfHosts=WHOLE, rayStartParams=TEXTS, template=POD,
            )),
        ),
    ),
)  # fmt: skip
CONFIG_MAP = fields(
    "apiVersion", "kind", "metadata", "data",
    apiVersion={"const": "v1"}, kind={"const": "ConfigMap"}, metadata=METADATA, data=TEXTS,
)  # fmt: skip


@pytest.fixture
def manifest(tmp_path):
    """What generates the ConfigMap and the RayJob of a changed cluster."""

    def generated(*options, **changes):
        source = tmp_path / "mine.yaml"
        source.write_text(yaml.safe_dump({"extends": "kubernetes", **changes}))
        arguments = (source, "digits", *options, "--files", tmp_path / "out", "--dry-run")
        app([str(argument) for argument in arguments], standalone_mode=False)
        return list(yaml.safe_load_all((tmp_path / "out" / "rayjob.yaml").read_text()))

    return generated


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nodes": 1, "claim": {"name": "mine", "path": "/shared"}},
        {"secret": "my-token", "service_account": "me", "packages": ["crossmesh==0.1.0"]},
        {"storage": "s3://bucket/a", "run_dir": "/shared/b", "variables": {"A": "b: {c"}},
    ],
)
def test_every_field_is_one_that_kuberay_knows(changes, manifest):
    config_map, job = manifest(**changes)

    jsonschema.validate(config_map, CONFIG_MAP)
    jsonschema.validate(job, FIELDS)


def test_an_unknown_field_would_be_seen(manifest):
    _, job = manifest()
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volume"] = []

    with pytest.raises(jsonschema.ValidationError, match="'volume' was unexpected"):
        jsonschema.validate(job, FIELDS)


def test_pods_are_as_many_and_as_large_as_described(manifest):
    _, job = manifest(nodes=4, cpus_per_node=3, memory="5Gi")
    cluster = job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]

    assert (workers["replicas"], workers["minReplicas"], workers["maxReplicas"]) == (3, 3, 3)
    for group in (cluster["headGroupSpec"], workers):
        (container,) = group["template"]["spec"]["containers"]
        size = {"cpu": "3", "memory": "5Gi"}
        assert container["resources"] == {"requests": size, "limits": size}
        assert group["rayStartParams"]["num-cpus"] == "3"


def test_tokens_are_on_and_no_file_holds_one(manifest):
    _, job = manifest()
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}

    _, job = manifest(secret="mine")
    auth = job["spec"]["rayClusterSpec"]["authOptions"]
    assert auth == {"mode": "token", "secretName": "mine"}


def test_volumes_that_are_mounted_are_there(manifest):
    config_map, job = manifest()
    cluster = job["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]

    for pod in (group["template"]["spec"] for group in pods):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {
            mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]
        }
        assert set(mounts) == set(volumes)
        assert volumes["config"]["configMap"]["name"] == config_map["metadata"]["name"]
        assert job["spec"]["entrypoint"] == f"bash {mounts['config']}/train.sh"
    assert f"run=/shared/runs/{job['metadata']['name']}\n" in config_map["data"]["train.sh"]


def test_a_config_too_large_for_a_config_map_is_refused(manifest, monkeypatch):
    monkeypatch.setattr("crossmesh.cluster.launch.kubernetes._MOST_BYTES", 1000)
    rule = r"^CONFIG must fit a ConfigMap \(1000 bytes\), got \d+ bytes$"
    with pytest.raises(ConfigError, match=rule):
        manifest()

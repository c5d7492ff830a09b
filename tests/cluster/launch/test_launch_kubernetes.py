"""The manifest of a RayJob, against KubeRay's own definitions, and the scripts in it."""

import base64
import io
import itertools
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import yaml

from crossmesh.cluster.launch.kubernetes.cluster import KubernetesCluster
from crossmesh.cluster.launch.kubernetes.job import ray_job
from crossmesh.common.errors import ConfigError
from tests.cluster.launch import kuberay_schema
from tests.cluster.launch.kuberay_schema import VERSIONS, mistakes
from tests.cluster.launch.launch_material import app

PATIENCE_S = 60.0
SECTIONS = {
    "pod": {
        "labels": {"team": "ours"},
        "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname"}}]}},
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "batch",
        "runtimeClassName": "gvisor",
        "activeDeadlineSeconds": 7200,
        "securityContext": {"runAsGroup": 1000, "supplementalGroups": [2000]},
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "5Gi"}}],
    },
    "container": {
        "imagePullPolicy": "Always",
        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        "resources": {"limits": {"ephemeral-storage": "10Gi"}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    },
    "job": {
        "labels": {"kueue.x-k8s.io/queue-name": "ours"},
        "suspend": True,
        "activeDeadlineSeconds": 86400,
    },
}  # fmt: skip
CLAIM = {"claim": {"name": "mine", "path": "/shared"}}
BASE = {"image": "registry/crossmesh:1", "storage": "/shared/runs"}
CHOICES = {
    "nodes": ({}, {"nodes": 1}),
    "storage": (
        CLAIM,
        {"storage": "s3://bucket/a", "run_dir": "/shared/b", **CLAIM},
    ),
    "secret": ({}, {"secret": "my-token"}),
    "account": ({}, {"service_account": "me", "context": "admin@there"}),
    "code": ({}, {"packages": ["crossmesh==0.1.0"]}, {"code": "shipped"}),
    "variables": ({}, {"variables": {"A": "b: {c"}, "ttl_s": 60, "retries": 0, "grace_s": 600}),
    "sections": ({}, SECTIONS),
}


@pytest.fixture
def manifest(tmp_path):
    """What generates the ConfigMap and the RayJob of a changed cluster."""
    numbers = itertools.count()

    def generated(*options, config="digits", **changes):
        source = tmp_path / "mine.yaml"
        source.write_text(yaml.safe_dump({"extends": "kubernetes", **changes}))
        folder = tmp_path / f"out{next(numbers)}"
        arguments = (source, config, *options, "--files", folder, "--dry-run")
        app([str(argument) for argument in arguments], standalone_mode=False)
        return list(yaml.safe_load_all((folder / "rayjob.yaml").read_text()))

    return generated


def templates(job):
    """The pods of a job: head, workers, submitter."""
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [*(group["template"] for group in groups), spec["submitterPodTemplate"]]


@pytest.mark.parametrize("folder", ["/elsewhere/a", "runs/a"])
def test_a_run_directory_that_is_lost_with_its_pod_is_refused(folder, manifest):
    rule = rf"^--run-dir must be in claim\.path \(/shared\), got {folder}$"
    with pytest.raises(ConfigError, match=rule):
        manifest("--run-dir", folder)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_is_one_that_kuberay_knows(version):
    for fields in itertools.product(*CHOICES.values()):
        changes = {key: value for choice in fields for key, value in choice.items()}
        cluster = KubernetesCluster.model_validate({**BASE, **changes})
        if version == "1.5.1" and cluster.secret:  # which that one does not have
            continue
        assert mistakes(ray_job(cluster, "any"), version) == [], changes


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"pod": {"nodeSelektor": {}}}, "template.spec: no field nodeSelektor"),
        ({"job": {"managedBy": "me"}}, "spec.managedBy: the managedBy field value must be either"),
        ({"job": {"deletionStrategy": {"onSuccess": {"policy": "DeleteSelf"}}}},
         "spec.deletionStrategy: deletionStrategy requires either BOTH"),
        ({"pod": {"activeDeadlineSeconds": "1h"}}, "'1h' is not of type 'integer'"),
        ({"pod": {"imagePullSecrets": [{"name": "a"}, {"name": "a"}]}}, "twice ('a',)"),
    ],
)  # fmt: skip
def test_what_an_api_server_would_refuse_or_leave_out_is_seen(section, line, manifest):
    _, job = manifest(**section)
    for version in VERSIONS:
        assert any(line in mistake for mistake in mistakes(job, version))


def test_the_definitions_have_the_rules_that_are_evaluated():
    text = yaml.safe_dump(kuberay_schema.definition("1.6.2"))
    assert text.count("x-kubernetes-validations") >= 4


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


def test_no_pod_has_rights_that_it_does_not_need(manifest):
    _, job = manifest()
    for template in templates(job):
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        assert template["spec"]["securityContext"]["runAsUser"] == 1000
        for container in template["spec"]["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}


def test_sections_reach_every_pod_and_the_job(manifest):
    _, job = manifest(**SECTIONS)

    assert job["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "ours"}
    assert (job["spec"]["suspend"], job["spec"]["activeDeadlineSeconds"]) == (True, 86400)
    for template in templates(job):
        assert template["metadata"]["labels"] == {"team": "ours"}
        assert template["spec"]["nodeSelector"] == {"disk": "ssd"}
        assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert template["spec"]["securityContext"]["runAsUser"] == 1000  # beside the new fields
        assert template["spec"]["securityContext"]["runAsGroup"] == 1000
    for template in templates(job)[:-1]:
        (container,) = template["spec"]["containers"]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert mounts == ["/etc/crossmesh", "/shared", "/scratch"]
        assert container["resources"]["limits"] == {
            "cpu": "4", "memory": "16Gi", "ephemeral-storage": "10Gi",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"pod": {"restartPolicy": "Always"}},
         "pod.restartPolicy must be left out (crossmesh sets it), got Always"),
        ({"pod": {"serviceAccountName": "me"}},
         "pod.serviceAccountName must be left out (service_account sets it), got me"),
        ({"pod": {"terminationGracePeriodSeconds": 5}},
         "pod.terminationGracePeriodSeconds must be left out (grace_s sets it), got 5"),
        ({"pod": {"volumes": [{"name": "config", "emptyDir": {}}]}},
         "pod.volumes must leave out the name config, which crossmesh sets"),
        ({"pod": {"volumes": {"name": "a"}}}, "pod.volumes must be a list, got {'name': 'a'}"),
        ({"pod": {"securityContext": True}}, "pod.securityContext must be a mapping, got True"),
        ({"pod": 3}, "pod must be a mapping, got 3"),
        ({"job": {"labels": 3}}, "job.labels must be a mapping, got 3"),
        ({"pod": {"volumes": [3]}}, "pod.volumes must be a list of mappings, got 3 in it"),
        ({"container": {"lifecycle": {}}},
         "container.lifecycle must be left out (crossmesh sets it), got {}"),
        ({"container": {"resources": {"limits": {"cpu": 2}}}},
         "container.resources.limits.cpu must be left out (cpus_per_node sets it), got 2"),
        ({"container": {"volumeMounts": [{"name": "x", "mountPath": "/shared"}]}},
         "container.volumeMounts must leave out the mountPath /shared, which crossmesh sets"),
        ({"container": {"env": [{"name": "RAY_USAGE_STATS_ENABLED", "value": "1"}]}},
         "container.env must leave out the name RAY_USAGE_STATS_ENABLED, which crossmesh sets"),
        ({"job": {"backoffLimit": 9}},
         "job.backoffLimit must be left out (retries sets it), got 9"),
        ({"job": {"rayClusterSpec": {}}},
         "job.rayClusterSpec must be left out (pod and container sets it), got {}"),
        ({"grace_s": 10}, "grace_s must be at least 30, got 10"),
    ],
)  # fmt: skip
def test_what_is_set_elsewhere_is_refused_in_one_line(changes, line, manifest):
    with pytest.raises(ConfigError) as refusal:
        manifest(**changes)
    assert str(refusal.value) == f"mine.yaml: {line}"


def test_tokens_are_on_and_no_file_holds_one(manifest):
    _, job = manifest()
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}

    _, job = manifest(secret="mine")
    auth = job["spec"]["rayClusterSpec"]["authOptions"]
    assert auth == {"mode": "token", "secretName": "mine"}


def test_volumes_that_are_mounted_are_there(manifest):
    config_map, job = manifest()

    for pod in (template["spec"] for template in templates(job)[:-1]):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {
            mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]
        }
        assert set(mounts) == set(volumes)
        assert volumes["config"]["configMap"]["name"] == config_map["metadata"]["name"]
        assert job["spec"]["entrypoint"] == f"bash {mounts['config']}/job.sh"


def test_every_launch_has_a_name_and_a_run_of_its_own(manifest):
    """So a second one, with another seed, is another job."""
    runs = [manifest("--seed", str(seed)) for seed in (3, 4)]
    names = [job["metadata"]["name"] for _, job in runs]

    assert len(set(names)) == 2
    for (config_map, _), name in zip(runs, names, strict=True):
        assert config_map["metadata"]["name"] == name
        assert f"run=/shared/runs/{name}\n" in config_map["data"]["train.sh"]


def test_a_config_too_large_for_a_config_map_is_refused(manifest, monkeypatch):
    monkeypatch.setattr("crossmesh.cluster.launch.kubernetes.cluster._MOST_BYTES", 1000)
    rule = r"^CONFIG must fit a ConfigMap \(1000 bytes\), got \d+ bytes$"
    with pytest.raises(ConfigError, match=rule):
        manifest()
    with pytest.raises(ConfigError, match=r"^CONFIG and the code that is shipped must fit"):
        manifest(code="shipped")


@pytest.mark.slow
def test_shipped_code_is_unpacked_and_imported_on_the_head(manifest, tmp_path):
    config_map, _ = manifest(code="shipped")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for name, text in config_map["data"].items():
        (mounted / name).write_text(text)
    code = base64.b64decode(config_map["binaryData"]["code.tar.xz"])
    (mounted / "code.tar.xz").write_bytes(code)
    with tarfile.open(fileobj=io.BytesIO(code)) as archive:
        assert not any(entry.islnk() or entry.issym() for entry in archive)
    train = (mounted / "train.sh").read_text()
    begin, _, _ = train.partition("run=")
    where = f'{begin}cd /; python3 -c "import crossmesh; print(crossmesh.__file__)"'
    (mounted / "train.sh").write_text(where)

    said = subprocess.run(
        ["bash", mounted / "job.sh"], capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    ).stdout  # fmt: skip
    assert said.startswith("/tmp/") or said.startswith(os.environ.get("TMPDIR", "/tmp"))
    assert "exec python3 -m crossmesh train" in train


# Scripts of the pods, run here by real processes


@pytest.fixture
def scripts(manifest, tmp_path):
    """The folder of the scripts, whose times are short and whose files are in ``tmp_path``."""
    config_map, _ = manifest()
    folder = tmp_path / "etc"
    folder.mkdir()
    for name, text in config_map["data"].items():
        text = text.replace("/tmp/crossmesh-job.pid", str(tmp_path / "pid"))
        (folder / name).write_text(text.replace("sleep 1", "sleep 0.05"))
    return folder


def until(is_so):
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


# A training that counts the signals: the first saves, the second would end it at once.
COUNTS = """
n=0; trap 'n=$((n+1)); echo "signal $n" >> {out}' TERM
echo ready >> {out}
until [ -e {end} ]; do sleep 0.05; done
exit 130
"""


def test_the_operators_signal_and_that_of_the_pod_are_one_to_the_training(scripts, tmp_path):
    out, end = tmp_path / "out", tmp_path / "end"
    (scripts / "train.sh").write_text(COUNTS.format(out=out, end=end))
    job = subprocess.Popen(["bash", scripts / "job.sh"])
    until(lambda: out.exists() and "ready" in out.read_text())

    job.send_signal(signal.SIGTERM)  # as Ray sends it when the operator stops the job
    until(lambda: "signal 1" in out.read_text())
    stop = subprocess.Popen(["bash", scripts / "stop.sh"])  # when the pod ends
    time.sleep(0.5)
    assert stop.poll() is None  # it waits for the state to be saved
    end.touch()

    assert (job.wait(PATIENCE_S), stop.wait(PATIENCE_S)) == (130, 0)
    assert out.read_text() == "ready\nsignal 1\n"


@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_exit_code_of_a_training_is_that_of_the_job(status, scripts):
    (scripts / "train.sh").write_text(f"exit {status}\n")
    assert subprocess.run(["bash", scripts / "job.sh"], check=False).returncode == status
    assert subprocess.run(["bash", scripts / "stop.sh"], check=False).returncode == 0  # at once


def test_a_training_that_hears_no_signal_yet_is_ended_by_request(scripts, tmp_path):
    (scripts / "train.sh").write_text("exec sleep 600\n")
    job = subprocess.Popen(["bash", scripts / "job.sh"])
    until((tmp_path / "pid").exists)
    time.sleep(0.2)
    stop = subprocess.run(["bash", scripts / "stop.sh"], check=False)

    assert (stop.returncode, job.wait(PATIENCE_S)) == (0, 130)


def test_a_workers_pod_ends_at_once_unless_tiles_live_there(scripts):
    tile = subprocess.Popen(["bash", "-c", "exec -a ray::TileActor.forward sleep 600"])
    try:
        waiting = subprocess.Popen(["bash", scripts / "wait.sh"])
        time.sleep(0.5)
        assert waiting.poll() is None
    finally:
        tile.kill()
        tile.wait()
    assert waiting.wait(PATIENCE_S) == 0

"""Launches against a real API server of Kubernetes: what it admits, and what is left in the end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tests.cluster.launch import kuberay_schema
from tests.cluster.launch.kubernetes_server import NEEDS_SERVER, ApiServer

pytestmark = [*NEEDS_SERVER, pytest.mark.slow]
PATIENCE_S = 120.0
CLAIM = {
    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "crossmesh"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With KubeRay's RayJobs, whose status the tests write, as the operator would."""
    server = ApiServer(tmp_path_factory.mktemp("server"))
    try:
        server.begin()
        server.install(kuberay_schema.definition("1.6.2"))
        yield server
    finally:
        server.end()


class Namespace:
    """A namespace of its own with a claim, and commands of this package in it."""

    def __init__(self, server, name, folder):
        self.server, self.name, self.folder = server, name, folder
        server.begin_namespace(name)
        self.create(CLAIM)

    def create(self, *objects):
        for each in objects:
            self.server.kubectl("create", f"-n={self.name}", "-f", "-", given=yaml.safe_dump(each))

    def found(self, *words):
        return self.server.found(*words, f"-n={self.name}")

    def names(self, kind):
        return [item["metadata"]["name"] for item in self.found(kind)["items"]]

    def start(self, *words, **changes):
        """A command that has been started; ``launch`` is on this namespace."""
        if words[0] == "launch":
            source = self.folder / "mine.yaml"
            source.write_text(yaml.safe_dump(
                {"extends": "kubernetes", "namespace": self.name, "nodes": 2, **changes}
            ))  # fmt: skip
            words = ("launch", source, *words[1:])
        return subprocess.Popen(
            [sys.executable, "-m", "crossmesh", *map(str, words)], cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "KUBECONFIG": str(self.server.kubeconfig),
                 "XDG_STATE_HOME": str(self.folder / "state")},
        )  # fmt: skip

    def run(self, *words, code=0, **changes):
        """What a command says, to either stream."""
        process = self.start(*words, **changes)
        said = "".join(process.communicate(timeout=PATIENCE_S))
        assert process.returncode == code, said
        return said

    def launched(self, *options, **changes):
        """The name of a new launch."""
        before = set(self.names("rayjobs"))
        self.run("launch", "digits", *options, **changes)
        (name,) = set(self.names("rayjobs")) - before
        return name

    def status(self, name, code=0):
        return json.loads(self.run("status", name, "--json", code=code))


@pytest.fixture
def namespace(server, tmp_path, request):
    name = f"n{abs(hash(request.node.name)) % 10**8}"
    return Namespace(server, name, tmp_path)


def until(is_so):
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_two_launches_with_other_seeds_are_two_jobs_and_nothing_is_left_of_them(namespace):
    names = [namespace.launched("--seed", seed) for seed in ("3", "4")]
    configs = [
        yaml.safe_load(namespace.found("configmap", name)["data"]["run.yaml"]) for name in names
    ]
    assert [config["seed"] for config in configs] == [3, 4]

    for name in names:
        job = namespace.found("rayjob", name)
        (owner,) = namespace.found("configmap", name)["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("RayJob", job["metadata"]["uid"])
        namespace.run("cancel", name)
        assert namespace.status(name)["state"] == "cancelled"
    assert namespace.names("rayjobs") == []
    if namespace.server.has_controllers:
        until(lambda: not set(names) & set(namespace.names("configmaps")))


def test_everything_that_was_sent_is_kept_by_the_server(namespace):
    """Nothing is pruned, whatever the sections hold."""
    from tests.cluster.launch.test_launch_kubernetes import SECTIONS

    absent = {"priorityClassName", "runtimeClassName", "imagePullSecrets"}
    pods = {key: value for key, value in SECTIONS["pod"].items() if key not in absent}
    labels = {"job": {"suspend": True, "annotations": {"a": "b"}}}
    sections = {**SECTIONS, **labels, "pod": pods}
    name = namespace.launched(**sections)
    folder = namespace.folder / "launched" / name
    _, sent = yaml.safe_load_all((folder / "rayjob.yaml").read_text())
    kept = namespace.found("rayjob", name)

    assert beyond(kept["spec"], sent["spec"]) == []
    assert kept["metadata"]["annotations"]["a"] == "b"
    assert namespace.status(name)["state"] == "starting"


def beyond(kept, sent, path=""):
    """What was sent and is not kept."""
    if isinstance(sent, dict):
        return [place for key, value in sent.items()
                for place in (beyond(kept[key], value, f"{path}.{key}") if key in kept
                              else [f"{path}.{key}"])]  # fmt: skip
    if isinstance(sent, list):
        pairs = enumerate(zip(kept, sent, strict=True))
        return [place for i, (a, b) in pairs for place in beyond(a, b, f"{path}.{i}")]
    return [] if kept == sent else [path]


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"context": "other"},
         ["namespace must be one where you may create, get, delete rayjobs, got {}",
          "namespace must be one where you may create, patch, delete configmaps, got {}",
          "namespace must be one where you may get, list, create, delete pods, got {}",
          "namespace must be one where you may get pods/log, got {}",
          "namespace must be one where you may create pods/exec, got {}"]),
        ({"context": "none"}, ['context none must reach a cluster, got context "none" does not']),
        ({"namespace": "nowhere"}, ["namespace must be one of the cluster, got nowhere"]),
        ({"claim": {"name": "another"}}, ["claim.name must be in namespace {}, got another"]),
        ({"secret": "mine", "service_account": "me"},
         ["secret must be in namespace {}, got mine",
          "service_account must be in namespace {}, got me",
          "the cluster must admit the Pod, got "]),
        ({"pod": {"imagePullSecrets": [{"name": "registry"}]}},
         ["pod.imagePullSecrets must be in namespace {}, got registry"]),
        ({"pod": {"nodeSelektor": {"a": "b"}}},
         ["pod must have fields that the cluster knows, got nodeSelektor"]),
        ({"job": {"suspend": "maybe"}}, ["the cluster must admit the RayJob, got "]),
        ({"pod": {"priorityClassName": "urgent"}},
         ["the cluster must admit the Pod, got "]),
    ],
)  # fmt: skip
def test_a_preflight_says_what_is_missing_and_starts_nothing(changes, lines, namespace):
    said = namespace.run("launch", "digits", code=2, **changes).splitlines()

    wanted = [f"error: {line.format(namespace.name)}" for line in lines]
    assert [line[: len(want)] for line, want in zip(said, wanted, strict=True)] == wanted
    assert namespace.names("rayjobs") == []
    assert not (namespace.folder / "launched").exists()


def test_a_claim_that_one_pod_may_write_and_a_quota_that_is_too_small_are_seen(namespace):
    alone = {**CLAIM, "metadata": {"name": "alone"}}
    namespace.create({**alone, "spec": {**CLAIM["spec"], "accessModes": ["ReadWriteOnce"]}})
    namespace.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
                      "spec": {"hard": {"requests.cpu": "4500m"}}})  # fmt: skip
    quota = namespace.found("resourcequota", "small").get("status", {})
    if namespace.server.has_controllers:
        until(lambda: namespace.found("resourcequota", "small").get("status", {}).get("hard"))

    said = namespace.run("launch", "digits", "--check", code=2, claim={"name": "alone"})

    assert "claim.name must admit ReadWriteMany, got alone with ReadWriteOnce\n" in said
    if quota or namespace.server.has_controllers:
        assert (
            "nodes must fit the quota small, whose requests.cpu is 4500m with 0 in use, got 2 of 4 "
            "CPUs and 16Gi\n"
        ) in said
    one = namespace.run("launch", "digits", "--check", claim={"name": "alone"}, nodes=1)
    assert one == "everything that a launch needs is there\n"


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        ({}, "starting", None),
        ({"jobDeploymentStatus": "Suspended"}, "queued", None),
        ({"jobDeploymentStatus": "Initializing"}, "starting", None),
        ({"jobDeploymentStatus": "Running", "jobStatus": "PENDING"}, "starting", None),
        ({"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, "running", None),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, "done", 0),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, "cancelled", 130),
        ({"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed",
          "message": "Job entrypoint command failed with exit code 2, last available logs "
                     "(truncated to 20,000 chars):\nepoch 1\nerror: no data\n"}, "failed", 2),
    ],
)  # fmt: skip
def test_the_status_of_the_job_is_told_in_one_line(status, state, code, namespace):
    name = namespace.launched()
    if status:
        namespace.server.set_status(name, namespace.name, **status)

    told = namespace.status(name, code=int(state == "failed"))

    assert (told["state"], told["exit_code"]) == (state, code)
    if code == 2:
        assert told["detail"] == "error: no data"


def test_a_pod_that_waits_says_for_what(namespace):
    name = namespace.launched()
    namespace.server.set_status(
        name, namespace.name, jobDeploymentStatus="Initializing", rayClusterName="c"
    )
    labels = {"ray.io/cluster": "c", "ray.io/node-type": "head"}
    container = {"name": "ray-head", "image": "none"}
    metadata = {"name": "h", "labels": labels}
    namespace.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                      "spec": {"containers": [container]}})  # fmt: skip
    waits = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes: Insufficient cpu"}
    namespace.server.set_pod(namespace.name, "h", conditions=[waits])

    assert namespace.status(name)["detail"] == "h: 0/3 nodes: Insufficient cpu"

    pull = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    said = {"name": "ray-head", "ready": False, "restartCount": 0, "image": "none", "imageID": "",
            "state": pull}  # fmt: skip
    namespace.server.set_pod(namespace.name, "h", conditions=[], containerStatuses=[said])

    assert namespace.status(name)["detail"] == "h: ImagePullBackOff: no such image"


def test_a_launch_that_is_interrupted_leaves_nothing(namespace):
    for delay_s in (0.0, 0.2, 0.6):
        launching = namespace.start("launch", "digits")
        folder = namespace.folder / "launched"
        until(lambda: launching.poll() is not None or any(folder.glob("*/launch.sh")))  # noqa: B023
        time.sleep(delay_s)
        launching.send_signal(signal.SIGTERM)
        launching.communicate(timeout=PATIENCE_S)
        jobs = namespace.names("rayjobs")
        if launching.returncode:
            assert launching.returncode == 130
            assert jobs == []
        for name in jobs:  # it was handed over before
            namespace.run("cancel", name)
    if namespace.server.has_controllers:
        until(lambda: set(namespace.names("configmaps")) <= {"kube-root-ca.crt"})


def test_somebody_who_deletes_the_job_is_noticed(namespace):
    name = namespace.launched()
    namespace.server.kubectl("delete", "rayjob", name, f"-n={namespace.name}")

    assert namespace.status(name, code=1)["state"] == "lost"
    assert "cannot be asked to end" in namespace.run("cancel", name, code=1)

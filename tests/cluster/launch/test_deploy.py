"""What admins apply and build: Kustomize's folders against KubeRay's schema, and the Dockerfile."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from crossmesh.cluster.launch.kubernetes.preflight import _NEEDED
from crossmesh.common.version import VERSION
from tests.cluster.launch.kuberay_schema import VERSIONS, cluster_mistakes, definition
from tests.cluster.launch.kubernetes_server import ApiServer, needs_server

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
FOLDERS = ("base", "kueue", "ray-cluster")
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


def built(folder):
    """The objects that Kustomize makes of a folder, by kind."""
    text = subprocess.run(
        ["kubectl", "kustomize", DEPLOY / folder], capture_output=True, text=True, check=True
    ).stdout
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


@needs_kubectl
@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_builds_every_folder_for_one_namespace(folder):
    objects = built(folder)
    assert objects["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    for kind in set(objects) - {"Namespace", "ResourceFlavor", "ClusterQueue"}:
        assert objects[kind]["metadata"]["namespace"] == "crossmesh"


@needs_kubectl
def test_kuberay_knows_every_field_of_the_cluster_that_stays():
    cluster = built("ray-cluster")["RayCluster"]

    for version in VERSIONS:
        assert cluster_mistakes(cluster, version) == []
    assert cluster["spec"]["rayVersion"] == importlib.metadata.version("ray")
    head = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert head["image"] == f"my-registry/crossmesh:{VERSION}"


@needs_kubectl
def test_the_role_allows_what_a_preflight_asks_for():
    allowed = {
        (resource, group, verb)
        for rule in built("base")["Role"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    needed = {(*place, verb) for place, verbs in _NEEDED.items() for verb in verbs}
    assert needed <= allowed


def test_the_operator_is_of_the_newest_version_that_is_tested():
    text = (DEPLOY / "kuberay-operator.values.yaml").read_text()
    assert f"--version {VERSIONS[-1]} " in text
    assert set(yaml.safe_load(text)) == {"watchNamespace", "singleNamespaceInstall", "resources"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real API server, where the administrator has applied the base."""
    server = ApiServer(tmp_path_factory.mktemp("server"))
    try:
        server.begin()
        server.install(definition(VERSIONS[-1]))
        server.kubectl("apply", "-k", str(DEPLOY / "base"))
        server.begin_namespace("crossmesh")
        yield server
    finally:
        server.end()


@needs_server
@pytest.mark.slow
@pytest.mark.parametrize(("user", "code"), [("member", 0), ("other", 2)])
def test_members_of_the_group_may_launch_and_others_may_not(
    user, code, server, tmp_path, monkeypatch
):
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(
        {"extends": "kubernetes", "namespace": "crossmesh", "context": user,
         "service_account": "crossmesh"}
    ))  # fmt: skip
    checked = subprocess.run(
        [sys.executable, "-m", "crossmesh", "launch", "mine.yaml", "digits", "--check"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == code, checked.stderr
    if code:
        assert "namespace must be one where you may create, get, delete" in checked.stderr

"""The Dockerfile: linted, and built by a real builder on a base of Debian and of a Python here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from crossmesh.cluster.launch.kubernetes.cluster import KubernetesCluster
from crossmesh.cluster.launch.order import Order
from crossmesh.common.version import VERSION
from tests.cluster.launch.test_deploy import ROOT

PYTHON = Path(sys.base_prefix)
missing = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
reasons = {
    "CROSSMESH_IMAGE=1, for it takes minutes and the registries": "CROSSMESH_IMAGE" in os.environ,
    "root": os.geteuid() == 0,
    " and ".join(missing): not missing,
    "a Python in a folder of its own": not Path("/usr").is_relative_to(PYTHON),
}
needed = [reason for reason, is_there in reasons.items() if not is_there]
LIBRARIES = "ca-certificates,libbz2-1.0,libffi8,liblzma5,libreadline8,libsqlite3-0,libssl3,zlib1g"
APART = ("unshare", "--net", "--pid", "--fork", "--mount-proc")
TRAINING = ("train", "digits", "--epochs", "40", "--json", "--quiet", "--engine", "local")
PLACE = "/etc/ssl/certs/ca-certificates.crt"


def test_a_linter_of_dockerfiles_finds_nothing():
    linter = Path(sys.executable).with_name("hadolint")
    said = subprocess.run(
        [linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (0, "")


def test_the_context_of_a_build_is_what_the_wheel_is_made_of():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    links = {path.name for path in (ROOT / "crossmesh").iterdir() if path.is_symlink()}

    assert "*" in lines
    assert links | {"crossmesh", "pyproject.toml", "constraints.txt"} <= sent
    assert all((ROOT / name).exists() for name in sent)


class Builder:
    """buildah, with a store of its own in a folder."""

    def __init__(self, folder):
        self._base = ["buildah", "--root", folder / "store", "--runroot", folder / "run",
                      "--storage-driver", "overlay"]  # fmt: skip

    def __call__(self, *words, apart=False):
        """What a command says; ``apart``, in a network and with numbers of processes of its own."""
        begin = [*APART, "bash", "-c", 'ip link set lo up; exec "$@"', "apart"] if apart else []
        command = [*begin, *self._base, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    """A builder that has a base image, made of Debian's packages and the Python of this test."""
    folder = tmp_path_factory.mktemp("image")
    build = Builder(folder)
    root = folder / "root"
    try:
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={LIBRARIES}",
                        "bookworm", root], check=True)  # fmt: skip
        shutil.copytree(PYTHON, root / "usr" / "local", dirs_exist_ok=True, symlinks=True,
                        ignore=_without_packages)  # fmt: skip
        shutil.copy(PLACE, f"{root}{PLACE}")  # by which registries are trusted here
        (root / "etc" / "pip.conf").write_text(f"[global]\ncert = {PLACE}\n")
        subprocess.run(["chroot", root, "ldconfig"], check=True)
        container = build("from", "scratch")
        build("add", container, f"{root}/", "/")
        build("commit", container, "localhost/python")
        yield build
    finally:
        build("rm", "--all")
        build("rmi", "--all", "--force")
        shutil.rmtree(folder)


def _without_packages(folder, names):
    """What is not copied of a Python: what has been installed there, but for pip."""
    is_theirs = Path(folder).name == "site-packages"
    return [name for name in names if is_theirs and not name.startswith("pip")]


@pytest.fixture(scope="module")
def image(builder):
    """The configuration of the image, which has been built."""
    builder(
        "build", "--isolation", "chroot", "--network", "host", "--build-arg",
        "PYTHON_IMAGE=localhost/python", "--build-arg", f"VERSION={VERSION}", "--tag", "crossmesh",
        str(ROOT),
    )  # fmt: skip
    return json.loads(builder("inspect", "--type", "image", "crossmesh"))["OCIv1"]["config"]


@pytest.fixture
def digest(tmp_path):
    """Of the training that is run in the image too."""
    trained = subprocess.run(
        [sys.executable, "-m", "crossmesh", *TRAINING, "--run-dir", tmp_path / "run"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return json.loads(trained)["state_digest"]


def needs_builder(test):
    """Mark a test of the image that is built."""
    skipped = pytest.mark.skipif(bool(needed), reason=f"needs {', '.join(needed)}")
    return pytest.mark.cluster(pytest.mark.slow(skipped(test)))


@needs_builder
def test_the_image_trains_as_a_user_without_rights_to_the_same_bits(builder, image, digest):
    container = builder("from", "localhost/crossmesh")

    def said(*words):
        return builder("run", "--isolation", "chroot", container, "--", *words)

    assert (image["User"], image["WorkingDir"]) == ("1000:1000", "/home/crossmesh")
    assert image["Labels"]["org.opencontainers.image.version"] == VERSION
    assert said("id", "-u") == "1000"
    assert said("bash", "-c", "command -v ray wget bash tini").count("\n") == 3
    there = json.loads(said(*image["Entrypoint"], *TRAINING, "--run-dir", "/tmp/run"))
    assert there["state_digest"] == digest


# What KubeRay and the kubelet do with a head: start it, submit the job, stop it in the middle (the
# operator's signal, then the pod's), end the head; then the same again with fresh pods, to the end.
HEAD = """
set -e
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=0123456789abcdef0123456789abcdef
export RAY_JOB_STOP_WAIT_TIME_S=60
log=/tmp/ray/session_latest/logs/job-driver-first.log
address=http://127.0.0.1:8265
begin() {
  bash -c 'ulimit -n 65536; ray start --head --dashboard-host=0.0.0.0 --num-cpus=2 --block \
    --node-ip-address=127.0.0.1' > /tmp/head.log 2>&1 & head=$!
  until ray job list --address $address > /dev/null 2>&1; do kill -0 $head; sleep 1; done
  ray job submit --address $address --submission-id $1 --no-wait -- bash /etc/crossmesh/job.sh
}
begin first
until grep -q 'epoch 2' $log; do kill -0 $head; sleep 0.2; done
ray job stop --address $address --no-wait first
bash /etc/crossmesh/stop.sh
bash /etc/crossmesh/wait.sh
cat $log
kill -TERM $head
wait $head || true
begin second
ray job logs --address $address --follow second
until ray job status --address $address second 2>&1 | grep -qi succeeded; do sleep 1; done
kill -TERM $head
wait $head || true
"""


@needs_builder
def test_a_job_that_is_stopped_and_begun_again_ends_with_the_same_bits(
    builder, image, digest, tmp_path
):
    mounted, shared = tmp_path / "etc", tmp_path / "shared"
    mounted.mkdir()
    shared.mkdir()
    os.chown(shared, 1000, 1000)
    fields = {"image": "any", "storage": "/shared", "claim": {"name": "any"}, "nodes": 1}
    cluster = KubernetesCluster.model_validate(fields)
    order = Order(cluster, TRAINING[1], TRAINING[2:4], "here")
    files, _ = yaml.safe_load_all(cluster.manifest(order, tmp_path))
    for name, text in files["data"].items():
        (mounted / name).write_text(text)
    container = builder("from", "localhost/crossmesh")

    said = builder(
        "run", "--isolation", "chroot", "--volume", f"{mounted}:/etc/crossmesh:ro", "--volume",
        f"{shared}:/shared", container, "--", "bash", "-c", HEAD, apart=True,
    )  # fmt: skip

    assert "interrupted; resume with: crossmesh resume /shared/here" in said
    summary = json.loads((shared / "here" / "summary.json").read_text())
    assert summary["state_digest"] == digest

"""The Dockerfile: linted, and built by a real builder on a base of Debian and of a Python here."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crossmesh.common.version import VERSION
from tests.cluster.launch.test_deploy import ROOT

PYTHON = Path(sys.base_prefix)
missing = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
reasons = {
    "root": os.geteuid() == 0,
    " and ".join(missing): not missing,
    "a Python in a folder of its own": not Path("/usr").is_relative_to(PYTHON),
}
needed = [reason for reason, is_there in reasons.items() if not is_there]
LIBRARIES = "ca-certificates,libbz2-1.0,libffi8,liblzma5,libreadline8,libsqlite3-0,libssl3,zlib1g"
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

    def __call__(self, *words, **options):
        done = subprocess.run([*self._base, *words], capture_output=True, text=True, check=False,
                              **options)  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
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
        shutil.copytree(PYTHON, root / "usr" / "local", dirs_exist_ok=True, symlinks=True)
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


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.skipif(bool(needed), reason=f"needs {', '.join(needed)}")
def test_the_image_trains_as_a_user_without_rights_to_the_same_bits(builder, tmp_path):
    builder(
        "build", "--isolation", "chroot", "--network", "host", "--build-arg",
        "PYTHON_IMAGE=localhost/python", "--build-arg", f"VERSION={VERSION}", "--tag", "crossmesh",
        str(ROOT),
    )  # fmt: skip
    config = json.loads(builder("inspect", "--type", "image", "crossmesh"))["OCIv1"]["config"]
    container = builder("from", "localhost/crossmesh")

    def said(*words):
        return builder("run", "--isolation", "chroot", container, "--", *words)

    assert (config["User"], config["WorkingDir"]) == ("1000:1000", "/home/crossmesh")
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert said("id", "-u") == "1000"
    assert said("sh", "-c", "command -v ray wget bash tini").count("\n") == 3
    training = ("train", "digits", "--epochs", "1", "--json", "--quiet", "--engine", "local")
    there = json.loads(said(*config["Entrypoint"], *training, "--run-dir", "/tmp/run"))
    here = json.loads(subprocess.run(
        [sys.executable, "-m", "crossmesh", *training, "--run-dir", tmp_path / "run"],
        capture_output=True, text=True, check=True,
    ).stdout)  # fmt: skip
    assert there["state_digest"] == here["state_digest"]

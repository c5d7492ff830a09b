"""EC2 as moto answers for it: what is missing, machines that are made, and none that stays."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from crossmesh.cluster.launch.machines import ec2
from tests.hosts import wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
    pytest.mark.skipif(find_spec("moto") is None, reason="needs moto"),
]
ROOT = Path(__file__).parents[3]
REGION = "us-west-2"
ENDINGS = int(os.environ.get("CROSSMESH_ENDINGS", "4"))
IMAGE = {
    "ami_id": "ami-0ubuntu2404", "architecture": "x86_64", "hypervisor": "xen",
    "creation_date": "2026-10-01T00:00:00.000Z", "description": "Canonical", "public": True,
    "name": "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20261001", "platform": None,
    "owner_id": "099720109477", "image_location": "x", "image_type": "machine",
    "root_device_name": "/dev/sda1", "root_device_type": "ebs", "sriov": "simple",
    "state": "available", "virtualization_type": "hvm",
}  # fmt: skip


class Cloud:
    """EC2 and IAM on a port of this machine, with one image of Ubuntu 24.04."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "images.json").write_text(json.dumps([IMAGE]))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        settings = {"MOTO_AMIS_PATH": str(folder / "images.json"),
                    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}  # fmt: skip
        with (folder / "moto.log").open("wb") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-p", str(self.port)],
                env={**os.environ, **settings}, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.env = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        wait_for(self._listens, 60)

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @contextlib.contextmanager
    def reached(self):
        """Have this process's boto3 talk to it."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                patch.setenv(name, value)
            yield

    def close(self):
        self._server.kill()
        self._server.wait()

    def alive(self):
        """Every instance that costs money."""
        states = ["pending", "running", "stopping", "stopped"]
        filters = [{"Name": "instance-state-name", "Values": states}]
        found = ec2.client(REGION).describe_instances(Filters=filters)["Reservations"]
        return [each["InstanceId"] for group in found for each in group["Instances"]]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.close()


@pytest.fixture
def credentials(cloud):
    with cloud.reached():
        yield


class Launch:
    """A launch on EC2 from a home of its own."""

    def __init__(self, cloud, home, *words, **fields):
        self.home = home
        (home / "mine.yaml").write_text(
            yaml.safe_dump({"extends": "aws", "name": "mine", **fields})
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._env = {**kept, **cloud.env, "HOME": str(home), "PYTHONPATH": str(ROOT),
                     "XDG_STATE_HOME": str(home / "state"), "COLUMNS": "200"}  # fmt: skip
        self.said = home / "said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "crossmesh", "launch", "mine.yaml", "digits", *words],
                cwd=home, env=self._env, stdout=said, stderr=said, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    def await_word(self, word, within_s=180):
        wait_for(lambda: word in self.text or self.process.poll() is not None, within_s, word)
        assert word in self.text, self.text

    @property
    def text(self):
        return self.said.read_text()

    @property
    def name(self):
        found = re.search(r"^launch (\S+): ", self.text, re.MULTILINE)
        return found and found[1]

    def command(self, *words):
        return subprocess.run(
            [sys.executable, "-m", "crossmesh", *words], cwd=self.home, env=self._env,
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_for(lambda: not self._children(), 20)

    def _children(self):
        """Processes that work in the folder of the launch."""
        found = []
        for link in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                found += [link] if link.readlink().is_relative_to(self.home) else []
        return found


def test_what_the_cloud_lacks_is_told_before_anything_is_made(credentials, cloud, tmp_path):
    assert list(ec2.misses(REGION, "c7i.4xlarge", None)) == []
    assert list(ec2.misses(REGION, "c99.nope", "ami-12345678")) == [
        "instance_type must be one that us-west-2 has, got c99.nope",
        "machine_image must be one that us-west-2 has, got ami-12345678",
    ]
    assert list(ec2.misses(REGION, "m7g.large", None)) == [
        "machine_image must be given in us-west-2, which has no Ubuntu 24.04 for m7g.large"
    ]
    launch = Launch(cloud, tmp_path, instance_type="c99.nope", ssh={"private_key": "no-key"})
    assert launch.process.wait(60) == 2
    assert launch.text.splitlines() == [
        f"error: ssh.private_key must be a readable file, got {tmp_path}/no-key (no such file or "
        "directory)",
        "error: instance_type must be one that us-west-2 has, got c99.nope",
    ]


def test_missing_credentials_are_one_line(cloud, tmp_path, monkeypatch):
    for name in cloud.env:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    (line,) = ec2.misses(REGION, "c7i.4xlarge", None)

    assert line.startswith("credentials of AWS must be there: AWS_ACCESS_KEY_ID and ")


def test_a_place_where_nothing_answers_is_one_line(credentials, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (line,) = ec2.misses(REGION, "c7i.4xlarge", None)

    assert line.startswith("region must be one where AWS accepts the credentials, got us-west-2 (")


def test_a_start_that_is_interrupted_gives_its_machine_back(credentials, cloud, tmp_path):
    launch = Launch(cloud, tmp_path)
    launch.await_word("Waiting for SSH")
    assert len(cloud.alive()) == 1
    (image,) = {
        each["ImageId"]
        for group in ec2.client(REGION).describe_instances()["Reservations"]
        for each in group["Instances"]
    }
    assert image == IMAGE["ami_id"]
    launch.process.send_signal(signal.SIGINT)

    assert launch.process.wait(120) == 130
    assert cloud.alive() == []
    *_, back, last = launch.text.splitlines()
    assert back == "giving the machines back"
    assert last == f"interrupted; end what may still run with: crossmesh cancel {launch.name}"
    for noise in ("Useful commands", "Autoscaler v2 is now", "Warning", "Traceback"):
        assert noise not in launch.text


def test_a_killed_launch_is_given_back_by_its_name(credentials, cloud, tmp_path):
    launch = Launch(cloud, tmp_path)
    launch.await_word("Waiting for SSH")
    launch.kill()
    assert len(cloud.alive()) == 1
    assert f"crossmesh cancel {launch.name}" in launch.command("status", launch.name).stdout

    done = launch.command("cancel", launch.name)
    assert done.returncode == 0, done.stderr
    assert cloud.alive() == []


def test_a_launch_that_fails_gives_its_machine_back(credentials, cloud, tmp_path):
    launch = Launch(cloud, tmp_path, availability_zone="us-west-2z")

    assert launch.process.wait(120) == 1
    assert launch.text.splitlines()[-1].startswith("error: ray up has failed: ")
    assert "Traceback" not in launch.text
    assert cloud.alive() == []


@pytest.mark.parametrize("seed", range(ENDINGS))
def test_nothing_is_left_whenever_it_ends(seed, credentials, cloud, tmp_path):
    chance = random.Random(seed)
    launch = Launch(cloud, tmp_path)
    time.sleep(chance.uniform(0, 16))
    how = chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    if how == signal.SIGKILL:
        launch.kill()
        if launch.name:
            launch.command("cancel", launch.name)
    else:
        launch.process.send_signal(how)
        assert launch.process.wait(120) == 130

    assert cloud.alive() == []
    assert launch._children() == []

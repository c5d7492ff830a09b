"""A whole launch on EC2: moto makes instances, and a host with sshd stands for each of them.

It fails if Ray's autoscaler no longer starts workers from a head that ``ray up`` has made.
"""

import json
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import pytest

from tests.cluster.launch.ssh_machines import BIN, LAPTOP, Launch, SshMachines
from tests.cluster.launch.test_launch_ec2 import IMAGE, REGION
from tests.cluster.machines import ROOT, Machines, wait_for
from tests.cluster.parts import need

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]
PORT = 5000
NETWORKS = ("54.0.0.0/8", "172.31.0.0/16")  # of moto's public and private addresses
# Prints each instance that begins or ends, and the public half of the key that Ray has made.
WATCH = """
import pathlib, subprocess, sys, time
from crossmesh.cluster.launch.machines import ec2
client, known = ec2.client(sys.argv[1]), {}
while True:
    for group in client.describe_instances()["Reservations"]:
        for each in group["Instances"]:
            state, name = each["State"]["Name"], each["InstanceId"]
            if state != known.get(name) and state in ("running", "terminated"):
                key, = pathlib.Path("~/.ssh").expanduser().glob("ray-autoscaler*.pem")
                public = subprocess.check_output(["ssh-keygen", "-y", "-f", str(key)], text=True)
                addresses = each.get("PublicIpAddress", "-"), each.get("PrivateIpAddress", "-")
                print(state, name, *addresses, public.strip(), sep=";", flush=True)
            known[name] = state
    time.sleep(0.5)
"""


class Cloud:
    """EC2 on the laptop's port 5000, and machines that become its instances."""

    def __init__(self, machines):
        self.hosts = SshMachines(machines)
        self.free = list(self.hosts.nodes)
        self.used = {}
        laptop = self.hosts.laptop
        (machines.shared / "images.json").write_text(json.dumps([IMAGE]))
        machines.env.update({
            "AWS_ENDPOINT_URL": f"http://{laptop.address}:{PORT}", "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
            "MOTO_AMIS_PATH": str(machines.shared / "images.json"),
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        })  # fmt: skip
        for machine in machines:
            self._connect(machine)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._server = laptop.popen(sys.executable, "-m", "moto.server", "-H", "0.0.0.0",
                                    "-p", PORT, **quiet)  # fmt: skip
        wait_for(lambda: f":{PORT}" in laptop.run("ss", "-Hltn").stdout, 60)
        self._watch = laptop.popen(sys.executable, "-c", WATCH, REGION, text=True,
                                   stdout=subprocess.PIPE)  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @staticmethod
    def _connect(machine):
        """Let it reach instances."""
        for network in NETWORKS:
            machine.run("ip", "route", "add", network, "dev", "eth0")

    def _read(self):
        for line in self._watch.stdout:
            state, name, public, private, key = line.strip().split(";")
            if state == "running":
                keys = self.hosts.machines.shared / "key.pub"
                keys.write_text(f"{key}\n")
                self.used[name] = machine = self.free.pop(0)
                machine.run("ip", "address", "flush", "dev", "eth0")
                for address in (f"{private}/16", f"{public}/32"):
                    machine.run("ip", "address", "add", address, "dev", "eth0")
                machine.run("ip", "route", "add", "default", "dev", "eth0", "src", private)
            elif name in self.used:
                machine = self.used.pop(name)
                machine.kill()
                machine.boot()
                self._connect(machine)
                self.hosts.serve(machine)
                self.free.append(machine)

    def close(self):
        for process in (self._watch, self._server):
            process.kill()
            process.wait()
        self._reader.join()
        self._watch.stdout.close()

    def file(self, **fields):
        env = self.hosts.machines.env
        credentials = {name: value for name, value in env.items() if name.startswith("AWS_")}
        path = self.hosts.machines.shared / "cloud.yaml"
        path.write_text(json.dumps({
            "extends": "aws", "name": "cloud", "nodes": 2, "cpus_per_node": 1, "setup": [],
            "storage": str(self.hosts.storage), "code": "installed", "ssh": {"user": "root"},
            "activate": [f'export PATH="{BIN}:$PATH"'],
            "variables": {**credentials, "PYTHONPATH": str(ROOT)}, **fields,
        }))  # fmt: skip
        return path


@pytest.fixture
def cloud():
    need("sshd", "ssh", "rsync")
    if find_spec("moto") is None:
        pytest.skip("needs moto")
    with Machines(LAPTOP, "m1", "m2", "m3") as machines:
        cloud = Cloud(machines)
        try:
            yield cloud
        finally:
            cloud.close()


def test_workers_join_the_run_comes_back_and_no_machine_stays(cloud):
    words = ("--set", "training.epochs=2", "--set", "training.baseline=false", "--seed", "3")
    launch = Launch(cloud.hosts, cloud.file(), "digits", *words)

    assert launch.ended() == 0, launch.said
    summary = launch.summary()
    assert summary["emulation"]["nodes"] == 2
    alone = cloud.hosts.machines.shared / "alone"
    assert (
        cloud.hosts.ended("train", "digits", "--engine", "local", *words, "--run-dir", alone)[0]
        == 0
    )
    assert (
        summary["state_digest"] == json.loads((alone / "summary.json").read_text())["state_digest"]
    )
    wait_for(lambda: not cloud.used, 30)
    assert "Warning" not in launch.said


def test_a_head_that_vanishes_is_made_again_and_goes_on(cloud):
    words = ("--set", "training.epochs=30", "--set", "training.baseline=false",
             "--set", "checkpoint.every_s=1")  # fmt: skip
    launch = Launch(cloud.hosts, cloud.file(), "digits", *words)
    launch.await_word("epoch 3:")
    head = next(machine for machine in cloud.used.values()
                if any("gcs_server" in each.command for each in machine.processes()))  # fmt: skip
    head.kill()

    assert launch.ended() == 0, launch.said
    assert "starting again from the last checkpoint (1 of 1)" in launch.said
    time.sleep(1)
    wait_for(lambda: not cloud.used, 30)

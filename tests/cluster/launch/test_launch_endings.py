"""Launches over ssh that are ended at random moments: nothing of them is left on the machines."""

import os
import random
import signal
import time

import pytest

from tests.cluster.launch.ssh_machines import Launch, ssh_machines
from tests.cluster.machines import wait_for
from tests.cluster.parts import need

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]
ENDINGS = int(os.environ.get("CROSSMESH_ENDINGS", "4"))
STEPS = ("files in", "setting up", "starting Ray", "compiling", "epoch 1:", "giving the machines")
WORDS = ("--set", "training.epochs=40", "--set", "training.baseline=false")


@pytest.fixture(scope="module")
def hosts():
    need("sshd", "ssh")
    with ssh_machines("n1", "n2") as hosts:
        yield hosts


@pytest.mark.parametrize("seed", range(ENDINGS))
def test_nothing_is_left_whenever_it_ends(seed, hosts):
    chance = random.Random(seed)
    launch = Launch(hosts, hosts.cluster(), "digits", *WORDS, "--seed", seed)
    launch.await_word(chance.choice(STEPS))
    time.sleep(chance.uniform(0, 4))
    how = chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    if how == signal.SIGKILL:
        launch.kill()
        hosts.ended("cancel", launch.name)
    else:
        launch.process.send_signal(how)
        assert launch.ended() in {0, 130}, launch.said

    wait_for(lambda: hosts.left() == [], 30, f"the end of {hosts.left()}")
    here = [process.command for process in hosts.laptop.processes()]
    assert here == []
    assert not list((hosts.laptop.root / "tmp").glob("crossmesh-p-*"))

"""Three hosts with an address each: the same bits, and channels that only the hosts can use."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.faults import ACTORS, SCHEDULES, Training, undisturbed
from tests.hosts import ROOT, Hosts, sweep, wait_for, why_not

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]
# Begins to greet as ZeroMQ 3 does, and prints which mechanism the port then says it demands.
GREETING = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as port:
    port.sendall(b"\\xff" + bytes(8) + b"\\x7f" + b"\\x03\\x00")
    answer = b""
    while len(answer) < 32 and (part := port.recv(64)):
        answer += part
print(answer[12:32].rstrip(b"\\0").decode())
"""


@pytest.fixture(scope="module", autouse=True)
def possible():
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def hosts():
    with Hosts(3) as hosts:
        yield hosts


def mechanism(hosts, asking, address, number):
    """Of the ZeroMQ port at an address, as another host meets it."""
    asked = hosts[asking].popen(
        sys.executable, "-c", GREETING, address, str(number), env=hosts.env, stdout=subprocess.PIPE
    )
    return asked.communicate(timeout=20)[0].decode().strip()


def test_three_hosts_give_the_same_bits_over_encrypted_channels(hosts, tmp_path):
    run = Training(hosts, tmp_path, *SCHEDULES["synchronous"], *ACTORS, "training.epochs=12")
    run.wait_for(run.checkpoints, 60, "its first checkpoint")

    for number, host in enumerate(hosts):
        actors = {actor.pid for actor in host.actors()}
        assert len(actors) == 2
        ports = [port for port in host.ports() if port.pid in actors]
        ours = [port for port in ports if port.address == host.address]
        assert ours
        # What listens on all addresses is Ray's: one port of each worker.
        assert sorted(p.pid for p in ports if p not in ours) == sorted(actors)
        for port in ours:
            assert mechanism(hosts, (number + 1) % 3, host.address, port.number) == "CURVE"

    summary = run.end()
    assert summary["emulation"]["nodes"] == 3
    assert summary["emulation"]["actors"] == 6
    assert summary["emulation"]["recoveries"] == 0
    assert summary["state_digest"] == undisturbed(run.overrides)
    wait_for(lambda: not hosts.actors(), 20, "the end of all actors")


def names(pid) -> set[str]:
    """Namespaces and folders of the hosts of a process."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    found = {line.split()[0] for line in listed.stdout.splitlines()}
    found |= {path.name for path in Path(tempfile.gettempdir()).iterdir()}
    return {name for name in found if name.startswith(f"crossmesh-{pid}-")}


def runs(pid) -> bool:
    """Whether there is such a process, and not only its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def fail_while_a_process_is_frozen(before):
    with Hosts(2, ray=False) as hosts:
        frozen = hosts[1].popen("sleep", "1000", env=hosts.env)
        wait_for(hosts[1].processes, 5)
        frozen.send_signal(signal.SIGSTOP)
        assert len(names(os.getpid()) - before) == 4
        raise KeyError(frozen)


def test_nothing_outlives_hosts_however_they_end():
    before = names(os.getpid())

    with pytest.raises(KeyError) as raised:
        fail_while_a_process_is_frozen(before)

    assert raised.value.args[0].wait(5) == -signal.SIGKILL
    assert names(os.getpid()) == before


def test_what_a_killed_test_has_left_is_swept_away():
    code = (
        "import os, time; from tests.hosts import Hosts; hosts = Hosts(1, ray=False).__enter__(); "
        "left = hosts[0].popen('sleep', '1000', env=hosts.env); print(left.pid, flush=True); "
        "time.sleep(1000)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    left = int(killed.stdout.readline())
    killed.kill()
    killed.wait()
    killed.stdout.close()
    assert len(names(killed.pid)) == 3

    sweep()

    assert names(killed.pid) == set()
    wait_for(lambda: not runs(left), 5)

"""Machines made of namespaces: apart from each other and from this one, and gone afterwards."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.machines import ROOT, Machines, wait_for, why_not

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "machines can be had"),
]


def test_a_machine_has_what_is_its_own_and_sees_what_all_share():
    with Machines("a", "b") as machines:
        a, b = machines
        (machines.shared / "note").write_text("seen")
        for machine in machines:
            script = 'hostname; cat "$0"; touch /tmp/own /dev/shm/own ~/own; echo $$'
            name, rest = machine.run("bash", "-c", script, machines.shared / "note").stdout.split()
            assert (name, rest[:4]) == (machine.name, "seen")
            assert int(rest[4:]) < 100  # a PID of its own namespace
        (a.root / "tmp" / "of-a").touch()
        assert b.run("ls", "/tmp/of-a", check=False).returncode != 0
        where = a.run("python", "-c", "import crossmesh; print(crossmesh.__file__)").stdout
        assert where.strip() == str(ROOT / "crossmesh/__init__.py")
    assert not Path("/tmp/own").exists()
    assert not Path("~/own").expanduser().exists()


def answers(machine, other):
    """Whether a port of another machine is reached."""
    program = f"import socket; socket.create_connection(({other.name!r}, 7000), timeout=1).close()"
    return machine.run("python", "-c", program, check=False).returncode == 0


def test_a_cable_is_pulled_and_a_machine_switched_off_and_on():
    with Machines("a", "b") as machines:
        a, b = machines
        server = b.popen("python", "-m", "http.server", "7000", stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)  # fmt: skip
        wait_for(lambda: answers(a, b), 20)
        b.cut()
        assert not answers(a, b)
        b.mend()
        wait_for(lambda: answers(a, b), 20)
        b.kill()
        assert server.wait(10) != 0
        b.boot()
        assert b.processes() == []
        assert a.run("hostname").stdout == "a\n"


def test_signals_reach_the_command():
    with Machines("a") as machines:
        script = "trap 'echo ended; exit 3' TERM; echo begun; while :; do sleep 0.1; done"
        process = machines["a"].popen("bash", "-c", script, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "begun\n"
        process.terminate()
        assert process.communicate(timeout=20)[0] == "ended\n"
        assert process.returncode == 3


def test_nothing_outlives_a_killed_test():
    program = """
import time
from tests.cluster.machines import Machines
with Machines("a", "b") as machines:
    left = machines["b"].popen("sleep", "1000")
    machines["b"].processes()
    print(machines.shared, left.pid, flush=True)
    time.sleep(1000)
"""
    test = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with test:
        shared, pid = test.stdout.readline().split()
        assert Path(shared).is_dir()
        test.send_signal(signal.SIGKILL)
    wait_for(lambda: not Path(shared).exists(), 20)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 20)

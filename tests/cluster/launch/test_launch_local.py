"""Several Ray nodes on this machine: they train with the same bits, and nothing outlives them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from crossmesh.cluster.launch import sessions
from crossmesh.cluster.launch.local import LocalNodes
from crossmesh.common.errors import ConfigError, RunError
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.training.training import train

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]

ROOT = Path(__file__).parents[3]
OPTIONS = ("--examples", "200", "--epochs", "3", "--set", "training.baseline=false")


@pytest.fixture
def folder():
    """A folder whose path leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="c-") as path:
        yield Path(path)


@pytest.fixture
def command(folder):
    """What starts the command ``crossmesh`` with temporary files in ``folder``."""
    runs = []

    def start(*arguments, **variables):
        runs.append(started(folder, *arguments, **variables))
        return runs[-1]

    yield start
    for run in runs:
        run.terminate()
        run.communicate(timeout=60)


def started(folder, *arguments, **variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-m", "crossmesh", *map(str, arguments)],
        cwd=folder,
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def remaining(folder):
    """What a launch has left running, by what its command lines name."""
    table = subprocess.run(["ps", "-wweo", "args="], capture_output=True, text=True, check=True)
    return [line for line in table.stdout.splitlines() if f"{folder}/crossmesh-" in line]


def left_behind(folder):
    return remaining(folder) + [path.name for path in folder.glob("crossmesh-*")]


def test_three_nodes_give_the_same_bits_and_leave_nothing(command, folder):
    run = command("launch", "local", "digits", *OPTIONS, "--json", "--quiet")
    await_(lambda: remaining(folder), run)  # so that what finds them is known to find them
    out, errors = run.communicate(timeout=300)

    assert run.returncode == 0, errors
    there = json.loads(out)
    overrides = ["training.examples=200", "training.epochs=3", "training.baseline=false"]
    here = train(load_config("digits", [*overrides, "engine.kind=local"]))
    assert there["state_digest"] == here.state_digest
    assert there["emulation"]["nodes"] == 3
    assert len(list((folder / "runs").glob("local-digits-*/summary.json"))) == 1
    assert left_behind(folder) == []


def test_a_signal_saves_the_run_before_the_nodes_end(command, folder):
    nodes = folder / "two.yaml"
    nodes.write_text(yaml.safe_dump({"extends": "local", "nodes": 2}))
    run = command("launch", "two.yaml", "digits", "--epochs", "4000")
    await_(lambda: list((folder / "runs").glob("*/checkpoints/step-*")), run)
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate(timeout=120)

    assert run.returncode == 130, errors
    (there,) = (folder / "runs").iterdir()
    hint = f"interrupted; resume with: crossmesh resume runs/{there.name}"
    assert errors.splitlines()[-1] == hint
    assert left_behind(folder) == []


def test_nodes_end_with_a_launch_that_is_killed(command, folder):
    run = command("launch", "local", "digits", "--epochs", "4000")
    await_(lambda: any("raylet" in line for line in remaining(folder)), run)
    run.kill()
    run.communicate()

    await_(lambda: not left_behind(folder))


def test_a_lost_node_is_noticed_and_the_others_end_in_order():
    """What tests of survival use: ids of each node's processes, address and environment."""
    with LocalNodes(2, variables={"MINE": "1"}) as cluster:
        head, other = cluster.nodes
        assert (head.ip, other.ip) == ("127.0.0.2", "127.0.0.3")
        assert b"MINE=1" in Path(f"/proc/{other.raylet_pid}/environ").read_bytes()
        pids = [*head.pids, *other.pids]
        os.kill(other.raylet_pid, signal.SIGKILL)
        await_(lambda: alive(cluster) == 1)
    # Those whose parent has ended as well stay until the system's first process has looked.
    await_(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), within_s=10)


def alive(cluster):
    """Number of living nodes, asked for in a process whose Ray has the token."""
    program = (
        "from ray._raylet import GcsClient; "
        f"nodes = GcsClient(address={cluster.address!r}).get_all_node_info(timeout=5); "
        "print(sum(node.state == 0 for node in nodes.values()))"
    )
    environment = {**os.environ, **cluster.environment}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_an_existing_cluster_is_used_and_its_token_is_asked_for(command, folder):
    with LocalNodes(2) as nodes:
        (folder / "wrong").write_text("f" * 64)
        (folder / "wrong").chmod(0o600)
        tokens = {"right": nodes.environment["RAY_AUTH_TOKEN_PATH"], "wrong": str(folder / "wrong")}

        def launched(name, home=os.environ["HOME"], **fields):
            tree = {"kind": "existing", "address": nodes.address, **fields}
            (folder / name).write_text(yaml.safe_dump(tree))
            options = (*OPTIONS, "--quiet", "--json")
            run = command("launch", name, "digits", *options, HOME=str(home))
            out, errors = run.communicate(timeout=300)
            return run.returncode, out, errors

        code, out, errors = launched("right.yaml", token=tokens["right"], nodes=2)
        assert code == 0, errors
        assert json.loads(out)["emulation"]["nodes"] == 2

        refused = (
            f"error: the token must be that of the cluster at {nodes.address}, got another one, or "
            "none: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file with it\n"
        )
        assert launched("wrong.yaml", token=tokens["wrong"]) == (2, "", refused)
        assert launched("none.yaml", home=folder) == (2, "", refused)

        code, _, errors = launched("more.yaml", token=tokens["right"], nodes=3)
        assert code == 2
        assert errors == (
            f"error: nodes must be at most 2, which the cluster at {nodes.address} has alive with "
            "1 CPUs or more, got 3\n"
        )


def test_two_trainings_share_a_cluster_that_others_started(command, folder):
    """At once, with names, runs and results of their own; another account is told why it cannot."""
    with LocalNodes(2, cpus_per_node=2) as nodes:
        tree = {"kind": "existing", "address": nodes.address,
                "token": nodes.environment["RAY_AUTH_TOKEN_PATH"]}  # fmt: skip
        (folder / "lab.yaml").write_text(yaml.safe_dump(tree))
        options = (*OPTIONS, "--set", "engine.actors=2", "--json", "--quiet")
        runs = {
            seed: command("launch", "lab.yaml", "digits", "--seed", seed, *options)
            for seed in ("3", "4")
        }
        told = {seed: run.communicate(timeout=300) for seed, run in runs.items()}
        (folder / "token").write_bytes(Path(nodes.environment["RAY_AUTH_TOKEN_PATH"]).read_bytes())
        refused = _as_nobody(nodes.address, folder / "token")

    overrides = ["training.examples=200", "training.epochs=3", "training.baseline=false"]
    for seed, (out, errors) in told.items():
        assert runs[seed].returncode == 0, errors
        alone = train(load_config("digits", [*overrides, f"seed={seed}", "engine.kind=local"]))
        assert json.loads(out)["state_digest"] == alone.state_digest
    assert len(list((folder / "runs").glob("cluster-digits-*/summary.json"))) == 2
    if os.geteuid() == 0:
        assert refused.startswith(
            "address must be of a cluster whose node on this machine is of the same user"
        )


def _as_nobody(address, token):
    """What another account is told, which has the token."""
    if os.geteuid():
        return None
    token.chmod(0o600)
    os.chown(token, 65534, 65534)
    token.parent.chmod(0o755)
    program = f"""
import os
from pathlib import Path
from crossmesh.cluster.launch.existing import ExistingCluster
lab = ExistingCluster(address={address!r})
assert list(lab.preflight(None, None)) == []  # and everything is imported
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(*lab.preflight(None, None))
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False,
        env={**kept, "PYTHONPATH": str(ROOT), "HOME": str(token.parent), "RAY_AUTH_MODE": "token",
             "RAY_AUTH_TOKEN_PATH": str(token)},
    )  # fmt: skip
    return ran.stdout + ran.stderr


def test_nodes_that_cannot_start_are_told_with_their_last_words():
    with pytest.raises(RunError, match=r"^node 0 of the cluster could not start: .*num-cpus"):
        LocalNodes(1, cpus_per_node="many").__enter__()
    with pytest.raises(RunError, match=r"^node 0 of 1 did not join the cluster within 0.01 s"):
        LocalNodes(1, timeout_s=0.01).__enter__()


def test_a_token_that_others_can_read_is_refused(tmp_path):
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(ConfigError, match=r"^token must be readable by its owner alone"):
        LocalNodes(1, token=tmp_path / "token")


def test_sessions_are_ended_whole_and_others_are_left_alone():
    stubborn = "trap '' TERM; sleep 1000 & wait; sleep 1000"
    leader = subprocess.Popen(["bash", "-c", stubborn], start_new_session=True)
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    await_(lambda: len(sessions.members(leader.pid)) == 2)
    sessions.end([leader], within_s=0.2)

    assert sessions.members(leader.pid) == {}
    assert list(sessions.members(other.pid)) == [other.pid]
    sessions.end([other], within_s=5)


STUBBORN = "trap '' TERM; sleep 1000 & while :; do wait; done"
STARTS = """
import os, subprocess, sys
leader = subprocess.Popen(
    [sys.executable, "-P", sys.argv[1], str(os.getpid()), sys.argv[2], *sys.argv[3:]],
    start_new_session=True,
    stdout=subprocess.DEVNULL,
)
print(leader.pid, flush=True)
leader.wait()
"""


@pytest.mark.parametrize(
    ("command", "ends", "within_s"),
    [
        (STUBBORN, signal.SIGKILL, "0.3"),  # it must be killed
        (
            "sleep 1000 & exec sleep 1000",
            signal.SIGKILL,
            "0.3",
        ),  # its leader ends, and the rest is killed
        ("sleep 0.5; (sleep 1000 &) ; exit 3", None, "0.3"),  # the command ends by itself
    ],
)
def test_a_led_session_ends_with_its_command_and_with_who_started_it(command, ends, within_s):
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTS, sessions.__file__, within_s, "/bin/bash", "-c", command],
        stdout=subprocess.PIPE,
    )
    leader = int(starter.stdout.readline())
    await_(lambda: len(sessions.members(leader)) == 3)
    if ends is not None:
        starter.send_signal(ends)
    starter.communicate()
    await_(lambda: sessions.members(leader) == {}, within_s=10)


def await_(condition, run=None, within_s=120.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        assert run is None or run.poll() is None, run.communicate()
        time.sleep(0.1)

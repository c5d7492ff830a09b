"""Trainings on machines with ssh servers of their own: results, ends, and what is left."""

import json
import re
import shutil
import signal
import subprocess

import pytest

from tests.cluster.launch.launch_material import imported_network
from tests.cluster.launch.ssh_machines import Launch, ssh_machines
from tests.cluster.machines import HOME, wait_for
from tests.cluster.parts import need

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.ray, pytest.mark.multinode]
SHORT = ("--set", "training.epochs=2", "--set", "training.baseline=false")
LONG = ("--set", "training.epochs=4000", "--set", "training.baseline=false",
        "--set", "checkpoint.every_s=1")  # fmt: skip


@pytest.fixture(scope="module")
def hosts():
    need("sshd", "ssh")
    with ssh_machines("n1", "n2") as hosts:
        yield hosts


@pytest.fixture(autouse=True)
def nothing_left(hosts):
    yield
    wait_for(lambda: hosts.left() == [], 30, f"the end of {hosts.left()}")


def digest(hosts, config, seed):
    """What the same training gives in one process."""
    run = hosts.machines.shared / f"local-{seed}"
    code, _, errors = hosts.ended(
        "train", config, "--engine", "local", *SHORT, "--seed", seed, "--run-dir", run
    )
    assert code == 0, errors
    return json.loads((run / "summary.json").read_text())["state_digest"]


def test_two_launches_at_once_train_on_the_same_machines_and_bring_their_results(hosts, tmp_path):
    """One of them is of a network in a file, which only the laptop has."""
    cluster = hosts.cluster()
    imported = imported_network(tmp_path)
    shutil.copytree(tmp_path, hosts.home(hosts.laptop), dirs_exist_ok=True)
    trainings = ((3, "digits"), (4, HOME / imported.name))
    launches = [
        Launch(hosts, cluster, config, "--seed", seed, *SHORT) for seed, config in trainings
    ]
    for launch in launches:
        assert launch.ended() == 0, launch.said

    for (seed, config), launch in zip(trainings, launches, strict=True):
        summary = launch.summary()
        assert summary["emulation"]["nodes"] == 2
        assert summary["state_digest"] == digest(hosts, config, seed)
        assert (hosts.storage / launch.name / "summary.json").is_file()
        assert hosts.status(launch.name)["state"] == "done"
        assert "giving the machines back" in (launch.folder / "log").read_text()


def test_a_signal_while_machines_are_set_up_gives_them_back(hosts):
    launch = Launch(hosts, hosts.cluster(), "digits", *SHORT)
    launch.await_word("starting Ray")
    launch.process.send_signal(signal.SIGINT)

    assert launch.ended() == 130
    assert launch.said.splitlines()[-1].startswith("interrupted; ")
    assert hosts.status(launch.name)["state"] == "cancelled"


def test_a_signal_while_it_trains_saves_the_state_and_fetches_the_run(hosts):
    launch = Launch(hosts, hosts.cluster(), "digits", *LONG)
    launch.await_word("epoch 2:")
    assert hosts.status(launch.name)["state"] == "running"
    code, _, errors = hosts.ended("cancel", launch.name, "--wait")

    assert (code, launch.ended()) == (0, 130), errors
    assert (launch.folder / "run" / "config.yaml").is_file()
    assert list((launch.folder / "run" / "checkpoints").iterdir())


def test_data_that_the_head_lacks_is_the_users_mistake(hosts):
    code, _, errors = hosts.ended(
        "launch", hosts.cluster(data_dir="/no/such"), "mnist-2018", *SHORT
    )
    assert code == 2
    rule = "error: data_dir must be a folder on n1, got /no/such (no such file or directory)"
    assert errors.splitlines() == [rule]

    (hosts.storage / "empty").mkdir()
    launch = Launch(
        hosts, hosts.cluster(data_dir=str(hosts.storage / "empty")), "mnist-2018", *SHORT
    )
    assert launch.ended() == 2, launch.said
    assert "data.directory must hold" in launch.said
    assert "giving the machines back" in launch.said


def test_all_that_is_missing_is_told_at_once_and_nothing_is_started(hosts):
    own = {"PATH": f"{hosts.machines.shared}/old:$PATH"}
    old = hosts.machines.shared / "old"
    old.mkdir()
    (old / "python3").write_text("#!/bin/sh\necho Python 2.7 >&2\nexit 1\n")
    (old / "python3").chmod(0o755)
    n1 = hosts.nodes[0]
    server = n1.popen("python3", "-m", "http.server", "7001", stderr=subprocess.DEVNULL,
                      stdout=subprocess.DEVNULL)  # fmt: skip
    wait_for(lambda: "7001" in n1.run("ss", "-Hltn").stdout, 20)
    try:
        cluster = hosts.cluster(port=7001, storage="/tmp/own", workers=["n2", "10.79.0.99"])
        code, out, errors = hosts.ended("launch", cluster, "digits")
    finally:
        server.kill()
        server.wait()
    assert (code, out) == (2, "")
    assert errors.splitlines() == [
        "error: workers must be reachable by ssh, got 10.79.0.99 (no route to host)",
        "error: port must be free on n1, got 7001 (address already in use)",
        "error: storage must be a folder that all machines share, got /tmp/own: what n1 writes in "
        "/tmp, n2 does not see",
    ]
    cluster = hosts.cluster(activate=[f'export PATH="{own["PATH"]}"'])
    code, out, errors = hosts.ended("launch", cluster, "digits")
    assert (code, errors.splitlines()) == (2, [
        f"error: python3 must run on {name}, got Python 2.7" for name in ("n1", "n2")
    ])  # fmt: skip
    assert not list(hosts.home(hosts.laptop).glob("launched/*7001*"))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"private_key": "/no/key"},
         "ssh.private_key must be a readable file, got /no/key (no such file or directory)"),
        ({"private_key": "open"}, "ssh.private_key must be readable by its owner alone (chmod 600),"
                                  " got {open} with mode 0644"),
        ({"private_key": "other"}, "ssh.private_key must be a key that root@{node} accepts, got "
                                   "{other}"),
        ({"known_hosts": "none"}, "{field} must be a machine with the key in {none}, got {node}"),
        ({"port": 23}, "{field} must be reachable by ssh, got {node} (connection refused)"),
    ],
)  # fmt: skip
def test_a_login_that_fails_is_told_for_each_machine(change, rule, hosts):
    shared = hosts.machines.shared
    files = {name: shared / name for name in ("open", "other", "none")}
    if not files["other"].exists():
        subprocess.run(["cp", hosts.key, files["open"]], check=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", files["other"]], check=True
        )
        files["none"].touch()
    files["open"].chmod(0o644)
    ssh = {"user": "root", "private_key": hosts.key, "known_hosts": hosts.known_hosts}
    ssh |= {name: files.get(value, value) for name, value in change.items()}
    ssh = {name: value if isinstance(value, int) else str(value) for name, value in ssh.items()}
    code, out, errors = hosts.ended("launch", hosts.cluster(ssh=ssh), "digits", timeout_s=60)

    nodes = [("head", "n1"), ("workers", "n2")] if "{node}" in rule else [("", "")]
    lines = [f"error: {rule.format(field=field, node=node, **files)}" for field, node in nodes]
    assert (code, out, errors.splitlines()) == (2, "", lines)


def test_a_killed_launch_is_found_ended_and_fetched_by_its_name(hosts):
    launch = Launch(hosts, hosts.cluster(), "digits", *LONG)
    launch.await_word("epoch 1:")
    launch.kill()
    state = hosts.status(launch.name)
    assert state["state"] == "running"
    assert f"crossmesh cancel {launch.name}" in state["detail"]
    assert "epoch 1:" in hosts.ended("logs", launch.name)[1]
    seen = hosts.machines.shared / "seen"
    assert hosts.ended("fetch", launch.name, "--to", seen)[0] == 0
    assert (seen / "config.yaml").is_file()

    code, _, errors = hosts.ended("cancel", launch.name)
    assert code == 0, errors
    assert hosts.left() == []
    assert hosts.status(launch.name)["state"] == "cancelled"
    assert list((launch.folder / "run" / "checkpoints").iterdir())


def test_a_broken_connection_is_opened_again_and_nothing_is_shown_twice(hosts):
    launch = Launch(hosts, hosts.cluster(), "digits", *LONG[:1], "training.epochs=12", *LONG[2:])
    launch.await_word("epoch 2:")
    for process in hosts.nodes[0].processes():
        if process.command.startswith("sshd: root"):
            process.signal(signal.SIGKILL)

    assert launch.ended() == 0, launch.said
    assert "connection lost; training continues; reconnecting" in launch.said
    epochs = re.findall(r"^epoch (\d+):", launch.said, re.MULTILINE)
    assert epochs == [str(number) for number in range(1, 13)]


def test_a_lost_head_is_started_again_from_the_last_checkpoint(hosts):
    words = ("--set", "training.epochs=16", *LONG[2:], "--seed", "3")
    launch = Launch(hosts, hosts.cluster(), "digits", *words)
    launch.await_word("epoch 3:")
    for process in hosts.nodes[0].processes():
        if process.command.split()[0].endswith("/gcs_server"):
            process.signal(signal.SIGKILL)

    assert launch.ended() == 0, launch.said
    assert "the head is lost; starting again from the last checkpoint (1 of 1)" in launch.said
    run = hosts.machines.shared / "whole"
    assert hosts.ended("train", "digits", "--engine", "local", *words, "--run-dir", run)[0] == 0
    alone = json.loads((run / "summary.json").read_text())
    assert launch.summary()["state_digest"] == alone["state_digest"]


def test_kept_machines_stay_until_they_are_given_back(hosts):
    launch = Launch(hosts, hosts.cluster(), "digits", *SHORT, "--keep")
    assert launch.ended() == 0, launch.said
    assert f"give them back with: crossmesh cancel {launch.name}" in launch.said
    assert any("gcs_server" in line for line in hosts.left())
    code, _, errors = hosts.ended("cancel", launch.name)
    assert code == 0, errors

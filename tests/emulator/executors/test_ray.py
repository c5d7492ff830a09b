"""Ray as users meet it: clusters that run already, tokens, deaths, and what passes through."""

import importlib.metadata
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from crossmesh.emulator.config.loading import dumped
from crossmesh.emulator.training.training import train
from tests.jobs import small_config, small_job, steps

pytestmark = [pytest.mark.slow, pytest.mark.ray]

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "crossmesh")
AGAIN = r"; restart with: crossmesh train small\.yaml --engine ray .*\n"


def environment(**changes):
    """This process's, without what another test may have set for Ray."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **changes}


def crossmesh(*arguments, cwd, **changes):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of two Ray nodes that demand a token, and the environment that has it."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "token").write_text("0123456789abcdef" * 4)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ray_cluster", "2"],
        cwd=folder,  # not where runs are started
        env=environment(**token),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    address = next(line for line in process.stdout if ":" in line).strip()
    yield address, token
    process.communicate(timeout=60)


@pytest.mark.multinode
@pytest.mark.parametrize("schedule", ["synchronous", "asynchronous"])
def test_two_nodes_give_the_same_bits(cluster, schedule, tmp_path):
    address, token = cluster
    config = small_config(schedule=schedule)
    (tmp_path / "small.yaml").write_text(dumped(config))
    options = ("--engine", "ray", "--address", address, "--json", "--quiet")
    few = ("--set", "engine.actors=4")
    done = crossmesh("train", "small.yaml", *options, *few, cwd=tmp_path, **token)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    there, here = json.loads(done.stdout), train(config)
    assert there["emulation"]["nodes"] == 2
    for key in ("state_digest", "train_loss", "test_loss", "test_accuracy"):
        assert there[key] == here.summary[key]
    again = crossmesh("evaluate", "runs/small", "--engine", "local", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["state_digest"] == here.state_digest


@pytest.mark.multinode
def test_a_wrong_token_is_a_sentence_about_the_token(cluster, tmp_path):
    address, token = cluster
    (tmp_path / "token").write_text("f" * 64)
    wrong = {**token, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    (tmp_path / "small.yaml").write_text(dumped(small_config()))
    options = ("--engine", "ray", "--address", address, "--quiet")
    done = crossmesh("train", "small.yaml", *options, cwd=tmp_path, **wrong)

    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == (
        f"error: the token must be that of the cluster at {address}, got another one, or none: set "
        "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file with it"
    )
    assert not (tmp_path / "runs").exists()


def started(arguments, cwd, checkpoints=1):
    """A run on Ray that has left checkpoints already."""
    process = subprocess.Popen(
        [*COMMAND, "train", "digits", "--engine", "ray", "--set", "engine.actors=2", *arguments],
        cwd=cwd,
        env=environment(TMPDIR=str(cwd)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    folder = cwd / "runs" / "digits" / "checkpoints"
    while len(list(folder.glob("step-*"))) < checkpoints and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def processes(session):
    """Ids and commands of what runs below a process."""
    table = subprocess.run(["ps", "-eo", "pid=,sess=,args="], capture_output=True, text=True,
                           check=True).stdout  # fmt: skip
    rows = [row.split(None, 2) for row in table.splitlines()]
    return {int(pid): command for pid, owner, command in rows if int(owner) == session}


@pytest.fixture
def short_folder():
    """A folder whose path leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="cm-") as folder:
        yield Path(folder)


def test_a_killed_actor_is_named_where_no_recovery_is_allowed(short_folder):
    never = ["--set", "engine.recoveries_per_hour=0"]
    run = started(["--json", "--epochs", "400", *never], short_folder)
    victim = next(p for p, command in processes(run.pid).items() if "ray::TileActor" in command)
    os.kill(victim, signal.SIGKILL)
    out, errors = run.communicate(timeout=60)

    assert run.returncode == 1
    assert out == ""
    last = errors.splitlines()[-1]
    assert re.match(r"error: the actor of tiles? \d", last)
    assert "died: " in last
    assert last.endswith("; resume with: crossmesh resume runs/digits")
    assert not list(short_folder.glob("crossmesh-*"))


def test_a_run_that_signals_end_goes_on_in_one_process_with_the_same_bits(short_folder):
    run = started(["--epochs", "400"], short_folder)
    session = processes(run.pid)
    for _ in range(3):
        os.kill(run.pid, signal.SIGINT)
        time.sleep(0.3)
    _, errors = run.communicate(timeout=60)

    assert run.returncode == 130, errors
    assert errors.splitlines()[-1] == "interrupted; resume with: crossmesh resume runs/digits"
    assert not list(short_folder.glob("crossmesh-*"))
    deadline = time.monotonic() + 20
    while session.keys() & processes(run.pid).keys() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not session.keys() & processes(run.pid).keys()

    checkpoints = short_folder / "runs/digits/checkpoints"
    done = int(max(checkpoints.glob("step-*")).name.removeprefix("step-"))
    more = ("--engine", "local", "--epochs", done // 1438 + 1, "--json", "--quiet")
    resumed = crossmesh("resume", "runs/digits", *more, cwd=short_folder)
    plain = ("--set", "training.baseline=false", "--run-dir", "whole")
    whole = crossmesh("train", "digits", *more, *plain, cwd=short_folder)
    assert resumed.returncode == 0, resumed.stderr
    digests = [json.loads(end.stdout)["state_digest"] for end in (resumed, whole)]
    assert digests[0] == digests[1]


def test_the_coordinator_never_carries_activations():
    """What actors answer does not grow with the network; what they send each other does."""
    from crossmesh.emulator.executors.ray import RayExecutor

    sizes = []

    class Weighing(RayExecutor):
        def _start(self, *begun):
            super()._start(*begun)
            get = self._members.answers

            def answers(*arguments, **options):
                found = get(*arguments, **options)
                sizes.append(len(pickle.dumps(found)))
                return found

            self._members.answers = answers

    job = small_job(training={"examples": 500}, engine={"kind": "ray", "tiles_per_actor": 3})
    executor = Weighing(job)
    try:
        executor.write_initial_weights()
        sizes.clear()
        executor.run(job.epoch(0), lambda progress: None)
        sent = sum(host.bytes for host in executor.hosts())
    finally:
        executor.close()
    assert sizes[0] < 2_000
    assert sent > 100_000


@pytest.mark.multinode
def test_a_missing_token_is_a_sentence_about_it(cluster, tmp_path):
    address, token = cluster
    missing = {**token, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "nowhere")}
    (tmp_path / "small.yaml").write_text(dumped(small_config()))
    options = ("--engine", "ray", "--address", address, "--quiet")
    done = crossmesh("train", "small.yaml", *options, cwd=tmp_path, **missing)

    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        "error: RAY_AUTH_MODE=token must come with a token in RAY_AUTH_TOKEN, or in the file of "
        f"RAY_AUTH_TOKEN_PATH, got none in {tmp_path / 'nowhere'}\n"
    )


@pytest.mark.multinode
def test_a_cluster_with_other_versions_is_a_sentence_about_them(cluster, tmp_path):
    address, token = cluster
    script = tmp_path / "other.py"
    script.write_text(
        "import ray\nray.__version__ = '2.99.9'\n"
        "from crossmesh import load_config, train\n"
        "train(load_config('digits', ['engine.kind=ray', f'engine.address={ADDRESS}']))\n".replace(
            "{ADDRESS}", address
        )
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment(**token),
                          capture_output=True, text=True, check=False)  # fmt: skip

    version, python = ray_version(), sys.version.split()[0]
    assert done.stderr.splitlines()[-1] == (
        "crossmesh.common.errors.ConfigError: engine.address must be that of a cluster with "
        "Ray 2.99.9 and "
        f"Python {python}, as here, got {address} with Ray {version} and Python {python}"
    )


def ray_version():
    """Without importing Ray here, which reads the environment when it is imported."""
    return importlib.metadata.version("ray")


@pytest.mark.multinode
def test_too_few_nodes_are_counted(cluster, tmp_path):
    address, token = cluster
    (tmp_path / "small.yaml").write_text(dumped(small_config()))
    few = ("--set", "engine.nodes=3", "--set", "engine.timeout_s=1")
    options = ("--engine", "ray", "--address", address, "--quiet", *few)
    done = crossmesh("train", "small.yaml", *options, cwd=tmp_path, **token)

    assert done.returncode == 1
    rule = r"error: 3 nodes with CPUs \(engine\.nodes\) must join the cluster within "
    rule += r"engine\.timeout_s \(1 s\), got 2: \S+, [^;\s]+"
    assert re.fullmatch(rule + AGAIN, done.stderr), done.stderr


HOLDING = """
import ray
from ray.util.placement_group import placement_group
ray.init(address={address!r}, log_to_driver=False)
assert placement_group([{{"CPU": 2}}, {{"CPU": 1}}], strategy="STRICT_SPREAD").wait(30)
print("held", flush=True)
input()
"""


@pytest.mark.multinode
def test_cpus_that_others_hold_are_missed_by_name(cluster, tmp_path):
    address, token = cluster
    (tmp_path / "small.yaml").write_text(dumped(small_config()))
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDING.format(address=address)],
        env=environment(**token), cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert "held" in next(line for line in other.stdout if "held" in line)
        options = (
            "--engine",
            "ray",
            "--address",
            address,
            "--quiet",
            "--set",
            "engine.timeout_s=2",
        )
        done = crossmesh("train", "small.yaml", *options, cwd=tmp_path, **token)
    finally:
        other.communicate("\n", timeout=60)

    assert done.returncode == 1
    rule = r"error: node \S+ must have 2 CPUs free \(got [01]\) within engine\.timeout_s \(2 s\): "
    assert re.fullmatch(rule + "other jobs use the rest" + AGAIN, done.stderr), done.stderr


def test_hosts_go_on_after_a_damaged_checkpoint(tmp_path):
    """Whoever could not read or write a file is asked for the next span all the same."""
    config = small_config(training={"epochs": 3})
    train(config, tmp_path / "run")
    newest = steps(tmp_path / "run")[-1] / "tile-000003.arrow"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    changes = {"training": {"epochs": 5}, "engine": {"kind": "ray", "actors": 2}}
    resumed = train(small_config(**changes), tmp_path / "run", resume=True)

    whole = train(small_config(training={"epochs": 5}))
    assert resumed.state_digest == whole.state_digest
    assert resumed.history["loss"] == whole.history["loss"]

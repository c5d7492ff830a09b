"""Files for machines reached by ssh, and a launch with stand-ins for ssh, Ray and the training."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.machines import ray_up
from crossmesh.cluster.launch.machines.checks import key_misses
from crossmesh.cluster.launch.machines.ssh_login import Ssh
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import load_config
from tests.cluster.launch.launch_material import MACHINES, documented
from tests.hosts import wait_for

ROOT = Path(__file__).parents[3]


def launcher_file(folder):
    return yaml.safe_load((folder / "cluster.yaml").read_text())


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_ray_accepts_the_launcher_file(name, generate):
    folder = generate(name, image="registry/image:tag")
    tree = launcher_file(folder)

    ray_up.check(tree)  # Ray's schema and validator
    there = f"~/.crossmesh/{tree['cluster_name']}"
    assert tree["cluster_name"].startswith(f"{name}-digits-")
    assert tree["head_start_ray_commands"] + tree["worker_start_ray_commands"] == [
        f"bash {there}/ray.sh head --autoscaling-config=~/ray_bootstrap_config.yaml 'ray start'",
        f'bash {there}/ray.sh worker "$RAY_HEAD_IP:6379" "ray start"',
    ]
    assert "\n  port=6379\n" in (folder / "node" / "ray.sh").read_text()
    assert tree["max_workers"] == 2
    assert tree["docker"]["image"] == "registry/image:tag"


def test_what_ray_would_not_accept_is_refused_here():
    provider = {"type": "local", "head_ip": "a", "worker_ips": []}
    rule = "the cluster's file must be one that Ray accepts: Additional properties are not allowed"
    with pytest.raises(ConfigError, match=re.escape(rule)):
        ray_up.check({"cluster_name": "a", "worker": 3, "provider": provider})


def test_machines_of_clouds_are_as_many_and_as_described(generate):
    fields = {"nodes": 5, "spot": True, "instance_profile": "arn:aws:iam::1:a/b"}
    tree = launcher_file(generate("aws", **fields))
    head, worker = (tree["available_node_types"][name] for name in ("head", "worker"))

    assert tree["head_node_type"] == "head"
    assert (head["max_workers"], worker["min_workers"], worker["max_workers"]) == (0, 4, 4)
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["node_config"]["IamInstanceProfile"] == {"Arn": "arn:aws:iam::1:a/b"}


def test_shipped_code_goes_to_the_machines_with_what_it_needs(generate):
    folder = generate("aws", code="shipped")
    packages = (
        "__init__.py", "__main__.py", "callbacks.py", "kinds.py", "py.typed", "testing",
        "cluster", "common", "emulator", "tiles", "interconnect",
    )  # fmt: skip
    mounts = launcher_file(folder)["file_mounts"]

    assert {path.partition("/code/crossmesh/")[2] for path in mounts} == {"", *packages}
    assert "pip install" in (folder / "node" / "setup.sh").read_text()
    assert "'ray[default]==" in (folder / "node" / "setup.sh").read_text()
    assert load_config(folder / "node" / "run.yaml").engine.code == "shipped"
    assert "exec python3 -m crossmesh train" in (folder / "node" / "train.sh").read_text()


def test_a_wheel_that_is_not_there_is_refused(generate, tmp_path):
    with pytest.raises(ConfigError, match=r"^wheel must be an existing file, got .*/no\.whl$"):
        generate("on-premises", wheel=str(tmp_path / "no.whl"))


def test_files_of_a_login_begin_at_the_clusters_file(tmp_path):
    source = tmp_path / "mine.yaml"
    source.write_text("extends: on-premises\nssh: {private_key: key, known_hosts: ~/known}\n")
    ssh = load_cluster(str(source)).ssh

    assert ssh.key == tmp_path / "key"
    assert ssh.known_hosts == Path("~/known").expanduser()
    assert "-oStrictHostKeyChecking=yes" in ssh.options()


def test_keys_may_lie_in_folders_of_any_name(tmp_path):
    key, known = (tmp_path / "my keys 100%h" / name for name in ("id", "known"))
    options = Ssh(private_key=str(key), known_hosts=known).options()
    shown = subprocess.run(["ssh", "-G", *options, "n1"], capture_output=True, text=True,
                           check=True).stdout.replace("%%", "%")  # fmt: skip

    assert f"identityfile {key}\n" in shown
    assert f"userknownhostsfile {known}\n" in shown


def test_a_file_of_known_machines_that_is_not_there_is_told_without_a_key_too(tmp_path):
    missing = list(key_misses(Ssh(known_hosts=tmp_path / "none")))

    assert missing == [f"ssh.known_hosts must be a file, got {tmp_path}/none"]


@pytest.mark.parametrize("name", [*MACHINES, "slurm"])
def test_a_home_is_that_of_the_machine_which_trains(name, generate):
    train = (generate(name, data_dir="~/data") / "node" / "train.sh").read_text()

    assert train.count("--data-dir '~/data'") == 2


@pytest.mark.slow
def test_ray_is_started_with_documented_options(generate):
    script = (generate("on-premises", cpus_per_node=2) / "node" / "ray.sh").read_text()
    used = set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", script.replace("--block", "")))

    assert {"head", "address", "port", "num-cpus", "temp-dir", "min-worker-port"} <= used
    assert used <= documented("start")


def test_a_training_runs_apart_and_is_stopped_with_its_state_saved(generate):
    """The script on the head, with a stand-in for the training."""
    node = generate("on-premises") / "node"
    script = '#!/usr/bin/env bash\ntrap "echo saved; exit 130" TERM\n'
    script += 'echo $$ > "$CROSSMESH_PID_FILE"\necho begun\nfor _ in $(seq 600); do sleep 0.1; done'
    (node / "train.sh").write_text(script)

    def job(*words):
        done = subprocess.run(["bash", node / "job.sh", *words], capture_output=True, text=True,
                              check=False, timeout=30)  # fmt: skip
        return done.returncode, done.stdout

    assert job("status") == (0, "none\n")
    assert job("start") == (0, "")
    assert job("start") == (0, "")  # it runs already
    assert job("status") == (0, "running\n")
    wait_for(lambda: "begun" in (node / "train.log").read_text(), 10)
    assert job("stop")[0] == 0
    assert job("follow", "1") == (0, "begun\nsaved\n")
    assert job("follow", "7") == (0, "saved\n")
    assert job("status") == (0, "ended 130\n")


SSH = """
while [ "$1" != -- ]; do shift; done
export HOME={folder}/$2; shift 2; mkdir -p "$HOME"; cd; exec bash -c "$*" """
RAY = """
[ "$1" = start ] || exit 1
trap 'exit 0' TERM
echo 'Ray runtime started'
while :; do sleep 0.1; done"""
PYTHON = """
case "$*" in
  *ray.__version__*) echo {version} ;;
  *) exec {python} "$@" ;;
esac"""
TRAINING = """
trap 'sleep 8; echo saved; exit 130' TERM
echo training
touch {folder}/trains
while :; do sleep 0.1; done"""


@pytest.mark.slow
def test_an_interrupted_launch_gives_machines_back_however_long_it_takes(stand_ins, tmp_path):
    """The parent's patience is 4 s here, and the training takes 8 s to save its state."""
    import ray

    stand_ins.add("ssh", SSH.format(folder=tmp_path))
    stand_ins.add("ray", RAY)
    stand_ins.add("python3", PYTHON.format(version=ray.__version__, python=sys.executable))
    stand_ins.add("crossmesh", TRAINING.format(folder=tmp_path))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({
        "extends": "on-premises", "head": "n1", "workers": ["n2"], "storage": str(tmp_path),
        "activate": [], "name": "mine",
    }))  # fmt: skip
    program = """
import sys
from crossmesh.cluster.cli import main
from crossmesh.cluster.launch.machines.on_premises import OnPremisesCluster
from crossmesh.common.supervision import reports, parent
parent.ENDING_S = 4.0
reports._RENEW_S = 0.1
OnPremisesCluster.preflight = lambda *_: ()
sys.argv = ["crossmesh", "launch", "mine.yaml", "digits"]
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, start_new_session=True,
        env={**stand_ins.environment, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path)},
    )  # fmt: skip
    try:
        wait_for(lambda: (tmp_path / "trains").exists() or process.poll() is not None, 60)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 130, errors
    assert time.monotonic() > began + 8
    *_, back, last = errors.splitlines()
    assert back == "giving the machines back"
    assert last.startswith(
        "interrupted; end what may still run with: crossmesh cancel mine-digits-"
    )
    assert not list(tmp_path.glob("n?/.crossmesh"))
    assert not any("ray stop" in call for call in stand_ins.calls)


SYSTEM = Path("/usr/bin/python3")


def refuses_pip():
    """Whether the system's Python installs into a venv only, as that of Ubuntu 24.04 does."""
    if not SYSTEM.exists():
        return False
    asked = "import sysconfig, venv, ensurepip; print(sysconfig.get_path('stdlib'))"
    found = subprocess.run([SYSTEM, "-c", asked], capture_output=True, text=True, check=False)
    return found.returncode == 0 and (Path(found.stdout.strip()) / "EXTERNALLY-MANAGED").exists()


@pytest.mark.slow
@pytest.mark.skipif(not refuses_pip(), reason="needs a Python that is managed by the system")
@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_the_set_up_of_clouds_gets_past_a_python_that_the_system_manages(name, generate, tmp_path):
    node = generate(name, code="installed") / "node"
    home, programs = tmp_path / "home", tmp_path / "programs"
    for folder in (home, programs):
        folder.mkdir()
    (programs / "sudo").write_text("#!/bin/sh\nexit 0\n")  # the package is there
    (programs / "sudo").chmod(0o755)
    environment = {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin"}

    def run(script):
        return subprocess.run(["bash", "-c", script], env=environment, capture_output=True,
                              text=True, check=False)  # fmt: skip

    nothing = "python3 -m pip install --no-index no-such-package"
    assert (
        "externally-managed-environment" in run(nothing).stderr
        or "No module" in run(nothing).stderr
    )
    done = run(f"bash {node}/setup.sh")
    assert done.returncode == 0, done.stderr
    shell = f'here={node}; . "$here/env.sh"; '
    assert run(f"{shell} command -v python3").stdout == f"{home}/crossmesh/bin/python3\n"
    assert "No matching distribution" in run(shell + nothing).stderr  # so it would install
    assert not (node / "setup.pid").exists()


def test_a_container_sees_the_same_paths_as_its_machine(generate, stand_ins, tmp_path):
    shared, there = tmp_path / "nfs" / "a b", tmp_path / "there"
    there.mkdir()
    fields = {"image": "registry/image:tag", "storage": str(shared), "data_dir": str(there)}
    node = generate("on-premises", **fields) / "node"
    stand_ins.add("docker")
    name = container_name(node)
    for word in ("up", "down"):
        environment = {**stand_ins.environment, "HOME": str(tmp_path)}
        subprocess.run(["bash", node / "container.sh", word], env=environment, check=True)

    up, down = stand_ins.calls
    assert up.startswith(f"docker run --detach --init --name {name} --network host --ipc host ")
    assert f"--env HOME={tmp_path} " in up
    for folder in (node, shared, there):
        assert f"--volume={folder}:{folder} " in up
    assert up.count("--volume=") == 3  # the run directory lies in the storage
    assert shared.stat().st_mode & 0o777 == 0o700  # which docker would make root's
    assert up.endswith("registry/image:tag sleep infinity")
    assert down == f"docker rm --force --volumes {name}"


def container_name(node):
    """The name of the container in a launch's script."""
    return re.search(r"--name (\S+) ", (node / "container.sh").read_text())[1]

"""Generated files: checked by Ray's own validator, by bash, and by what they do with stand-ins."""

import re
import shlex
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from crossmesh.cluster.launch import generated, machines
from crossmesh.cluster.launch.clouds import AwsCluster
from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import load_config
from tests.cluster.launch.launch_material import GENERATED, MACHINES, app, documented


def documents(folder, name="cluster.yaml"):
    return list(yaml.safe_load_all((folder / name).read_text()))


def scripts(folder):
    """Every shell script, those in a ConfigMap too."""
    found = [path.read_text() for path in folder.rglob("*") if path.suffix in {".sh", ".sbatch"}]
    for path in folder.glob("rayjob.yaml"):
        texts = documents(folder, path.name)[0]["data"]
        found += [text for name, text in texts.items() if name.endswith(".sh")]
    return found


@pytest.mark.parametrize("name", GENERATED)
def test_the_config_travels_complete_and_loads_again(name, generate):
    folder = generate(name, "--seed", "7", "--epochs", "2", data_dir="/data sets")
    if name == "kubernetes":
        path = folder / "run.yaml"
        path.write_text(documents(folder, "rayjob.yaml")[0]["data"]["run.yaml"])
    else:
        path = folder / "node" / "run.yaml"
    config = load_config(path)

    assert (config.seed, config.training.epochs) == (7, 2)
    assert str(config.data.directory) == "/data sets"
    assert config.engine.nodes == load_cluster(name).nodes


@pytest.mark.parametrize("name", GENERATED)
def test_scripts_are_bash_and_nothing_in_them_ends_others_processes(name, generate):
    hostile = "a b'; touch /tmp/x; $(id) `id`"
    folder = generate(name, "--quiet", variables={"MINE": hostile}, data_dir=hostile)

    assert scripts(folder)
    for script in scripts(folder):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        assert "ray stop" not in script
    whole = "".join(scripts(folder))
    if name != "kubernetes":
        assert f"export MINE={shlex.quote(hostile)}\n" in whole
    assert f"--data-dir {shlex.quote(hostile)}" in whole


@pytest.mark.parametrize("name", [*MACHINES, "slurm"])
def test_the_token_is_fresh_and_nobody_elses(name, generate):
    folder = generate(name)
    token = folder / "node" / "token"

    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    before = token.read_text()
    generate(name)
    assert token.read_text() == before  # a cluster that runs already goes on to know it
    shown = [path.read_text() for path in folder.rglob("*") if path.is_file() and path != token]
    assert not any(before in text for text in shown)


@pytest.mark.parametrize("name", GENERATED)
def test_a_dry_run_shows_every_file_and_leaves_nothing(
    name, generate, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    app([name, "digits", "--dry-run"], standalone_mode=False)

    shown = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    folder = generate(name)
    for path in folder.rglob("*"):
        if path.is_file():
            assert (
                f"/{path.relative_to(folder)} (mode {stat.S_IMODE(path.stat().st_mode):04o})"
                in shown
            )
    assert "Start with: bash " in shown


@pytest.mark.parametrize("name", GENERATED)
def test_a_dry_run_shows_no_secret_and_all_else(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables = {"AZURE_STORAGE_KEY": "sEcrEt1", "DB_PASS": "sEcrEt2", "MY_TOKEN": "a'sEcrEt3",
                 "TOKENIZERS_PARALLELISM": "0", "STORE": "s3://KEY:sEcrEt4@bucket"}  # fmt: skip
    app([name, "digits", "--dry-run"], standalone_mode=False)
    plain = capsys.readouterr().out
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"extends": name, "variables": variables}))
    app(["mine.yaml", "digits", "--dry-run"], standalone_mode=False)
    shown = capsys.readouterr().out

    assert "sEcrEt" not in shown
    assert all(variable in shown for variable in variables)
    masks = shown.count("***") - plain.count("***")
    assert masks == 4 * (2 if name == "kubernetes" else 1)  # where two kinds of pods have them
    assert "TOKENIZERS_PARALLELISM=0" in shown or re.search(
        r"TOKENIZERS_PARALLELISM\W+(value: )?\W*0", shown
    )


@pytest.mark.parametrize(("name", "tool"), [("slurm", "sbatch"), ("kubernetes", "kubectl"),
                                            ("on-premises", "ssh")])  # fmt: skip
def test_a_missing_program_is_named(name, tool, tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "programs_path", lambda: str(tmp_path))
    (tmp_path / "ray").write_text("#!/bin/sh")
    (tmp_path / "ray").chmod(0o700)
    missing = load_cluster(name).preflight(Order(load_cluster(name), "digits"), tmp_path / "out")

    assert f"launching on {name} requires the program {tool}, which is not on PATH" in list(missing)


def test_a_cloud_without_its_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(AwsCluster, "package", "no_such_package")
    monkeypatch.setattr(generated.shutil, "which", lambda tool, path: tool)
    rule = "launching on aws requires the Python package no_such_package$"
    with pytest.raises(ConfigError, match=rule):
        app(["aws", "digits", "--files", str(tmp_path / "out")], standalone_mode=False)


@pytest.mark.parametrize("name", MACHINES)
def test_ray_accepts_the_launcher_file(name, generate):
    (tree,) = documents(generate(name, image="registry/image:tag"))

    machines.check(tree)  # Ray's schema and validator
    starts = tree["head_start_ray_commands"] + tree["worker_start_ray_commands"]
    assert starts == [
        f"bash ~/.crossmesh/{name}/ray.sh head",
        f'bash ~/.crossmesh/{name}/ray.sh worker "$RAY_HEAD_IP"',
    ]
    assert tree["max_workers"] == 2
    assert tree["docker"]["image"] == "registry/image:tag"


def test_what_ray_would_not_accept_is_refused_here():
    provider = {"type": "local", "head_ip": "a", "worker_ips": []}
    rule = "the cluster's file must be one that Ray accepts: Additional properties are not allowed"
    with pytest.raises(ConfigError, match=re.escape(rule)):
        machines.check({"cluster_name": "a", "worker": 3, "provider": provider})


def test_machines_of_clouds_are_as_many_and_as_described(generate):
    (tree,) = documents(generate("aws", nodes=5, spot=True, instance_profile="arn:aws:iam::1:a/b"))
    head, worker = (tree["available_node_types"][name] for name in ("head", "worker"))

    assert tree["head_node_type"] == "head"
    assert (head["max_workers"], worker["min_workers"], worker["max_workers"]) == (0, 4, 4)
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["node_config"]["IamInstanceProfile"] == {"Arn": "arn:aws:iam::1:a/b"}


def test_shipped_code_goes_to_the_machines_with_what_it_needs(generate):
    folder = generate("on-premises", code="shipped")
    (tree,) = documents(folder)

    packages = (
        "__init__.py", "__main__.py", "kinds.py", "py.typed", "testing",
        "cluster", "common", "emulator", "tiles", "interconnect",
    )  # fmt: skip
    mounted = {path.rpartition("/")[2] for path in tree["file_mounts"]}
    assert mounted == {"on-premises", *packages}
    assert "ray[default]==" in tree["setup_commands"][-1]
    assert load_config(folder / "node" / "run.yaml").engine.code == "shipped"
    assert "exec python3 -m crossmesh train" in (folder / "node" / "train.sh").read_text()


def test_a_wheel_that_is_not_there_is_refused(generate, tmp_path):
    with pytest.raises(ConfigError, match=r"^wheel must be an existing file, got .*/no\.whl$"):
        generate("on-premises", wheel=str(tmp_path / "no.whl"))


@pytest.mark.slow
def test_ray_is_started_with_documented_options(generate):
    script = (generate("on-premises", cpus_per_node=2) / "node" / "ray.sh").read_text()
    used = set(re.findall(r"(?<![\w-])--([a-z-]+)", script.replace("--block", "")))

    assert {"head", "address", "port", "num-cpus", "temp-dir"} <= used
    assert used <= documented("start")


REMOTE = """
case "$1" in
  exec)
    case "$3" in
      *start) exit 0 ;;
      *follow) [ -e {folder}/again ] || {{ touch {folder}/again; exit 1; }} ;;
      *status) echo "training ended with {code}"; exit 0 ;;
    esac ;;
  rsync-down) exit {fetched} ;;
esac"""


@pytest.mark.parametrize("code", [0, 130])
def test_a_broken_line_ends_nothing_and_machines_are_given_back(
    code, generate, stand_ins, tmp_path
):
    folder = generate("aws", run_dir="~/runs/a b")
    stand_ins.add("ray", REMOTE.format(folder=tmp_path, code=code, fetched=0))
    environment = {**stand_ins.environment, "CROSSMESH_RETRY_S": "0"}
    done = subprocess.run(["bash", folder / "launch.sh"], env=environment, check=False)

    assert done.returncode == code
    job = "ray exec cluster.yaml bash ~/.crossmesh/aws/job.sh"
    assert stand_ins.calls == [
        "ray up --yes cluster.yaml",
        f"{job} start",
        f"{job} follow",
        f"{job} follow",
        f"{job} status",
        "ray rsync-down cluster.yaml ~/runs/a b/ runs/digits/",
        "ray down --yes cluster.yaml",
    ]


def test_machines_are_kept_while_the_run_is_only_there(generate, stand_ins, tmp_path):
    folder = generate("aws")
    (tmp_path / "again").touch()
    stand_ins.add("ray", REMOTE.format(folder=tmp_path, code=0, fetched=1))
    done = subprocess.run(["bash", folder / "launch.sh"], env=stand_ins.environment, check=False)

    assert done.returncode == 1
    assert "ray down --yes cluster.yaml" not in stand_ins.calls


@pytest.mark.slow
def test_an_interrupted_launch_gives_machines_back_however_long_it_takes(
    generate, stand_ins, tmp_path
):
    """The parent's patience is 4 s here, and the training takes 8 s to save its state."""
    generate("on-premises")
    for tool in ("ssh", "rsync"):
        stand_ins.add(tool)
    stand_ins.add(
        "ray",
        f"""
case "$3" in
  *start) exit 0 ;;
  *follow) touch {tmp_path}/follows; while [ ! -e {tmp_path}/stop ]; do sleep 0.1; done; sleep 8 ;;
  *stop) touch {tmp_path}/stop ;;
  *status) echo "training ended with 130" ;;
esac""",
    )
    program = f"""
import sys
from crossmesh.cluster.cli import main
from crossmesh.cluster.launch import generated
from crossmesh.common.supervision import reports, parent
parent.ENDING_S = 4.0
reports._RENEW_S = 0.1
generated.programs_path = lambda: {stand_ins.environment["PATH"]!r}
sys.argv = ["crossmesh", "launch", "mine.yaml", "digits"]
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, start_new_session=True,
        env={**stand_ins.environment, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "follows").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()

    end = "ray exec cluster.yaml 'bash ~/.crossmesh/on-premises/ray.sh end'"
    assert process.returncode == 130, errors
    assert stand_ins.calls[-1] == end.replace("'", "")
    last = errors.splitlines()[-1]
    assert last.startswith("interrupted; stop what may still be running with: ")
    assert last.endswith(end)


def test_a_training_runs_apart_and_is_stopped_with_its_state_saved(generate, stand_ins):
    """The script on the head, with a stand-in for the training."""
    node = generate("on-premises") / "node"
    script = '#!/usr/bin/env bash\necho $$ > "$CROSSMESH_PID_FILE"\necho begun\n'
    script += "trap 'echo saved; exit 130' TERM\nfor _ in $(seq 600); do sleep 0.1; done\n"
    (node / "train.sh").write_text(script)

    def job(word):
        done = subprocess.run(["bash", node / "job.sh", word], capture_output=True, text=True,
                              check=False, timeout=30)  # fmt: skip
        return done.returncode, done.stdout

    assert job("follow")[0] == 1
    assert job("start") == (0, "")
    assert job("start") == (0, "training is already running\n")
    assert job("status") == (0, "")
    deadline = time.monotonic() + 10
    while "begun" not in (node / "train.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)  # until it has set its trap
    assert job("stop")[0] == 0
    assert job("follow")[0] == 0
    assert job("status") == (0, "training ended with 130\n")
    assert "saved" in (node / "train.log").read_text()


def test_other_peoples_ray_on_the_premises_is_left_alone(generate, stand_ins):
    folder = generate("on-premises")
    stand_ins.add("ray", 'case "$1" in up) exit 3 ;; esac')
    done = subprocess.run(["bash", folder / "launch.sh"], env=stand_ins.environment, check=False)

    assert done.returncode == 3
    assert stand_ins.calls == [
        "ray up --yes cluster.yaml",
        "ray exec cluster.yaml bash ~/.crossmesh/on-premises/ray.sh end",
    ]

"""Generated files: checked by Ray's own validator, by bash, and by what they do with stand-ins."""

import importlib.metadata
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
import yaml

from cluster.launch import commands, machines
from cluster.launch.commands import PASSING_ON, launch
from cluster.launch.loading import load_cluster
from cluster.launch.scripts import PRIVATE_FOLDER
from emulator.errors import ConfigError
from emulator.loading import load_config

MACHINES = ("on-premises", "aws", "gcp")
GENERATED = (*MACHINES, "kubernetes", "slurm")
# Of sbatch's manual page (slurm.schedmd.com/sbatch.html); without those that take no part here.
SBATCH = {
    "account", "array", "begin", "chdir", "clusters", "comment", "constraint", "cpus-per-task",
    "deadline", "dependency", "error", "exclude", "exclusive", "export", "export-file", "gpus",
    "gres", "hint", "hold", "input", "job-name", "licenses", "mail-type", "mail-user", "mem",
    "mem-per-cpu", "no-kill", "no-requeue", "nodelist", "nodes", "ntasks", "ntasks-per-core",
    "ntasks-per-node", "open-mode", "output", "oversubscribe", "partition", "priority", "qos",
    "requeue", "reservation", "signal", "spread-job", "time", "time-min", "tmp", "wait",
}  # fmt: skip
SRUN = {"nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "kill-on-bad-exit"}
NOT_WITH_SYMMETRIC_RUN = {"head", "node-ip-address", "port", "block"}
app = typer.Typer(add_completion=False)
app.command(context_settings=PASSING_ON)(launch)


@pytest.fixture
def generate(tmp_path):
    """What generates the files of a shipped cluster, changed, and says where they are."""

    def generated(name, *options, **changes):
        source = tmp_path / "mine.yaml"
        source.write_text(yaml.safe_dump({"extends": name, **changes}))
        arguments = (source, "digits", *options, "--files", tmp_path / "out", "--dry-run")
        app([str(argument) for argument in arguments], standalone_mode=False)
        return tmp_path / "out"

    return generated


def documents(folder, name="cluster.yaml"):
    return list(yaml.safe_load_all((folder / name).read_text()))


def scripts(folder):
    """Every shell script, those in a ConfigMap too."""
    found = [path.read_text() for path in folder.rglob("*") if path.suffix in {".sh", ".sbatch"}]
    for path in folder.glob("rayjob.yaml"):
        texts = documents(folder, path.name)[0]["data"]
        found += [text for name, text in texts.items() if name.endswith(".sh")]
    return found


def documented(*command):
    """Options that the help of one of Ray's commands names."""
    help_ = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *command, "--help"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return set(re.findall(r"--([a-z-]+)", help_))


# All kinds


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
    assert shown.count("0") > plain.count("0")


@pytest.mark.parametrize(("name", "tool"), [("slurm", "sbatch"), ("kubernetes", "kubectl"),
                                            ("on-premises", "ssh")])  # fmt: skip
def test_a_missing_program_is_named(name, tool, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "_path", lambda: str(tmp_path))
    (tmp_path / "ray").write_text("#!/bin/sh")
    (tmp_path / "ray").chmod(0o700)
    law = (
        f"launching on {name} needs the program {tool}, which is not on the path; the files are in "
    )
    with pytest.raises(ConfigError, match=re.escape(law)):
        app([name, "digits", "--files", str(tmp_path / "out")], standalone_mode=False)


def test_a_cloud_without_its_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "_SDKS", {"aws": "no_such_package"})
    monkeypatch.setattr(commands.shutil, "which", lambda tool, path: tool)
    law = "launching on aws needs the Python package no_such_package beside Ray; the files are in "
    with pytest.raises(ConfigError, match=law):
        app(["aws", "digits", "--files", str(tmp_path / "out")], standalone_mode=False)


# Machines by Ray's cluster launcher


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
    law = "the cluster's file must be one that Ray accepts: Additional properties are not allowed"
    with pytest.raises(ConfigError, match=re.escape(law)):
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

    packages = ("cluster", "emulator", "tiles", "interconnect")
    mounted = {path.rpartition("/")[2] for path in tree["file_mounts"]}
    assert mounted == {"on-premises", *packages}
    assert "ray[default]==" in tree["setup_commands"][-1]
    assert load_config(folder / "node" / "run.yaml").engine.code == "shipped"
    assert "exec python3 -m cluster.cli train" in (folder / "node" / "train.sh").read_text()


def test_a_wheel_that_is_not_there_is_refused(generate, tmp_path):
    with pytest.raises(ConfigError, match=r"^wheel must be a file that is there, got .*/no\.whl$"):
        generate("on-premises", wheel=str(tmp_path / "no.whl"))


@pytest.mark.slow
def test_ray_is_started_with_documented_options(generate):
    script = (generate("on-premises", cpus_per_node=2) / "node" / "ray.sh").read_text()
    used = set(re.findall(r"(?<![\w-])--([a-z-]+)", script.replace("--block", "")))

    assert {"head", "address", "port", "num-cpus", "temp-dir"} <= used
    assert used <= documented("start")


class StandIns:
    """Programs of a cluster that only write down how they were called."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "calls"
        folder.mkdir()
        self.log.touch()

    def add(self, name, body=""):
        path = self.folder / name
        path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> {self.log}\n{body}\n')
        path.chmod(0o755)

    @property
    def environment(self):
        return {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}

    @property
    def calls(self):
        return self.log.read_text().splitlines()


@pytest.fixture
def stand_ins(tmp_path):
    return StandIns(tmp_path / "bin")


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
from cluster.cli import main
from cluster.launch import commands
from emulator.ends import parent, words
parent.ENDING_S = 4.0
words._RENEW_S = 0.1
commands._path = lambda: {stand_ins.environment["PATH"]!r}
sys.argv = ["crossmesh", "launch", "mine.yaml", "digits"]
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, start_new_session=True,
        env={**stand_ins.environment, "PYTHONPATH": str(Path(__file__).parents[1])},
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
    *_, look, back, last = errors.splitlines()
    assert look.startswith("Look at it:  ")
    assert back.startswith("Give the machines back, if launch.sh could not:  ")
    assert last.startswith("interrupted; end what may still run with: ")
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
    assert job("start") == (0, "the training runs already\n")
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


# A batch job of Slurm


def test_the_batch_job_asks_for_what_is_described(generate):
    script = (generate("slurm", memory="64G", partition="big") / "job.sbatch").read_text()
    header = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", script, re.MULTILINE))

    assert set(header) <= SBATCH
    assert (header["nodes"], header["cpus-per-task"], header["mem"]) == ("2", "32", "64G")
    assert (header["partition"], header["signal"]) == ("big", "B:USR1@300")
    assert {"exclusive", "requeue"} <= set(header)
    first = next(i for i, line in enumerate(script.splitlines()) if not line.startswith("#"))
    assert "#SBATCH" not in "".join(script.splitlines()[first:])  # Slurm would not read it


@pytest.mark.slow
def test_ray_on_slurm_is_run_with_documented_options(generate):
    folder = generate("slurm")
    lines = (folder / "job.sbatch").read_text().splitlines()
    command = next(line for line in lines if line.startswith("srun "))
    srun, given = command.split(' bash "$here/node.sh" ')
    node = (folder / "node" / "node.sh").read_text().replace("\\\n", "")
    ray, training = node.partition("ray symmetric-run ")[2].split(" -- ")
    options = set(re.findall(r"--([a-z-]+)", ray + given))

    assert set(re.findall(r"--([a-z-]+)", srun)) <= SRUN
    assert {"address", "min-nodes", "temp-dir"} <= options
    allowed = documented("symmetric-run") | documented("start") - NOT_WITH_SYMMETRIC_RUN
    assert options <= allowed
    assert training == 'bash "$here/train.sh"\n'


@pytest.mark.parametrize("name", GENERATED)
def test_no_one_else_reads_what_is_generated(name, generate):
    """Variables may hold the keys of a store; so scripts and configs are for their owner alone."""
    folder = generate(name, variables={"AWS_SECRET_ACCESS_KEY": "verysecret"})

    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(stand_ins):
    made = stand_ins.folder / "made"
    real = shutil.which("mktemp")
    stand_ins.add("mktemp", f'folder=$({real} "$@"); echo x >> {made}\n'
                  f'[ "$(wc -l < {made})" -gt 2 ] || rmdir "$folder"; echo "$folder"')  # fmt: skip
    script = f'set -e\n{PRIVATE_FOLDER}\n[ -d "$RAY_TMPDIR" ]\nrmdir "$RAY_TMPDIR"'
    subprocess.run(["bash", "-c", script], env=stand_ins.environment, check=True, timeout=60)

    assert made.read_text() == "x\n" * 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["slurm", "on-premises", "aws"])
def test_ray_on_a_node_lies_in_a_folder_of_its_own(kind, generate, stand_ins):
    """Run as the node would, twice: nothing is at a place that others can foresee, or stays."""
    folder = generate(kind, activate=[])
    seen = stand_ins.folder / "seen"
    stand_ins.add("python3", f"echo {importlib.metadata.version('ray')}")
    stand_ins.add("ray", f'stat -c "%a %n" "$RAY_TMPDIR" >> {seen}; echo "Ray runtime started"\n'
                  'case "$*" in *--block*) exec sleep 1000 ;; esac')  # fmt: skip
    environment = {**stand_ins.environment, "CROSSMESH_ADDRESS": "192.0.2.7:6379"}

    def script(*words):
        done = subprocess.run(["bash", *words], env=environment, check=True, timeout=60)
        assert done.returncode == 0

    for _ in range(2):
        if kind == "slurm":
            script(folder / "node" / "node.sh", "--min-nodes", "2")
        else:
            script(folder / "node" / "ray.sh", "head")
            script(folder / "node" / "ray.sh", "end")
    told = [line.split() for line in seen.read_text().splitlines()]
    assert [mode for mode, _ in told] == ["700", "700"]
    assert len({path for _, path in told}) == 2
    assert not any(Path(path).exists() for _, path in told)
    options = [call.split() for call in stand_ins.calls if call.startswith("ray s")]
    for (_, path), call in zip(told, options, strict=True):
        assert f"--temp-dir={path}/ray" in call


@pytest.fixture
def queue(generate, stand_ins, tmp_path):
    """What runs a job as Slurm would, on one node."""
    stand_ins.add("srun", 'until [ "$1" = bash ]; do shift; done; "$@"')
    stand_ins.add("ray", 'until [ "$1" = -- ]; do shift; done; shift; "$@"')
    stand_ins.add("scontrol")
    stand_ins.add("python3", "echo 192.0.2.7")
    waiting = (
        f"trap 'echo saved >> {stand_ins.log}; exit 130' TERM\n"
        'if [ "$1" = train ]; then mkdir -p "$run" && touch "$run/config.yaml"; fi\n'
        "for _ in $(seq 100); do sleep 0.05; done"
    )
    run = tmp_path / "shared" / "digits"
    stand_ins.add("crossmesh", f'run="{run}"\n{waiting}')

    def started(**changes):
        folder = generate("slurm", storage=str(tmp_path / "shared"), activate=[], **changes)
        job = {"SLURM_SUBMIT_DIR": str(folder), "SLURM_JOB_ID": "42"}
        return subprocess.Popen(
            ["bash", folder / "job.sbatch"], cwd=folder, env={**stand_ins.environment, **job}
        )

    return started


def await_call(stand_ins, beginning, within_s=20.0):
    deadline = time.monotonic() + within_s
    while not any(call.startswith(beginning) for call in stand_ins.calls):
        assert time.monotonic() < deadline, stand_ins.calls
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("sent", "requeue", "queued_again"),
    [(signal.SIGUSR1, True, True), (signal.SIGUSR1, False, False), (signal.SIGTERM, True, False)],
)
def test_a_job_saves_its_state_before_its_time_is_up(sent, requeue, queued_again, queue, stand_ins):
    job = queue(requeue=requeue)
    await_call(stand_ins, "crossmesh train")
    time.sleep(0.3)  # until it has set its trap
    job.send_signal(sent)

    assert job.wait(timeout=30) == 130
    assert "saved" in stand_ins.calls
    assert ("scontrol requeue 42" in stand_ins.calls) is queued_again


def test_a_job_that_runs_again_goes_on(queue, stand_ins, tmp_path):
    (tmp_path / "shared" / "digits").mkdir(parents=True)
    (tmp_path / "shared" / "digits" / "config.yaml").touch()
    job = queue()
    await_call(stand_ins, "crossmesh")
    job.send_signal(signal.SIGTERM)

    job.wait(timeout=30)
    resumed = next(call for call in stand_ins.calls if call.startswith("crossmesh"))
    run = tmp_path / "shared" / "digits"
    assert resumed == f"crossmesh resume {run} --engine ray --address 192.0.2.7:6379"

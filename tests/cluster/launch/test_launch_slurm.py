"""Generated files: checked by Ray's own validator, by bash, and by what they do with stand-ins."""

import importlib.metadata
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.scripts import PRIVATE_FOLDER
from crossmesh.cluster.launch.slurm.cluster import batch_script
from crossmesh.common.errors import ConfigError
from tests.cluster.launch.launch_material import GENERATED, documented
from tests.hosts import wait_for

# Of sbatch's manual page (slurm.schedmd.com/sbatch.html); without those that take no part here.
SBATCH = {
    "account", "array", "begin", "chdir", "clusters", "comment", "constraint", "cpus-per-task",
    "deadline", "dependency", "error", "exclude", "exclusive", "export", "export-file", "gpus",
    "gres", "hint", "hold", "input", "job-name", "licenses", "mail-type", "mail-user", "mem",
    "mem-per-cpu", "no-kill", "no-requeue", "nodelist", "nodes", "ntasks", "ntasks-per-core",
    "ntasks-per-node", "open-mode", "output", "oversubscribe", "partition", "priority", "qos",
    "requeue", "reservation", "signal", "spread-job", "time", "time-min", "tmp", "wait",
}  # fmt: skip


SRUN = {
    "nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "kill-on-bad-exit", "no-kill", "wait",
    "overlap", "mem",
}  # fmt: skip


def headers(folder):
    script = (folder / "job.sbatch").read_text()
    first = next(i for i, line in enumerate(script.splitlines()) if not line.startswith("#"))
    assert "#SBATCH" not in "".join(script.splitlines()[first:])  # Slurm would not read it
    return dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", script, re.MULTILINE))


def test_the_batch_job_asks_for_what_is_described(generate):
    fields = {"memory": "64G", "partition": "big", "exclusive": True, "constraint": "a&[b|c]"}
    header = headers(generate("slurm", **fields))

    assert set(header) <= SBATCH
    assert (header["nodes"], header["cpus-per-task"], header["mem"]) == ("2", "32", "64G")
    assert (header["partition"], header["signal"]) == ("big", "B:USR1@300")
    assert {"exclusive", "requeue", "no-kill"} <= set(header)
    assert header["constraint"] == "a&[b|c]"


def test_a_folder_of_any_name_stands_in_the_header(generate, tmp_path):
    script = batch_script(load_cluster("slurm"), "n", tmp_path / '100%j "it\'s" #1')

    assert f'#SBATCH --chdir="{tmp_path}/100%j \\"it\'s\\" #1"\n' in script
    assert f'#SBATCH --output="{tmp_path}/100%%j \\"it\'s\\" #1/log"\n' in script


def test_options_of_sbatch_are_passed_on(generate):
    options = {"licenses": "emulator:2", "reservation": "mine", "nice": 5, "spread-job": True,
               "comment": "two words", "overcommit": False}  # fmt: skip
    header = headers(generate("slurm", sbatch=options))

    assert header["licenses"] == "emulator:2"
    assert header["reservation"] == "mine"
    assert header["nice"] == "5"
    assert header["spread-job"] == ""
    assert header["comment"] == '"two words"'
    assert "overcommit" not in header


def test_a_run_directory_is_the_same_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    for storage, run_dir in (("store", tmp_path / "store/n"), ("~/store", "/home/me/store/n")):
        (tmp_path / "mine.yaml").write_text(f"extends: slurm\nstorage: {storage}\n")
        cluster = load_cluster("mine.yaml")
        for options, where in (((), run_dir), (("--run-dir", "a"), tmp_path / "a")):
            order = Order(cluster, "digits", options, "n")
            assert cluster.run_directory(order, tmp_path / "launched/n") == str(where)


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("time", "5", "sbatch.time must be left out (the field time is for that), got 5"),
        ("output", "x", "sbatch.output must be left out (the launch sets it), got x"),
        ("array", "1-4", "sbatch.array must be left out (a launch is one run; launch once for "
         "every seed), got 1-4"),
        ("comment", "a\nwget", "sbatch.comment must match "),
    ],
)  # fmt: skip
def test_options_of_sbatch_that_the_launch_needs_are_refused(option, value, rule, generate):
    with pytest.raises(ConfigError, match=re.escape(rule)):
        generate("slurm", sbatch={option: value})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_job_that_was_submitted_while_a_signal_came_leaves_the_queue(number, generate, stand_ins):
    folder = generate("slurm")
    begun = stand_ins.folder / "begun"
    stand_ins.add("sbatch", f"touch {begun}; sleep 0.5; echo 7")
    stand_ins.add("scancel")
    script = subprocess.Popen(
        # Where nohup or a shell's background ignores it, no script can listen to it.
        ["env", f"--default-signal={number}", "bash", folder / "launch.sh"],
        env=stand_ins.environment,
        start_new_session=True,
    )
    wait_for(begun.exists, 30, "the submission")
    os.killpg(script.pid, number)  # as a terminal does

    assert script.wait(30) == 130
    assert stand_ins.calls[-1] == "scancel 7"


def test_a_warning_must_come_after_the_beginning(generate):
    rule = "warning_s must be at most time (10), got 601"
    with pytest.raises(ConfigError, match=re.escape(rule)):
        generate("slurm", time="10", warning_s=601)


@pytest.mark.slow
def test_ray_on_slurm_is_run_with_documented_options(generate):
    folder = generate("slurm")
    job = (folder / "job.sbatch").read_text().replace("\\\n", "")
    steps = [line for line in job.splitlines() if "srun " in line]
    node = (folder / "node" / "node.sh").read_text().replace("\\\n", "")
    ray = next(line for line in node.splitlines() if "ray.scripts.scripts start" in line)
    given = "".join(re.findall(r"^ *options=.*$", node, re.MULTILINE))
    options = set(
        re.findall(r"--([a-z-]+)", ray + given + (folder / "node/address.py").read_text())
    )

    assert len(steps) == 2
    assert set(re.findall(r"--([a-z-]+)", "".join(steps))) <= SRUN
    assert {"head", "address", "temp-dir", "min-worker-port"} <= options
    assert options <= documented("start")


SRUN_STAND_IN = f"""
exec {sys.executable} -c '
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[2]))):
    print(sys.argv[1], file=sys.stderr, flush=True)
    assert sys.stdin.readline() == "end\\n"
' "$STEP_SAYS" "$PORT"
"""


@pytest.mark.parametrize(
    ("said", "is_queued"),
    [
        ("srun: error: n2: task 1: Killed", True),
        ("srun: error: n[2-3]: tasks 1-2: Killed", True),
        ("srun: error: n2: task 1: Exited with exit code 1", False),
    ],
)
def test_a_job_whose_ray_slurm_has_killed_on_a_node_is_queued_again(
    said, is_queued, generate, stand_ins
):
    folder = generate("slurm", activate=[])
    (folder / "node/token").write_text("0" * 64)
    (folder / "node/train.sh").write_text("sleep 0.5; echo error: too few nodes >&2; exit 1\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    stand_ins.add("python3", f"echo 127.0.0.1:{port}")
    stand_ins.add("srun", f'[ "${{!#}}" != true ] || exit 0\n{SRUN_STAND_IN}')
    stand_ins.add("scontrol")
    environment = {**stand_ins.environment, "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]",
                   "STEP_SAYS": said, "PORT": port}  # fmt: skip
    done = subprocess.run(["bash", folder / "job.sbatch"], env=environment, check=False,
                          capture_output=True, text=True, timeout=60)  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.splitlines() == [said, "error: too few nodes"]
    assert ("scontrol requeue 7" in stand_ins.calls) == is_queued, done.stdout


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
@pytest.mark.parametrize("kind", ["on-premises", "aws"])
def test_ray_on_a_node_lies_in_a_folder_of_its_own(kind, generate, stand_ins):
    """Run as the node would, twice: nothing is at a place that others can foresee, or stays."""
    folder = generate(kind, activate=[])
    seen = stand_ins.folder / "seen"
    stand_ins.add("python3", f"echo {importlib.metadata.version('ray')}")
    stand_ins.add("ray", f'stat -c "%a %n" "$RAY_TMPDIR" >> {seen}; echo "Ray runtime started"\n'
                  'case "$*" in *--block*) exec sleep 1000 ;; esac')  # fmt: skip
    environment = stand_ins.environment

    def script(*words):
        done = subprocess.run(["bash", *words], env=environment, check=True, timeout=60)
        assert done.returncode == 0

    for _ in range(2):
        script(folder / "node" / "ray.sh", "head")
        script(folder / "node" / "ray.sh", "end")
    reported = [line.split() for line in seen.read_text().splitlines()]
    assert [mode for mode, _ in reported] == ["700", "700"]
    assert len({path for _, path in reported}) == 2
    assert not any(Path(path).exists() for _, path in reported)
    options = [call.split() for call in stand_ins.calls if call.startswith("ray s")]
    for (_, path), call in zip(reported, options, strict=True):
        assert f"--temp-dir={path}/ray" in call

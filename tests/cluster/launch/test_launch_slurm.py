"""Generated files: checked by Ray's own validator, by bash, and by what they do with stand-ins."""

import importlib.metadata
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from crossmesh.cluster.launch.scripts import PRIVATE_FOLDER
from tests.cluster.launch.launch_material import GENERATED, documented

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
    reported = [line.split() for line in seen.read_text().splitlines()]
    assert [mode for mode, _ in reported] == ["700", "700"]
    assert len({path for _, path in reported}) == 2
    assert not any(Path(path).exists() for _, path in reported)
    options = [call.split() for call in stand_ins.calls if call.startswith("ray s")]
    for (_, path), call in zip(reported, options, strict=True):
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
        folder = generate(
            "slurm", storage=str(tmp_path / "shared"), run_dir=str(run), activate=[], **changes
        )
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

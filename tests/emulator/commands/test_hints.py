"""Every command that a message prints is run as it is printed, in a folder of an awkward name."""

import ast
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer

from crossmesh.common.errors import RunLost
from crossmesh.emulator.cli.main import app
from crossmesh.emulator.executors.local import LocalExecutor
from tests.emulator.commands.material import ROOT
from tests.emulator.commands.shell import BITS, crossmesh, done

AWKWARD = "it's my, folder"
PACKAGES = ("cluster", "emulator", "interconnect", "tiles")
# Where a text of the program has a command of ours, or of the shell's, in it, and what runs it.
HINTS = {
    "common/hints.py": "this module",
    "common/supervision/reports.py": "test_a_run_ends_with_the_command_that_goes_on",
    "emulator/runs/directory.py": "test_a_run_ends_with_the_command_that_goes_on",
    "cluster/watch/words.py": "test_a_run_ends_with_the_command_that_goes_on",
    "cluster/launch/existing.py": "test_launch_local.py, with a node that is none of the cluster's",
    "cluster/launch/files.py": "test_the_script_that_a_launch_names_is_there",
    "cluster/launch/machines/on_premises.py": "test_launch_ssh.py, on machines of namespaces",
    "cluster/launch/machines/checks.py": "test_launch_ssh.py, by ssh on machines of namespaces",
    "cluster/launch/machines/run.py": "test_launch_ssh.py: kept machines, killed launches",
    "cluster/launch/machines/site.py": "test_launch_ssh.py, by ssh on machines of namespaces",
    "cluster/launch/machines/ray_up.py": "test_launch_ec2.py: a killed launch",
    "cluster/launch/commands.py": "test_documents.py: the help",
    "cluster/launch/launcher.py": "test_the_script_that_a_launch_names_is_there",
    "cluster/launch/kubernetes/cluster.py": "tests of launching, with stand-ins for kubectl",
    "cluster/launch/kubernetes/job.py": "test_launch_kubernetes.py, which runs the scripts",
    "cluster/launch/kubernetes/preflight.py": "none, names kubectl alone",
    "cluster/launch/kubernetes/kubectl.py": "none, names kubectl alone",
    "cluster/jobs/commands.py": "test_jobs.py",
    "cluster/launch/launched.py": "test_jobs.py",
    "cluster/launch/machines/scripts.py": "test_launch_ssh.py, by ssh on machines of namespaces",
    "cluster/launch/machines/cluster.py": "test_launch_ssh.py: kept machines, killed launches",
    "cluster/launch/slurm/scripts.py": "test_slurm_for_real.py, by Slurm's own programs",
    "cluster/launch/slurm/cluster.py": "tests of launching, with stand-ins for sbatch",
    "cluster/launch/scripts.py": "tests of launching, which run the script",
    "emulator/config/finding.py": "test_slips.py: names what to run for all names",
    "emulator/characterisation/tables.py": "test_lab_files.py: several files",
    "emulator/boards/measured_files.py": "test_check.py: the board whose cells do not move",
    "tiles/boards/maps.py": "test_check.py writes a map by it",
    "emulator/cli/device_fits.py": "test_documents.py: the help",
    "emulator/cli/devices.py": "test_narrow.py",
    "emulator/cli/study.py": "test_search.py: the best config",
    "emulator/cli/main.py": "test_documents.py: the help",
    "benchmarks/examples.py": "test_documents.py: make bench",
    "benchmarks/accuracy.py": "test_documents.py: make validate",
    "benchmarks/networks.py": "test_documents.py: make validate",
}
_NAMES = "|".join(typer.main.get_command(app).commands)
_A_COMMAND = re.compile(
    rf"\bcrossmesh ({_NAMES})\b"
    r"|\"resume\"|\bmake [a-z]+ [A-Z]|\bbash |\bray start --|\bkubectl |\bscancel "
)


def texts(path):
    """The texts of a module that may be printed: all but docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    described = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in described:
            yield node.value


def test_every_text_with_a_command_in_it_is_run_by_a_test():
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if any(_A_COMMAND.search(text) for text in texts(path))
    }
    assert found <= HINTS.keys(), "print it by common/hints.py, and run it in this module"


def printed(said, before):
    """The words of the command that stands behind a text in what was said."""
    (line,) = (line for line in said.splitlines() if before in line)
    program, *words = shlex.split(line.partition(before)[2])
    assert program == "crossmesh"
    return words


@pytest.fixture
def awkward(desk, tmp_path):
    """A folder whose name a shell and YAML would read otherwise, with a config in it."""
    folder = tmp_path / AWKWARD
    folder.mkdir()
    (folder / "small.yaml").write_text((desk / "small.yaml").read_text())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_ends_with_the_command_that_goes_on(number, awkward):
    """Interrupted, it prints the command itself; killed, ``watch`` does."""
    asked = ("train", "small.yaml", "--run-dir", "my runs/one", "--set", "checkpoint.keep=3")
    begun = subprocess.Popen(
        [sys.executable, "-m", "crossmesh", *asked, "--epochs", "100000"],
        cwd=awkward, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    checkpoints = awkward / "my runs" / "one" / "checkpoints"
    deadline = time.monotonic() + 240
    while len(list(checkpoints.glob("step-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    begun.send_signal(number)
    _, said = begun.communicate(timeout=120)
    if number == signal.SIGINT:
        assert begun.returncode == 130, said
        words = printed(said, "interrupted; resume with: ")
    else:
        for _ in range(20):
            watched = crossmesh("watch", "my runs/one", "--once", folder=awkward)
            if watched.code == 1:
                break
            time.sleep(1)
        words = printed(watched.out, "resume with: ")
    assert words == ["resume", "my runs/one"]
    done_already = max(int(step.name.removeprefix("step-")) for step in checkpoints.glob("step-*"))
    epochs = done_already // 10 + 1
    resumed = done(*words, "--epochs", epochs, "--json", folder=awkward)
    assert "resumed after" in resumed.err
    whole = done("train", "small.yaml", "--epochs", epochs, "--json", folder=awkward).answer
    assert {bit: resumed.answer[bit] for bit in BITS} == {bit: whole[bit] for bit in BITS}


def test_a_run_that_loses_its_hosts_says_how_to_go_on(awkward, monkeypatch):
    """As the cluster is lost for good in ``test_ray.py``: here, what is said of it."""
    run = LocalExecutor.run

    def lost(self, job, callbacks):
        if job.epoch == 1:
            raise RunLost("the cluster is lost")
        return run(self, job, callbacks)

    asked = ("train", "small.yaml", "--run-dir", "my runs/one", "--epochs", "2", "--quiet")
    with monkeypatch.context() as patched:
        patched.setattr(LocalExecutor, "run", lost)
        said = crossmesh(*asked, folder=awkward)
    assert said.code == 1
    assert said.err.startswith("error: the cluster is lost; resume with: ")
    resumed = done(*printed(said.err, "resume with: "), "--json", folder=awkward).answer
    assert resumed["examples_trained"] == 20


@pytest.mark.parametrize("name", ["mine", "a, b", "1e5", "null", "it's", "Größe: 1", "[x]"])
def test_a_fitted_device_trains_by_the_command_that_is_printed(name, awkward):
    pulses = np.arange(40)
    up = 1 - np.exp(-pulses / 15)
    table = "up,down\n" + "\n".join(f"{a},{b}" for a, b in zip(up, up[::-1], strict=True))
    (awkward / "measured.csv").write_text(table)
    said = done("devices", "fit", "measured.csv", "--output", f"{name}.yaml", folder=awkward)
    words = printed(said.out, "try it with: ")
    assert words[:2] == ["train", "digits"]
    few = ("--engine", "local", "--examples", "8", "--epochs", "1")
    more = ("--set", "training.baseline=false", "--set", "training.test_examples=8", "--json")
    trained = done(*words, *few, *more, folder=awkward).answer
    assert trained["examples_trained"] == 8
    config = done("configs", "show", "runs/digits/config.yaml", folder=awkward).out
    assert "kind: jump_table" in config


def test_the_training_that_a_launch_would_start_is_one_that_can_be_typed(awkward):
    said = done("launch", "local", "small.yaml", "--seed", 3, "--dry-run", folder=awkward)
    words = printed(said.out.replace("\ncrossmesh", "\nrun: crossmesh"), "run: ")
    assert "HOST:PORT" in words
    here = [word.replace("HOST:PORT", "127.0.0.1:1") for word in words]
    assert "must be host:port" in crossmesh(*here, folder=awkward).err  # nothing listens there
    trained = done(*words[: words.index("--engine")], "--seed", 3, "--json", folder=awkward)
    assert trained.answer["seed"] == 3


@pytest.mark.parametrize("cluster", ["slurm", "aws", "gcp", "on-premises", "kubernetes"])
def test_the_script_that_a_launch_names_is_there(cluster, awkward):
    (awkward / "key").write_text("")
    said = crossmesh("launch", cluster, "small.yaml", "--files", "to start", "--dry-run",
                     folder=awkward)  # fmt: skip
    if said.code == 2:
        pytest.skip(said.err)
    (line,) = (line for line in said.out.splitlines() if "start with: " in line)
    shell, script, *more = shlex.split(line.partition("start with: ")[2])
    if shell == "crossmesh":  # the launch itself does it
        assert [script, *more] == ["launch", cluster, "small.yaml", "--files", "to start"]
        return
    checked = subprocess.run([shell, "-n", script], cwd=awkward, check=False)
    assert checked.returncode == 0
    for shown in said.out.splitlines():
        if command := shown.partition(":  cd ")[2]:
            folder = shlex.split(command)[0]
            assert (Path(awkward) / folder).is_dir()


def test_a_word_that_is_nearly_right_is_named(desk):
    """What comes behind ``did you mean`` is taken when it is typed."""
    for wrong in (("train", "digitts"), ("configs", "show", "mnist-idea")):
        said = crossmesh(*wrong, folder=desk)
        assert said.code == 2
        right = said.err.rpartition("did you mean ")[2].strip("?\n")
        assert done("configs", "show", right).out.startswith(f"name: {right}")
    said = crossmesh("train", "digits", "--set", "tile.cell.kind=soft_bound")
    right = said.err.rpartition("did you mean ")[2].strip("?\n")
    shown = done("configs", "show", "digits", "--set", f"tile.cell={json.dumps({'kind': right})}")
    assert f"kind: {right}" in shown.out

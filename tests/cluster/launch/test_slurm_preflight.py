"""What Slurm cannot give is said before anything is submitted, in one line each."""

import sys
from pathlib import Path

import pytest

from crossmesh.cluster.launch import node_python, shared_folders
from crossmesh.cluster.launch.generated import GeneratedCluster
from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.slurm import preflight, queue
from crossmesh.cluster.launch.slurm.queue import SlurmJob, complaint, job_of, records
from tests.cluster.launch.slurm_jobs import SlurmLaunch
from tests.cluster.parts import need
from tests.cluster.slurm_cluster import PROGRAMS, SlurmLab


@pytest.fixture(scope="module")
def slurm():
    need(*PROGRAMS)
    with SlurmLab() as lab:
        yield lab


MISSES = {
    "partition": (
        {"partition": "mein"},
        "partition must be one of main, short, closed, got mein; did you mean main?",
    ),
    "cpus": (
        {"cpus_per_node": 9},
        "cpus_per_node must be at most 2, the most of a node of the partition main, got 9",
    ),
    "nodes": (
        {"nodes": 3},
        "nodes must be at most 2, which the partition main has with 2 CPUs, got 3",
    ),
    "memory": (
        {"memory": "64G"},
        "memory must be at most 6000M, the most of a node of the partition main, got 64G",
    ),
    "time": (
        {"partition": "short", "time": "10"},
        "time must be at most 00:05:00 in the partition short, got 10",
    ),
    "closed": ({"partition": "closed"}, "partition must be up, got closed, which is DOWN"),
    "licences": (
        {"sbatch": {"licenses": "gold:1"}},
        "sbatch must take the job, got: allocation failure: Invalid license specification",
    ),
    "constraint": (
        {"constraint": "big"},
        "sbatch must take the job, got: allocation failure: Invalid feature specification",
    ),
    "python": (
        {"activate": ["source /no/such/place"]},
        "activate must lead to a Python, got exit code 1: bash: line 2: /no/such/place: No such "
        "file or directory",
    ),
    "storage": (
        {"storage": "/etc/hosts/runs"},
        "storage must be a folder that can be made, got /etc/hosts/runs (in /etc/hosts)",
    ),
}


@pytest.mark.cluster
@pytest.mark.parametrize("name", MISSES)
def test_what_slurm_cannot_give_is_one_line_and_nothing_is_left(name, slurm):
    changes, line = MISSES[name]
    folder = slurm.machines.shared / name
    refused = SlurmLaunch(slurm, folder, (), changes).start()
    said = [line for line in refused.errors.splitlines() if not line.startswith("note: ")]

    assert (refused.code, refused.out, said) == (2, "", [f"error: {line}"])
    assert slurm.jobs() == []
    assert [path.name for path in folder.iterdir()] == ["lab.yaml"]


def test_a_folder_whose_name_slurm_cannot_read_is_refused(monkeypatch, tmp_path):
    cluster = load_cluster("slurm")
    monkeypatch.setattr(GeneratedCluster, "preflight", lambda *_: ())
    monkeypatch.setattr("crossmesh.cluster.launch.slurm.cluster.misses", lambda *_: ())
    monkeypatch.setattr(node_python, "misses", lambda *_, **__: ())
    monkeypatch.setattr(shared_folders, "misses", lambda *_: ())
    order = Order(cluster, "digits")

    (refused,) = cluster.preflight(order, tmp_path / "a\nb")
    assert refused.startswith("--files must be a path without backslashes and line breaks, got ")
    assert list(cluster.preflight(order, tmp_path / "a b")) == []


@pytest.mark.cluster
def test_all_misses_are_said_at_once_and_a_check_submits_nothing(slurm):
    folder = slurm.machines.shared / "several"
    changes = {"partition": "short", "time": "10", "cpus_per_node": 9, "activate": ["false"]}
    refused = SlurmLaunch(slurm, folder, (), changes).start()
    fine = SlurmLaunch(slurm, folder, (), {})
    fine.command.insert(2, "--check")
    fine.start()

    assert refused.errors.count("error: ") == 3
    assert (fine.code, fine.out) == (0, "everything that a launch needs is there\n")
    assert slurm.jobs() == []


@pytest.mark.cluster
def test_a_controller_that_is_down_is_said(slurm):
    folder = slurm.machines.shared / "down"
    (slurm.folder / "other.conf").write_text(
        (slurm.folder / "slurm.conf").read_text() + "SlurmctldPort=7777\nMessageTimeout=3\n"
    )
    env = {"SLURM_CONF": str(slurm.folder / "other.conf")}
    refused = SlurmLaunch(slurm, folder, (), {}).start(env=env)

    assert refused.code == 2
    assert "error: Slurm's controller must answer here, got: " in refused.errors


ROWS = """\
PartitionName=a AllowAccounts=one,two Default=NO MaxNodes=4 MaxTime=1-00:00:00 State=UP
PartitionName=b AllowAccounts=ALL Default=NO MaxNodes=UNLIMITED MaxTime=UNLIMITED State=UP
"""


def test_limits_of_a_partition(monkeypatch):
    def said(*command, given=None):
        return {"scontrol": ROWS, "sinfo": "8 64000\n16+ 32000+\n" * 4, "sbatch": ""}[command[0]]

    monkeypatch.setattr(preflight, "said", said)

    def misses(**changes):
        fields = {"nodes": 1, "cpus_per_node": 1, "memory": None, "time": "1", "partition": "a",
                  "account": None, "qos": None, **changes}  # fmt: skip
        return list(preflight.misses(preflight.Wish(**fields), ""))

    assert misses() == []
    assert misses(partition=None) == ["partition must be given, as Slurm has no default: a, b"]
    assert misses(account="three") == [
        "account must be one of one,two in the partition a, got three"
    ]
    assert misses(nodes=5) == ["nodes must be at most 4 in the partition a, got 5"]
    assert misses(time="1-0:0:1") == [
        "time must be at most 1-00:00:00 in the partition a, got 1-0:0:1"
    ]
    assert misses(nodes=4, cpus_per_node=9, memory="32000M") == []
    assert misses(nodes=1, cpus_per_node=9, memory="33G") == [
        "nodes must be at most 0, which the partition a has with 9 CPUs and 33G of memory, got 1"
    ]


def test_states_of_jobs():
    shown = records("JobId=7 JobName=a Comment=x y JobState=PENDING Reason=Resources Restarts=2")
    assert job_of(shown[0]) == SlurmJob("PENDING", "PENDING (Resources), queued again 2 times")
    ended = job_of({"JobState": "FAILED", "ExitCode": "0:15", "Reason": "NonZeroExitCode"})
    assert ended.is_cancelled
    assert job_of({"JobState": "RUNNING", "NodeList": "n[1-2]"}).detail == "RUNNING on n[1-2]"


def test_the_accounting_knows_jobs_that_the_controller_has_forgotten(monkeypatch):
    def said(*command):
        if command[0] == "scontrol":
            raise queue.SlurmError("Invalid job id specified")
        return "other|COMPLETED|0:0\nmine|CANCELLED by 0|0:15\n"

    monkeypatch.setattr(queue, "said", said)

    assert queue.job("7", "mine").is_cancelled
    assert queue.job("7", "nobody") is None


def test_complaints_are_one_line():
    text = "sbatch: error: invalid partition specified: a\nsbatch: error: Batch job refused\n"
    assert complaint(text) == "invalid partition specified: a; Batch job refused"


def test_the_python_of_nodes_is_looked_at():
    ours = f"export PATH={Path(sys.executable).parent}:$PATH"
    assert list(node_python.misses([ours], is_shipped=False)) == []
    (lacking,) = node_python.misses(['python3() { python -I -S "$@"; }'], is_shipped=True)
    assert lacking.startswith("activate must lead to a Python with ray, ")


def test_folders_say_where_they_are(capsys):
    assert list(shared_folders.misses("storage", Path("/dev/shm/runs"))) == []
    assert capsys.readouterr().err == (
        "note: storage /dev/shm/runs is on tmpfs, which other machines may not see; all nodes "
        "must\n"
    )

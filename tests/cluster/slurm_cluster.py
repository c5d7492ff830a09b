"""A cluster of Slurm's own programs on machines of namespaces: munge, slurmctld, several slurmd."""

import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.machines import Machine, Machines, wait_for

CPUS = 2
MEMORY_MB = 6000
PROGRAMS = ("ip", "munged", "slurmctld", "slurmd", "sbatch")
_CONF = """\
ClusterName=lab
SlurmctldHost=login(10.79.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=30
StateSaveLocation={folder}/state
SlurmdSpoolDir=/run/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
Licenses=emulator:2
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=20
KillWait=20
BatchStartTimeout=20
MpiDefault=none
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
JobRequeue=1
MessageTimeout=20
NodeName=n1 NodeAddr=10.79.0.2 CPUs={cpus} RealMemory={memory} State=UNKNOWN
NodeName=n2 NodeAddr=10.79.0.3 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=2-00:00:00 OverSubscribe=NO State=UP
PartitionName=short Nodes=n1,n2 MaxTime=5 State=UP
PartitionName=closed Nodes=n1,n2 State=DOWN
"""


class SlurmLab:
    """Machines ``login``, ``n1`` and ``n2``, whose home is shared; a context manager.

    Attributes:
        machines: The machines.
        login: Where jobs are submitted; slurmctld runs there too.
        nodes: The machines that have slurmd.
        folder: Of Slurm's own state and logs.
    """

    def __init__(self) -> None:
        self.machines = Machines("login", "n1", "n2", shared_home=True)
        self.login: Machine = self.machines["login"]
        self.nodes: Sequence[Machine] = (self.machines["n1"], self.machines["n2"])
        self.folder = Path()

    def __enter__(self) -> "SlurmLab":
        self.machines.__enter__()
        try:
            self._start()
        except BaseException:
            self.machines.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.machines.close()

    def _start(self) -> None:
        self.folder = self.machines.shared / "slurm"
        (self.folder / "state").mkdir(parents=True)
        text = _CONF.format(folder=self.folder, cpus=CPUS, memory=MEMORY_MB)
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "cgroup.conf").write_text("CgroupAutomount=no\nCgroupPlugin=cgroup/v1\n")
        (self.folder / "munge.key").write_bytes(secrets.token_bytes(1024))
        (self.folder / "munge.key").chmod(0o400)
        self.machines.env["SLURM_CONF"] = str(self.folder / "slurm.conf")
        self._begin(self.login, "slurmctld", "-D")
        for node in self.nodes:
            self.boot(node)
        wait_for(lambda: set(self.states()) == {"idle"}, 60, "the nodes of Slurm")

    def boot(self, node: Machine) -> None:
        """Start slurmd on a node; one that was switched off is switched on."""
        if not node.is_on:
            node.boot()
        self._begin(node, "slurmd", "-D", "-N", node.name)

    def _begin(self, machine: Machine, *daemon: str) -> None:
        """Start munge and a daemon, which end with the machine."""
        log = (self.folder / f"{daemon[0]}-{machine.name}.out").open("ab")
        with log:
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": "/"}
            key = self.folder / "munge.key"
            machine.popen("munged", "--foreground", "--force", f"--key-file={key}",
                          "--log-file=/run/munge.log", "--seed-file=/run/munge.seed",
                          **options)  # fmt: skip
            socket = machine.root / "run/munge/munge.socket.2"
            wait_for(socket.exists, 20, "munge's socket")
            machine.popen(*daemon, **options)

    def states(self) -> list[str]:
        """State of each node."""
        asked = self.login.run("sinfo", "--noheader", "--Node", "--partition=main",
                               "--format=%t", check=False)  # fmt: skip
        return asked.stdout.split()

    def jobs(self) -> list[str]:
        """Number, name and state of all jobs in the queue."""
        asked = self.login.run("squeue", "--noheader", "--format=%i %j %T")
        return asked.stdout.splitlines()

"""Slurm: a batch job in which ``ray symmetric-run`` starts Ray on every node, and trains.

Options: slurm.schedmd.com/sbatch.html, slurm.schedmd.com/srun.html, ray symmetric-run --help.
"""

import shlex
from pathlib import Path
from typing import Literal

from pydantic import Field

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.config import Port, Text, Word
from crossmesh.cluster.launch.files import SCRIPT, File, LaunchPlan, lines
from crossmesh.cluster.launch.generated import GeneratedCluster
from crossmesh.cluster.launch.order import Order
from crossmesh.common.frozen import Many

_WAIT_S = 300  # longest wait until Ray runs on all nodes


class SlurmCluster(GeneratedCluster):
    """Nodes that Slurm gives a batch job, whole; Ray starts on them by ``ray symmetric-run``.

    Attributes:
        storage: Needed here: a folder that all nodes share, or a URI.
        nodes: Number of nodes.
        cpus_per_node: CPUs of each.
        memory: Memory of each, as Slurm writes it; by default the partition's.
        time: Longest time, as Slurm writes it.
        partition: Slurm partition; by default Slurm's choice, as for the next three.
        account: Account that is charged.
        qos: Quality of service.
        constraint: Features that nodes must have.
        activate: Shell commands at the beginning of the job, as ``module load python``.
        requeue: Whether the job is queued again, and resumes, when its time is up or a node fails.
        warning_s: Seconds before the end of its time when the run is asked to save and end.
        port: Port on which the head listens.
    """

    kind: Literal["slurm"] = "slurm"
    storage: Text
    nodes: int = Field(2, ge=1)
    cpus_per_node: int = Field(8, ge=1)
    memory: str | None = Field(None, pattern=r"^[1-9][0-9]*[KMGT]?$")
    time: str = Field("1-00:00:00", pattern=r"^([0-9]+-)?[0-9]{1,2}(:[0-9]{2}){0,2}$|^[0-9]+$")
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    activate: Many[Text] = ()
    requeue: bool = True
    warning_s: int = Field(300, ge=60, le=65535)
    port: Port = 6379

    def run_directory(self, order: Order, folder: Path) -> str:
        """Beside the files, unless cluster or options say where."""
        return order.run_dir or str(folder / "run")

    def plan(self, order: Order, folder: Path) -> LaunchPlan:
        """The batch script and what it needs beside it; the folder must be one that nodes share."""
        run_dir = self.run_directory(order, folder)
        train = scripts.training_script(
            order, run_dir, '"$CROSSMESH_ADDRESS"', ['. "$here/env.sh"']
        )
        return LaunchPlan(
            folder=folder,
            files=(
                File("job.sbatch", batch_script(self), SCRIPT),
                File("launch.sh", _LAUNCH, SCRIPT),
                scripts.config_file(order, "node/"),
                scripts.environment_file(self.variables, self.activate),
                File("node/node.sh", _NODE, SCRIPT),
                File("node/train.sh", train, SCRIPT),
            ),
            script="launch.sh",
            tools=("sbatch",),
            after=_AFTER.format(folder=shlex.quote(str(folder)), end=_END_JOB),
            end=_END_JOB,
            token="node/token",
        )


def batch_script(nodes: SlurmCluster) -> str:
    """The script for ``sbatch``."""
    n, cpus = nodes.nodes, nodes.cpus_per_node
    srun = ["srun", f"--nodes={n}", f"--ntasks={n}", "--ntasks-per-node=1",
            f"--cpus-per-task={cpus}", "--kill-on-bad-exit=0"]  # fmt: skip
    ray = ["--min-nodes", n, f"--num-cpus={cpus}"]
    return lines(
        "#!/usr/bin/env bash",
        (f"#SBATCH --{option}" for option in _options(nodes)),
        "",
        _BEGIN.format(port=nodes.port, wait=_WAIT_S).rstrip(),
        "",
        f'{scripts.quoted(srun)} bash "$here/node.sh" {scripts.quoted(ray)} &',
        _END.format(again="yes" if nodes.requeue else "no").rstrip(),
    )


def _options(nodes: SlurmCluster) -> list[str]:
    chosen = {
        "job-name": f"crossmesh-{nodes.name}",
        "nodes": nodes.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": nodes.cpus_per_node,
        "mem": nodes.memory,
        "time": nodes.time,
        "partition": nodes.partition,
        "account": nodes.account,
        "qos": nodes.qos,
        "constraint": nodes.constraint,
        "output": "slurm-%j.out",
        "open-mode": "append",
        "signal": f"B:USR1@{nodes.warning_s}",
    }
    given = [f"{option}={value}" for option, value in chosen.items() if value is not None]
    return [*given, "exclusive", "requeue" if nodes.requeue else "no-requeue"]


_LAUNCH = """\
#!/usr/bin/env bash
# Submits the job; its output goes to slurm-JOB.out beside this file.
set -e
cd "$(dirname "${BASH_SOURCE[0]}")"
sbatch job.sbatch
"""

_NODE = f"""\
#!/usr/bin/env bash
# One node's part of the job: Ray, and on the first node the training.
set -e
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
umask 077
{scripts.PRIVATE_FOLDER}
trap 'rm -rf "$RAY_TMPDIR"' EXIT
trap : TERM INT  # the folder stays until Ray has ended
ray symmetric-run --address "$CROSSMESH_ADDRESS" --temp-dir="$RAY_TMPDIR/ray" "$@" \\
  -- bash "$here/train.sh"
"""

_BEGIN = """\
# The nodes are this job's alone (--exclusive): ray symmetric-run ends whatever Ray runs on them.
set -e
here="$SLURM_SUBMIT_DIR/node"
. "$here/env.sh"
# This script runs on the first node, which becomes the head.
host=$(python3 -c 'import ray; print(ray.util.get_node_ip_address())')
export CROSSMESH_ADDRESS="$host:{port}"
export CROSSMESH_PID_FILE="$here/train.pid"
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT={wait}
rm -f "$CROSSMESH_PID_FILE"

# Slurm sends USR1 before the time is up. scancel --batch --signal=TERM JOB ends the run in order.
asked=""
stop() {{
  asked=$1
  if [ -e "$CROSSMESH_PID_FILE" ]; then
    kill -TERM "$(cat "$CROSSMESH_PID_FILE")" || true  # it saves its state and ends with 130
  fi
}}
trap 'stop USR1' USR1
trap 'stop TERM' TERM
"""

_END = """\
step=$!
status=0
wait "$step" || status=$?
while kill -0 "$step" 2>/dev/null; do  # a signal ends a wait before its time
  status=0
  wait "$step" || status=$?
done
if [ "$asked" = USR1 ] && [ "$status" = 130 ] && [ {again} = yes ]; then
  scontrol requeue "$SLURM_JOB_ID"  # the run directory is there, so the next job resumes it
fi
exit "$status"
"""

_END_JOB = "scancel --batch --signal=TERM JOB"
_AFTER = """\
Inspect:  squeue --me;  tail -f {folder}/slurm-JOB.out
Stop it, saving its state:   {end}"""

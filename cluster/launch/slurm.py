"""Slurm: a batch job in which ``ray symmetric-run`` starts Ray on every node, and trains.

Options: slurm.schedmd.com/sbatch.html, slurm.schedmd.com/srun.html, ray symmetric-run --help.
"""

import shlex
from pathlib import Path

from crossmesh.cluster.launch import scripts
from crossmesh.cluster.launch.config_queues import SlurmCluster
from crossmesh.cluster.launch.files import SCRIPT, File, LaunchPlan, lines
from crossmesh.cluster.launch.order import Order

_WAIT_S = 300  # longest wait until Ray runs on all nodes


def plan(nodes: SlurmCluster, order: Order, folder: Path) -> LaunchPlan:
    """The batch script and what it needs beside it; the folder must be one that nodes share."""
    run_dir = order.run_dir or str(folder / "runs" / order.config.name)
    train = scripts.training_script(order, run_dir, '"$CROSSMESH_ADDRESS"', ['. "$here/env.sh"'])
    return LaunchPlan(
        folder=folder,
        files=(
            File("job.sbatch", batch_script(nodes), SCRIPT),
            File("launch.sh", _LAUNCH, SCRIPT),
            scripts.config_file(order, "node/"),
            scripts.environment_file(nodes.variables, nodes.activate),
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

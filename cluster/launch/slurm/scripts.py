"""Scripts of a batch job: what Slurm runs, what each node runs, and what submits it."""

LAUNCH = """\
#!/usr/bin/env bash
# Submits the job, whose number is then in the file `job`; what it says goes to the file `log`.
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
stopped=""
trap 'stopped=yes' INT TERM HUP
@copy@
# A submission runs to its end, so that it is known whether there is a job.
(trap '' INT TERM HUP; exec sbatch --parsable job.sbatch > job.new) &
until wait "$!" || ! kill -0 "$!" 2> /dev/null; do :; done
if ! [ -s job.new ]; then
  rm -f job.new
  exit 2
fi
cut -d ';' -f 1 job.new > job
rm -f job.new
if [ -n "$stopped" ]; then
  scancel "$(cat job)"
  exit 130
fi
echo "job $(cat job)"
"""

# The nodes run this copy, whatever becomes of the original while the job waits.
COPY = """\
mkdir -p -m 700 node/code
cp -RL {packages} node/code/crossmesh || exit 1
find node/code -name __pycache__ -prune -exec rm -rf {{}} +
"""

# Below the header and the settings of the job.
JOB = """\
# Slurm runs this on the first node, which becomes the head. One step runs Ray on all nodes until
# its input says `end`; the training runs here. A signal asks it to save its state and to end: USR1
# comes from Slurm before the time is up, TERM from crossmesh cancel.
asked="" signalled="" training="" step=""
ask() {
  asked=$1 signalled=yes
  if [ -n "$training" ]; then kill -TERM "$training" 2> /dev/null; fi
}
trap 'ask time' USR1
trap 'ask end' TERM
trap 'echo $? > "${here%/node}/job.ended"' EXIT
say() { echo "crossmesh: $*"; }

await() {  # wait for a child, whatever signals come; its exit status is in $status
  while signalled=""; do
    wait "$1"
    status=$?
    [ -n "$signalled" ] || break
  done
}

is_node_lost() {  # its Ray was killed, or a step on all nodes can be had no more
  [ -s "$killed" ] ||
    ! timeout 60 srun --overlap --nodes="$nodes" --ntasks="$nodes" --mem=0 true 2> /dev/null
}

heard() {  # pass on what the step says; Slurm may kill a task of it as a rest of an earlier step
  while IFS= read -r line; do
    echo "$line" >&2
    case "$line" in "srun: error: "*": task"*": Killed") echo "$line" >> "$killed" ;; esac
  done
}

queue_again() {
  say "$1; the job is queued again, and resumes the run"
  scontrol requeue "$SLURM_JOB_ID" && exit "$status"
}

killed=$here/killed
rm -f "${here%/node}/job.ended" "$killed"
set -e
. "$here/env.sh"
found=$(python3 "$here/address.py" $port)
set +e
read -r -d '' address head_options <<< "$found"
say "job $SLURM_JOB_ID on $SLURM_JOB_NODELIST, Ray at $address"

exec 9> >(heard)
exec 8> >(exec srun --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 \\
  --cpus-per-task="$cpus" --kill-on-bad-exit=0 --no-kill --wait=0 \\
  bash "$here/node.sh" "$address" "$cpus" "$wait_s" "$requeue" $head_options 2>&9 9>&-)
step=$!
exec 9>&-
until (: < "/dev/tcp/${address%:*}/${address##*:}") 2> /dev/null || [ -n "$asked" ]; do
  if ! kill -0 "$step" 2> /dev/null || [ "$SECONDS" -gt "$wait_s" ]; then
    say "Ray did not start on the first node within $wait_s s"
    exit 1
  fi
  sleep 0.2
done

status=130
if [ -z "$asked" ]; then
  bash "$here/train.sh" "$address" 8>&- &
  training=$!
  if [ -n "$asked" ]; then kill -TERM "$training"; fi
  await "$training"
  training=""
  if [ -n "$asked" ] && [ "$status" = 143 ]; then status=130; fi  # it had only begun to start
fi

(trap '' PIPE; echo end >&8) 2> /dev/null  # which ends Ray on all nodes
exec 8>&-
for _ in {1..150}; do
  kill -0 "$step" 2> /dev/null || break
  sleep 0.2
done

case "$status" in
  0 | 2) ;;
  130)
    if [ "$asked" = time ] && [ "$requeue" = yes ]; then queue_again "the time is up"; fi
    say "ended as asked; the same job goes on with: sbatch ${here%/node}/job.sbatch"
    scancel "$SLURM_JOB_ID" ;;  # so that its state is CANCELLED
  *)
    if [ "$asked" != end ] && [ "$requeue" = yes ] && is_node_lost; then
      queue_again "a node is lost"
    fi ;;
esac
exit "$status"
"""

# Prints where the head listens, at a port that is given or one that is free, and options that keep
# its Ray off ports that other heads on the same machine have.
ADDRESS = """\
import importlib.util
import socket
import sys

import ray

with socket.socket() as gcs, socket.socket() as client:
    gcs.bind(("", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    client.bind(("", 0))
    print(f"{ray.util.get_node_ip_address()}:{gcs.getsockname()[1]}")
    if importlib.util.find_spec("grpc"):  # else Ray has no client server, and refuses a port for it
        print(f"--ray-client-server-port={client.getsockname()[1]}")
"""

# Lacks the part that makes a private folder.
NODE = """\
#!/usr/bin/env bash
# One node's Ray, from when the job has begun until the input says `end`:
#   node.sh ADDRESS CPUS SECONDS REQUEUE [OPTION OF THE HEAD]
# It ends the processes that it has started, and nobody else's Ray.
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
address=$1 cpus=$2 wait_s=$3 requeue=$4 ray=""
shift 4
set -e
. "$here/env.sh"
{folder}
set +e
ulimit -n 65536 2> /dev/null
log="$RAY_TMPDIR/start.log"
leave() {{
  trap '' TERM INT
  if [ -n "$ray" ]; then
    kill "$ray" 2> /dev/null
    wait "$ray"
  fi
  rm -rf "$RAY_TMPDIR"
}}
trap leave EXIT
trap 'exit 0' TERM INT

fail() {{
  echo "crossmesh: $1 on $(hostname)" >&2
  tail -n 20 "$log" >&2
  exit 1
}}

is_over() {{  # whether the job has said so; takes half a second if not
  local word="" status
  read -r -t 0.5 word
  status=$?
  [ "$word" = end ] && return 0
  [ "$status" -gt 128 ] || sleep 0.5  # the job's script is gone
  return 1
}}

is_head_lost() {{  # with --no-kill, Slurm takes a lost node from the job, even that of its script
  local nodes head
  read -r nodes head <<< "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format='%N %B')"
  [ -n "$head" ] && ! scontrol show hostnames "$nodes" | grep -qx "$head"
}}

options=(--head --port="${{address##*:}}" --include-dashboard=false "$@")
if [ "$SLURM_NODEID" != 0 ]; then
  options=(--address="$address")
  until (: < "/dev/tcp/${{address%:*}}/${{address##*:}}") 2> /dev/null; do
    if is_over; then exit 0; fi
    if [ "$SECONDS" -gt "$wait_s" ]; then fail "no connection to the head at $address"; fi
  done
fi
: > "$log"
setsid python3 "$here/sessions.py" $$ 10 "$(command -v python3)" -m ray.scripts.scripts start \\
  --block "${{options[@]}}" --temp-dir="$RAY_TMPDIR/ray" --num-cpus="$cpus" \\
  --include-log-monitor=false --min-worker-port=0 --max-worker-port=0 \\
  --dashboard-agent-listen-port=0 > "$log" 2>&1 < /dev/null &
ray=$!
until grep -q 'Ray runtime started' "$log"; do
  if ! kill -0 "$ray" 2> /dev/null || [ "$SECONDS" -gt "$wait_s" ]; then
    fail "Ray did not start"
  fi
  if is_over; then exit 0; fi
done
until is_over; do
  kill -0 "$ray" 2> /dev/null && continue
  if [ "$SLURM_NODEID" = 0 ]; then fail "Ray has ended"; fi
  if is_head_lost; then
    echo "crossmesh: the first node is lost, with the job's script; queued again: $requeue" \\
      >> "${{here%/node}}/log"  # what srun was told is lost too
    if [ "$requeue" = yes ]; then scontrol requeue "$SLURM_JOB_ID"; else scancel "$SLURM_JOB_ID"; fi
  fi
  sleep 5
done
"""

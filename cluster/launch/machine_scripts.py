"""Scripts of machines that Ray's cluster launcher sets up, with places to fill in."""

HEADER = """\
# For ray up, ray exec and ray down. Ray's defaults begin every start with a command that ends all
# Ray processes of a machine, other people's included; the start commands here take its place and
# touch only what they have started (see node/ray.sh).
"""

LAUNCH = """\
#!/usr/bin/env bash
# Sets the machines up, trains, fetches the run and releases the machines.
# The training runs apart from this connection: a lost connection stops nothing and is reopened.
# Ctrl-C and SIGTERM reach the training, which saves its state first.
cd "$(dirname "${{BASH_SOURCE[0]}}")" || exit 1
export RAY_USAGE_STATS_ENABLED=0
stopped=
trap 'stopped=1; ray exec cluster.yaml "{job} stop"' INT TERM
status=0
ray up --yes cluster.yaml && ray exec cluster.yaml '{job} start' || status=$?
if [ "$status" = 0 ]; then
  until ray exec cluster.yaml '{job} follow' & wait $!; do
    [ -n "$stopped" ] || echo 'connection lost; training continues; reconnecting' >&2
    sleep "${{CROSSMESH_RETRY_S:-10}}"
  done
  ended=$(ray exec cluster.yaml '{job} status' 2>/dev/null | grep -o 'training ended with [0-9]*')
  status=${{ended##* }}
  mkdir -p {here}
  if [ -z "$status" ] || ! ray rsync-down cluster.yaml {from_there} {to_here}; then
    echo 'the run could not be fetched, so the machines are kept' >&2
    exit 1
  fi
fi
{end} || status=$?
exit "$status"
"""

JOB = """\
#!/usr/bin/env bash
# The training on the head, apart from any connection: job.sh start | follow | stop | status
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export CROSSMESH_PID_FILE="$here/train.pid"

runs() { [ -e "$here/job.pid" ] && kill -0 "$(cat "$here/job.pid")" 2>/dev/null; }

case "$1" in
  start)
    if runs; then echo "training is already running"; exit 0; fi
    rm -f "$here/status" "$CROSSMESH_PID_FILE"
    nohup setsid bash -c 'bash "$0/train.sh"; echo $? > "$0/status"' "$here" \\
      > "$here/train.log" 2>&1 < /dev/null &
    echo $! > "$here/job.pid" ;;
  follow)
    if runs; then tail -n 50 --pid="$(cat "$here/job.pid")" -f "$here/train.log"; fi
    [ -e "$here/status" ] ;;
  stop)
    if runs && [ -e "$CROSSMESH_PID_FILE" ]; then kill -TERM "$(cat "$CROSSMESH_PID_FILE")"; fi ;;
  status)
    if [ -e "$here/status" ]; then echo "training ended with $(cat "$here/status")"; fi ;;
esac
"""

AFTER = """\
Inspect:  cd {folder} && ray attach cluster.yaml
Release the machines if launch.sh could not:   {end}"""

RAY = """\
#!/usr/bin/env bash
# Starts this node's Ray as head or as worker, or ends it: ray.sh head | worker HEAD | end
# It ends the process that it has started, by its number, and never anybody else's Ray.
set -e
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
. "$here/env.sh"
pid_file="$here/ray.pid"
folder_file="$here/ray.folder"
log="$here/ray.log"

runs() {{ [ -e "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null; }}

case "$1" in
  head)
    set -- --head --port={port} --include-dashboard=false
    if [ -e "$HOME/ray_bootstrap_config.yaml" ]; then  # by which the head starts the workers
      set -- "$@" --autoscaling-config="$HOME/ray_bootstrap_config.yaml"
    fi ;;
  worker)
    set -- --address="$2:{port}" ;;
  end)
    if runs; then
      kill "$(cat "$pid_file")"
      for _ in $(seq 60); do runs || break; sleep 1; done
    fi
    rm -f "$pid_file"
    if [ -e "$folder_file" ]; then rm -rf "$(cat "$folder_file")"; fi
    rm -f "$folder_file"
    exit 0 ;;
esac

if runs; then
  echo "Ray is already running here: $(cat "$pid_file")"
  exit 0
fi
there=$(python3 -c 'import ray; print(ray.__version__)')
if [ "$there" != {version} ]; then
  echo "Ray must be {version} on every node, got $there on $(hostname)" >&2
  exit 1
fi
{folder}
echo "$RAY_TMPDIR" > "$folder_file"
ulimit -n 65536 2>/dev/null || true
: > "$log"
nohup setsid ray start --block "$@" --temp-dir="$RAY_TMPDIR/ray" {options} \\
  >> "$log" 2>&1 < /dev/null &
echo $! > "$pid_file"
for _ in $(seq {seconds}); do
  if grep -q 'Ray runtime started' "$log"; then exit 0; fi
  runs || break
  sleep 1
done
echo "Ray did not start on $(hostname) within {seconds} s:" >&2
tail -n 20 "$log" >&2
exit 1
"""

"""Scripts that run on machines reached by ssh, with places to fill in."""

HEADER = """\
# For ray up. Ray's defaults begin every start with a command that ends all Ray processes of a
# machine, other people's included; the start commands here take its place and touch only what they
# have started (see node/ray.sh).
"""

PROCESSES = """\
# Read by the other scripts. Processes are known by their number and the time at which they began,
# so that another process that has got the number is never taken for one of ours.
field() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d ' ' -f "$2"; }

note() { echo "$2 $(field "$2" 20)" > "$1"; }  # note FILE PID

lives() {  # lives FILE
  local pid began
  read -r pid began 2> /dev/null < "$1" && [ -n "$began" ] &&
    [ "$(field "$pid" 20)" = "$began" ] && [ "$(field "$pid" 1)" != Z ]
}

members() {  # members SESSION: ids of its processes
  cat /proc/[0-9]*/stat 2> /dev/null |
    awk -v session="$1" \\
      '{ pid = $1; sub(/^.*\\) /, ""); if ($4 == session && $1 != "Z") print pid }'
}

finish() {  # finish FILE SECONDS: ends the session of a process, after so long with SIGKILL
  local pid began session
  if lives "$1"; then
    read -r pid began < "$1"
    session=$(field "$pid" 4)
    kill -TERM "$pid" 2> /dev/null || true
    for _ in $(seq "$(($2 * 5))"); do
      [ -n "$(members "$session")" ] || break
      sleep 0.2
    done
    kill -KILL $(members "$session") 2> /dev/null || true
  fi
  rm -f "$1"
}
"""

SETUP = """\
#!/usr/bin/env bash
# Sets this machine up for the run, before Ray starts: setup.sh [PACKAGE]...
set -e
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
. "$here/processes.sh"
note "$here/setup.pid" $$
{setup}
. "$here/env.sh"
{install}
if [ $# != 0 ]; then python3 -m pip install "$@"; fi
rm -f "$here/setup.pid"
"""

JOB = """\
#!/usr/bin/env bash
# The training on the head, apart from any connection: job.sh start | follow BYTE | stop | status
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
. "$here/processes.sh"
run={run}
export CROSSMESH_PID_FILE="$here/train.pid"

case "$1" in
  start)
    if lives "$here/job.pid"; then exit 0; fi
    rm -f "$here/status" "$here/asked" "$CROSSMESH_PID_FILE"
    if [ "${{2:-}}" = again ] && [ ! -e "$run/config.yaml" ]; then  # it was lost with its machine
      (umask 077 && mkdir -p "$run") && cp "$here/{config}" "$run/config.yaml"
    fi
    nohup setsid bash -c 'bash "$0/train.sh"; echo $? > "$0/status"' "$here" \\
      >> "$here/train.log" 2>&1 < /dev/null &
    note "$here/job.pid" $! ;;
  follow)
    touch "$here/train.log"
    pid=$(cut -d ' ' -f 1 "$here/job.pid" 2> /dev/null)
    if lives "$here/job.pid"; then
      tail -s 0.2 -c "+$2" --pid="$pid" -f "$here/train.log"
    else
      tail -c "+$2" "$here/train.log"
    fi ;;
  stop)
    touch "$here/asked"
    until [ -s "$CROSSMESH_PID_FILE" ] || ! lives "$here/job.pid"; do sleep 0.1; done
    if lives "$here/job.pid"; then kill -TERM "$(cat "$CROSSMESH_PID_FILE")"; fi ;;
  status)  # words: how the training stands, and whether Ray lives
    if [ -s "$here/status" ]; then
      code=$(cat "$here/status")
      if [ -e "$here/asked" ] && [ "$code" = 143 ]; then code=130; fi  # it had hardly begun
      echo "ended $code"
    elif lives "$here/job.pid"; then
      echo running
    elif [ -e "$here/job.pid" ]; then
      echo "ended 137"
    else
      echo none
    fi
    if lives "$here/ray.pid"; then echo ray; fi ;;
esac
"""

RAY = """\
#!/usr/bin/env bash
# Starts this node's Ray as head or as worker, or ends what runs here of the launch:
#   ray.sh head ADDRESS | head OPTION | worker HOST:PORT | end
# It ends processes that were started here, by their numbers, and never anybody else's Ray.
set -e
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
. "$here/processes.sh"
log="$here/ray.log"
what=$1
where=${{2:-}}

if [ "$what" = end ]; then
  touch "$here/ending"  # a start that is under way gives up
  exec 8> "$here/lock"
  flock -w {seconds} 8 || true
  finish "$here/setup.pid" 2
  finish "$here/job.pid" 5
  finish "$here/ray.pid" 20
  if [ -e "$here/ray.folder" ]; then rm -rf "$(cat "$here/ray.folder")"; fi
  rm -f "$here/ray.folder" "$here/address" "$here/ending"
  exit 0
fi

. "$here/env.sh"
exec 8> "$here/lock"
flock 8
if lives "$here/ray.pid"; then
  cat "$here/address" 2> /dev/null || true
  exit 0
fi
there=$(python3 -c 'import ray; print(ray.__version__)')
if [ "$there" != {version} ]; then
  echo "Ray must be {version} on every node, got $there on $(hostname)" >&2
  exit 1
fi

# How the others reach this machine: by the name they know it by, if it is one of this machine's
# addresses, or by the way from here to the head. Without either, Ray finds an address.
own_address() {{
  python3 - "$1" "$2" <<'END'
import socket, sys
kind, host = sys.argv[1:]
try:
    known = socket.getaddrinfo(host, 9, socket.AF_INET, socket.SOCK_DGRAM)
except OSError:  # a name that only ssh's own configuration knows
    known = []
for *_, where in known:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((where[0], 0)) if kind == "own" else probe.connect(where)
        except OSError:
            continue
        if not (address := probe.getsockname()[0]).startswith("127."):
            print(address)
            break
else:
    import ray
    print(ray.util.get_node_ip_address())
END
}}
free_port() {{
  python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}}

if [ "$what" = head ]; then
  port={port}
  if [ "$port" = 0 ]; then port=$(free_port); fi
  set -- --head --port="$port" --include-dashboard=false
  case "$where" in
    --*) own= && set -- "$@" "$where" ;;
    *) own=$(own_address own "$where") ;;
  esac
  address="${{own:-127.0.0.1}}:$port"
else
  address=$where
  own=$(own_address way "${{where%:*}}")
  set -- --address="$address"
fi
if [ -n "$own" ]; then set -- "$@" --node-ip-address="$own"; fi

{folder}
echo "$RAY_TMPDIR" > "$here/ray.folder"
ulimit -n 65536 2> /dev/null || true
: > "$log"
nohup setsid ray start --block "$@" --temp-dir="$RAY_TMPDIR/ray" {options} \\
  >> "$log" 2>&1 < /dev/null 8>&- &
note "$here/ray.pid" $!
for _ in $(seq {seconds}); do
  if [ -e "$here/ending" ]; then break; fi
  if grep -q 'Ray runtime started' "$log"; then
    echo "$address" > "$here/address"
    cat "$here/address"
    exit 0
  fi
  lives "$here/ray.pid" || break
  sleep 1
done
finish "$here/ray.pid" 5
rm -rf "$RAY_TMPDIR"
echo "Ray did not start on $(hostname) within {seconds} s: $(tail -n 5 "$log" | tr '\\n' '|')" >&2
exit 1
"""

CONTAINER = """\
#!/usr/bin/env bash
# The container in which everything runs on this machine: container.sh up | down
set -e
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
if [ "$1" = down ]; then
  exec docker rm --force --volumes {name} > /dev/null 2>&1
fi
volumes=("$here:$here")
for folder in {made}; do
  (umask 077 && mkdir -p "$folder")  # docker would make it root's
  volumes+=("$folder:$folder")
done
for folder in {there}; do
  if [ -d "$folder" ]; then volumes+=("$folder:$folder"); fi  # the head alone needs it
done
docker run --detach --init --name {name} --network host --ipc host \\
  --user "$(id -u):$(id -g)" --env HOME="$HOME" --env USER="$(id -un)" \\
  "${{volumes[@]/#/--volume=}}" {image} sleep infinity > /dev/null
"""

"""Pieces of shell script that several kinds of cluster have in common; everything is quoted."""

import shlex
from collections.abc import Iterable, Mapping

from crossmesh.cluster.launch.files import File, lines
from crossmesh.cluster.launch.order import Order
from crossmesh.cluster.launch.settings import NODE
from crossmesh.common.private_folders import PREFIX
from crossmesh.emulator.compiler.carried import relocated
from crossmesh.emulator.config.loading import dumped

CONFIG = "run.yaml"
_FLAGS = {"json_": "--json", "quiet": "--quiet"}


def quoted(words: Iterable[object]) -> str:
    """A command as a shell reads it."""
    return shlex.join(map(str, words))


def path(text: str) -> str:
    """A path as a shell reads it; ``~`` at its beginning means the home there."""
    if text.startswith("~/"):
        return f'"$HOME"/{shlex.quote(text[2:])}'
    return shlex.quote(text)


def exports(variables: Mapping[str, str]) -> list[str]:
    """Lines that set environment variables."""
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def environment_file(variables: Mapping[str, str], activate: Iterable[str]) -> File:
    """The file that sets a node's environment, read by its other scripts."""
    text = lines(
        "# Read by the other scripts, which set $here to their folder.",
        exports(NODE),
        "export RAY_AUTH_MODE=token",
        'export RAY_AUTH_TOKEN_PATH="$here/token"',
        'chmod 600 "$RAY_AUTH_TOKEN_PATH"',
        "umask 077",
        exports(variables),
        activate,
    )
    return File("node/env.sh", text)


# Makes RAY_TMPDIR, which Ray's own folders need: all may write in those. It stays locked as long as
# a process lives that was started here; what a killed one has left is removed.
PRIVATE_FOLDER = f"""\
for left in /tmp/{PREFIX}*; do
  if [ -d "$left" ] && [ ! -L "$left" ] && [ -O "$left" ]; then
    flock -n "$left" rm -rf "$left" || true
  fi
done
tries=0  # for another script may remove the folder before it is locked
until RAY_TMPDIR=$(mktemp -d /tmp/{PREFIX}XXXXXXXX) && {{ exec 9< "$RAY_TMPDIR"; }} 2> /dev/null \\
    && flock 9 && [ -d "$RAY_TMPDIR" ]; do
  tries=$((tries + 1))
  if [ "$tries" -ge 100 ]; then
    echo "error: no folder in /tmp can be made and locked" >&2
    exit 1
  fi
  sleep 0.1
done
export RAY_TMPDIR"""


def config_files(order: Order, folder: str = "", there: str = "") -> Iterable[File]:
    """The config of the run, complete, and the files that travel with it.

    Args:
        order: The training.
        folder: Where they lie in the folder of the launch; ends in a slash.
        there: Where they lie when they are read; by default the config names them from its folder.
    """
    config = dumped(relocated(order.config, order.carried, there))
    head = "# The whole config of the run, as crossmesh launch has resolved it.\n"
    yield File(f"{folder}{CONFIG}", head + config)
    for part in order.carried:
        for name, path in part.files.items():
            yield File(f"{folder}{name}", path)


def training_script(order: Order, run_dir: str, address: str, prologue: Iterable[str]) -> str:
    """A script that trains, or resumes the run if its directory exists already.

    Args:
        order: The training to launch.
        run_dir: Path of the run directory.
        address: Address of the cluster, as a shell expands it.
        prologue: First lines of the script; they may use ``$here``.
    """
    given = order.given
    flags = [option for name, option in _FLAGS.items() if given[name]]
    epochs = [] if given.get("epochs") is None else ["--epochs", given["epochs"]]
    folder = given.get("data_dir") or order.cluster.data_dir
    # Where it trains, ~ is another home than in the config, which was read here.
    data = [] if folder is None else ["--data-dir", folder]
    is_shipped = order.cluster.code == "shipped"
    command = "python3 -m crossmesh" if is_shipped else "crossmesh"
    where = f"--engine ray --address {address}"
    return lines(
        "#!/usr/bin/env bash",
        "# Trains, or resumes if the run directory exists already: after a lost head, or when a",
        "# queue runs the job again. Another run needs another run directory.",
        "set -e",
        'here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)',
        prologue,
        f"run={path(run_dir)}",
        '[ -z "${CROSSMESH_PID_FILE:-}" ] || echo $$ > "$CROSSMESH_PID_FILE"',
        'if [ -e "$run/config.yaml" ]; then',
        f'  exec {command} resume "$run" {where} {quoted([*epochs, *data, *flags])}'.rstrip(),
        "fi",
        f'exec {command} train "$here/{CONFIG}" {where} --run-dir "$run" '
        f"{quoted([*data, *flags])}".rstrip(),
    )

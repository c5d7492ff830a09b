"""What the Python of a node has, as the shell commands of a cluster lead to it from here."""

import subprocess
from collections.abc import Iterable, Iterator

from crossmesh.common.version import VERSION

_LOOK_S = 60
_LOOK = """
import importlib.metadata, importlib.util, sys
print("python", "%d.%d" % sys.version_info[:2])
for name in ("ray", "numba", "zmq", "pydantic"):
    if importlib.util.find_spec(name) is None:
        print("lacks", name)
try:
    from crossmesh.common.version import VERSION
    print("crossmesh", VERSION)
except ImportError:
    print("lacks", "crossmesh")
"""


def misses(activate: Iterable[str], *, is_shipped: bool) -> Iterator[str]:
    """What that Python lacks, a line each, as far as it is seen from this machine.

    Args:
        activate: The commands.
        is_shipped: Whether crossmesh itself comes by other means.
    """
    script = "\n".join(["set -e", *activate, 'exec python3 -c "$1"'])
    try:
        done = subprocess.run(
            ["bash", "-c", script, "bash", _LOOK], capture_output=True, text=True, check=False,
            timeout=_LOOK_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield f"activate must end within {_LOOK_S} s, got no end"
        return
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        yield f"activate must lead to a Python, got exit code {done.returncode}: {reason}"
        return
    rows = [line.split() for line in done.stdout.splitlines()]
    found = {row[0]: row[1] for row in rows if len(row) == 2 and row[0] != "lacks"}
    lacking = [row[1] for row in rows if row[:1] == ["lacks"]]
    if is_shipped and "crossmesh" in lacking:
        lacking.remove("crossmesh")
    if tuple(map(int, found["python"].split("."))) < (3, 11):
        yield f"activate must lead to Python 3.11 or newer, got {found['python']}"
    if lacking:
        yield f"activate must lead to a Python with {', '.join(lacking)}, which it lacks"
    there = found.get("crossmesh", VERSION)
    if not is_shipped and there != VERSION:
        yield f"crossmesh must be {VERSION} on the nodes, as here, got {there}"

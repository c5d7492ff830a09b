"""Where a run was made: versions and machine, for whoever wants to make it again."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from crossmesh.common.version import PHYSICS, VERSION

_PACKAGES = ("numpy", "numba", "pyarrow", "ray", "onnx")


def environment() -> dict[str, str]:
    """Versions and machine, by what they are; no names of hosts, users or folders."""
    return {
        "crossmesh": f"{VERSION}, physics {PHYSICS}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: found for name in _PACKAGES if (found := _version(name))},
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GiB",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """The processor's name, where Linux gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")

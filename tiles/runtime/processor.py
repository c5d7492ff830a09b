"""The processor and the BLAS of this process: what results are promised to depend on."""

import functools
import platform
from pathlib import Path

from threadpoolctl import threadpool_info

_CPUINFO = Path("/proc/cpuinfo")


@functools.cache
def arithmetic() -> str:
    """Model of the processor, and each BLAS with its version and the kernels that it chose."""
    libraries = {
        " ".join(filter(None, (its["internal_api"], its["version"], its.get("architecture"))))
        for its in threadpool_info()
        if its["user_api"] == "blas"
    }
    return ", ".join([_model(), *sorted(libraries)])


def _model() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.machine() or "unknown processor"

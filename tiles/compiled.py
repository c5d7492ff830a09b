"""How kernels are compiled: one decorator, and a disk cache that follows the sources.

numba's own cache looks at the file of a kernel only, not at the files of the functions that it
inlines. The cache folder therefore carries a digest of every source file that takes part in a
kernel, so that a changed device law can never meet a stale kernel.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import numba
from numba import njit, types
from numba.extending import intrinsic, overload


def _cache_folder() -> Path:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        text = source.read_bytes()
        if b"tiles.compiled" in text or b"tiles.devices.law" in text or source == Path(__file__):
            digest.update(text)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "crossmesh" / "kernels" / digest.hexdigest()[:16]


numba.config.CACHE_DIR = str(_cache_folder())  # type: ignore[attr-defined]  # made at run time

# Contraction to fused multiply-adds is the only liberty taken: it does not depend on data,
# alignment or process, so results stay equal on one type of machine.
FAST = {"contract"}

kernel = njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
inlined = njit(inline="always", fastmath=FAST, error_model="numpy")


@intrinsic
def _population(context, x):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint32(types.uint32), generate


def popcount(x: Any) -> Any:
    """Number of bits set in a uint32, as one instruction where the processor has it."""
    return int(x).bit_count()


@overload(popcount, inline="always")
def _popcount(x):
    return lambda x: _population(x)  # type: ignore[call-arg]  # numba gives the context

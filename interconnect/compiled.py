"""How kernels are compiled: one decorator, and a disk cache that follows the sources.

numba's own cache looks at the file of a kernel only, not at the files of the functions that it
inlines. The cache folder therefore carries a digest of every source file that takes part in a
kernel, so that a changed device law can never meet a stale kernel.

The cache holds pickles, the one exception to the law that nothing read from disk is unpickled:
whoever can write there can run code as this user. It is therefore used only where nobody else can.
"""

import hashlib
import os
import stat
import warnings
from pathlib import Path
from typing import Any

import numba
from numba import njit, types
from numba.extending import intrinsic, overload

_KERNEL_MODULES = (b"interconnect.compiled", b"interconnect.flits", b"tiles.devices.law")


def _digest() -> str:
    """A name for the present sources of all kernels, wherever in the project they are."""
    digest = hashlib.sha256()
    here = Path(__file__)
    for package in ("interconnect", "tiles"):
        for source in sorted((here.parents[1] / package).rglob("*.py")):
            text = source.read_bytes()
            if any(name in text for name in _KERNEL_MODULES) or source == here:
                digest.update(text)
    return digest.hexdigest()[:16]


def _cache_folder() -> Path | None:
    """The folder for kernels, made where it is missing; None if there is none to be trusted."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("crossmesh", "kernels", _digest()):
            folder /= name
            folder.mkdir(mode=0o700, exist_ok=True)
            _check_private(folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home
        warnings.warn(f"every process compiles its kernels anew: {error}", stacklevel=1)
        return None
    return folder


def _check_private(folder: Path) -> None:
    state = folder.stat()
    ours = state.st_uid == os.geteuid() and os.access(folder, os.W_OK)
    if not ours or state.st_mode & 0o022:
        raise PermissionError(
            "the folder for kernels must be writable by this user and nobody else, "
            f"got {folder} of user {state.st_uid} with mode {stat.S_IMODE(state.st_mode):04o}"
        )


_folder = _cache_folder()
if _folder is not None:
    numba.config.CACHE_DIR = str(_folder)  # type: ignore[attr-defined]  # made at run time

# Contraction to fused multiply-adds is the only liberty taken (but for the sums of layer
# normalisation, which are reordered as well): it does not depend on data,
# alignment or process, so results stay equal on one type of machine.
FAST = {"contract"}

kernel = njit(nogil=True, cache=_folder is not None, fastmath=FAST, error_model="numpy")
inlined = njit(inline="always", fastmath=FAST, error_model="numpy")
# Parts of one large kernel, in whose function they end up whole. They take tuples of many arrays,
# whose references would otherwise be counted at every call: 18 times as slow, measured.
_UNCOUNTED: dict[str, Any] = {"_nrt": False}
part = njit(**_UNCOUNTED, nogil=True, forceinline=True, fastmath=FAST, error_model="numpy")


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


@intrinsic
def _trailing_zeros(context, x):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(types.boolean, 1))

    return types.int64(types.int64), generate


def lowest(x: Any) -> Any:
    """Number of the lowest bit set in an int64 that is not zero."""
    return (int(x) & -int(x)).bit_length() - 1


@overload(lowest, inline="always")
def _lowest(x):
    return lambda x: _trailing_zeros(x)  # type: ignore[call-arg]  # numba gives the context

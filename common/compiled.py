"""How kernels are compiled: one decorator, and a disk cache that follows the sources.

numba's own cache looks at the file of a kernel only, not at the files of the functions that it
inlines. The cache folder therefore carries a digest of every source file that takes part in a
kernel, so that a changed device can never meet a stale kernel. What inlines functions of another
package lies in a folder below, which carries a digest of that package's sources.

The cache holds pickles, the one exception to the rule that nothing read from disk is unpickled:
who can write there can run code as this user. It is therefore used only where no other user can.
"""

import functools
import hashlib
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba
from numba import njit, types
from numba.extending import intrinsic, overload

_KERNEL_MODULES = (
    b"crossmesh.common.compiled",
    b"crossmesh.interconnect.noc.flits",
    b"crossmesh.tiles.analog.devices.kernels",
)
_OURS = "crossmesh"


def _plugins() -> set[str]:
    """Packages of others that bring kinds of ours, and may bring kernels with them."""
    groups = entry_points()
    ours = (group for group in groups.groups if group.startswith(f"{_OURS}."))
    return {
        point.module.partition(".")[0] for group in ours for point in groups.select(group=group)
    }


def _sources(package: str) -> Iterator[Path]:
    """The modules of a package, which is not imported for this."""
    spec = find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        yield from sorted(Path(place).rglob("*.py"))
    if spec and spec.origin and not spec.submodule_search_locations:
        yield Path(spec.origin)


_PLUGINS = _plugins() - {_OURS}


def _digest() -> str:
    """A name for the present sources of all our kernels, wherever in the project they are."""
    digest = hashlib.sha256()
    here = Path(__file__)
    for package in ("common", "interconnect", "tiles"):
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
        warnings.warn(f"kernel cache disabled: each process recompiles ({error})", stacklevel=1)
        return None
    return folder


def _check_private(folder: Path) -> None:
    state = folder.stat()
    ours = state.st_uid == os.geteuid() and os.access(folder, os.W_OK)
    if not ours or state.st_mode & 0o022:
        raise PermissionError(
            "the folder for kernels must be writable by this user and no other, "
            f"got {folder} of user {state.st_uid} with mode {stat.S_IMODE(state.st_mode):04o}"
        )


_folder = _cache_folder()


@functools.cache
def _folder_with(package: str) -> Path | None:
    """Where kernels are kept that inline functions of a package; None: nowhere.

    A package of others has a folder of its own, named after its present sources, if they are
    known: it brings kinds through entry points.
    """
    if package == _OURS or _folder is None:
        return _folder
    if package not in _PLUGINS:
        return None
    digest = hashlib.sha256()
    for source in _sources(package):
        digest.update(source.read_bytes())
    folder = _folder / f"{package}-{digest.hexdigest()[:16]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


# Contraction to fused multiply-adds is the only liberty taken (but for the sums of layer
# normalisation, which are reordered as well): it does not depend on data,
# alignment or process, so results stay equal on one type of machine.
FAST = {"contract"}

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, and keep the result in the folder for kernels."""
    return _compiled(function, _folder_with(_top(function.__module__)))


def _compiled(function: Callable[..., Any], folder: Path | None) -> Any:
    """The folder is given to numba for this function alone: its settings stay as they are."""
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder or before)
    try:
        return njit(**_OPTIONS, cache=folder is not None)(function)
    finally:
        settings.CACHE_DIR = before


def _top(module: str) -> str:
    return module.partition(".")[0]


@functools.cache
def with_functions_of(compiled: Any, module: str) -> Any:
    """A kernel of ours for functions of a module that it inlines, kept where their edits count."""
    package = _top(module)
    if package == _OURS or not hasattr(compiled, "py_func"):
        return compiled
    return _compiled(compiled.py_func, _folder_with(package))


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

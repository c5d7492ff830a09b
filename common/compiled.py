"""Compilation of kernels: one decorator, and a disk cache that follows the sources.

numba's own cache looks at the file of a kernel only, not at the files of the functions that it
inlines. The cache folder therefore carries a digest of every source file that takes part in a
kernel, so that a changed device can never meet a stale kernel. What inlines functions of other
packages lies in a folder below, which carries a digest of the sources of all packages that these
functions reach, and of the constants that they read.

The cache holds pickles, the one exception to the rule that nothing read from disk is unpickled:
who can write there can run code as this user. It is therefore used only where no other user can.
"""

import functools
import hashlib
import os
import stat
import warnings
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numba
from numba import njit, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.core.runtime.nrt import rtsys
from numba.extending import intrinsic, overload

from crossmesh.common.reached_code import OURS, code_digest, package_of
from crossmesh.common.turns import TurnToMake

_KERNEL_MODULES = (
    b"crossmesh.common.compiled",
    b"crossmesh.interconnect.noc.flits",
    b"crossmesh.tiles.analog.devices.kernels",
)


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
            "the kernel cache folder must be writable by this user only, "
            f"got {folder} of user {state.st_uid} with mode {stat.S_IMODE(state.st_mode):04o}"
        )


_folder = _cache_folder()


def _folder_with(functions: tuple[Callable[..., Any], ...]) -> Path | None:
    """Where kernels are kept that inline functions; None: nowhere, as an edit could be missed.

    Functions of other packages have a folder of their own, named after all code that they reach.
    """
    others = [f for f in functions if package_of(f.__module__) != OURS]
    if _folder is None or not others:
        return _folder
    digest = code_digest(others)
    if digest is None:
        return None
    folder = _folder / f"{package_of(others[0].__module__)}-{digest[:16]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


# Contraction to fused multiply-adds is the only liberty taken (but for the sums of layer
# normalisation, which are reordered as well): it does not depend on data,
# alignment or process, so results stay equal on one type of machine.
FAST = {"contract"}

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy"}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called, and keep the result in the folder for kernels."""
    return _compiled(function, _folder_with((function,)))


class _Locator(UserProvidedCacheLocator):
    """Kernels are found by the name of their module: copies of the same sources share them."""

    def __init__(self, function: Callable[..., Any], source: str) -> None:
        super().__init__(function, source)
        settings: Any = numba.config
        self._cache_path = str(Path(settings.CACHE_DIR) / function.__module__)


class _KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes: list[type[object]] = [_Locator]  # noqa: RUF012  because numba's is one


class _KernelCache(FunctionCache):
    """A cache whose kernels are loaded without all that numba would need to compile others.

    numba imports and registers that first, which takes a process 0.25 s; it does so again before it
    compiles anything. Of processes that start together, one compiles a kernel and the others wait.
    """

    _impl_class = _KernelCacheImpl

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._turn = TurnToMake(Path(self._cache_path) / f"{self._impl.filename_base}.lock")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel for a signature, or None if it is this process's turn to compile it."""
        rtsys.initialize(target_context)
        found = self._load_overload(sig, target_context)
        if found is None:
            self._turn.take()
            found = self._load_overload(sig, target_context)  # of who had the turn before
            if found is not None:
                self._turn.give()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a kernel that was compiled, if there is room for it."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warnings.warn(f"kernel not kept: each process recompiles it ({error})", stacklevel=1)
        finally:
            self._turn.give()


def _compiled(function: Callable[..., Any], folder: Path | None) -> Any:
    """The folder is given to numba for this function alone: its settings stay as they are."""
    made = njit(**_OPTIONS)(function)
    if folder is None or not hasattr(made, "py_func"):  # as where numba is switched off
        return made
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)
    try:
        made._cache = _KernelCache(function)
    finally:
        settings.CACHE_DIR = before
    return made


@functools.cache
def inlining(compiled: Any, functions: Hashable) -> Any:
    """A kernel of ours for functions that it inlines, kept where their edits count.

    Args:
        compiled: The kernel.
        functions: A tuple of them; what else is in it counts for nothing.
    """
    assert isinstance(functions, tuple)
    each = tuple(function for function in functions if callable(function))
    is_ours = all(package_of(function.__module__) == OURS for function in each)
    if is_ours or not hasattr(compiled, "py_func"):  # as where numba is switched off
        return compiled
    return _compiled(compiled.py_func, _folder_with(each))


inlined = njit(inline="always", fastmath=FAST, error_model="numpy")
# Parts of one large kernel, in whose function they end up whole. They take tuples of many arrays,
# whose references would otherwise be counted at every call: 18 times as slow, measured.
_UNCOUNTED: dict[str, Any] = {"_nrt": False}
part = njit(**_UNCOUNTED, nogil=True, forceinline=True, fastmath=FAST, error_model="numpy")
# The same for long functions that are called in several places, each of which would otherwise
# take as long to compile.
apart = njit(**_UNCOUNTED, nogil=True, fastmath=FAST, error_model="numpy")


@intrinsic
def _full_width(context):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite checks names against those that it knows; this one has a value.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


def use_full_width() -> None:
    """In a kernel: use the widest vectors that the processor has.

    LLVM keeps to 256 bits on processors that once slowed down for 512. Kernels that draw normal
    numbers take a third to a half of the time with them, and the same values come out.
    """


@overload(use_full_width, inline="always")
def _use_full_width():
    return lambda: _full_width()  # type: ignore[call-arg]  # numba gives the context


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

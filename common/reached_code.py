"""All code and constants that functions reach, as a digest that an edit of any of it changes."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

OURS = "crossmesh"
# Our own code has a digest of its own; numba looks at its own version, and these stay as they are.
_STEADY = {OURS, "numpy", "numba", "math", "builtins"}


class _Constant(NamedTuple):
    value: Any


class _Unknown(Exception):  # noqa: N818  because it is an answer
    """An edit of what a function reaches could not be noticed."""


def package_of(module: str) -> str:
    """The package at the top.

    >>> package_of("crossmesh.tiles.analog")
    'crossmesh'
    """
    return module.partition(".")[0]


def code_digest(functions: Sequence[Callable[..., Any]]) -> str | None:
    """A digest of the sources of all packages that functions reach, and of constants they read.

    Args:
        functions: Functions of other packages, compiled or not.

    Returns:
        64 hexadecimal digits; None if an edit of some of it could not be noticed, as of what was
        typed into an interpreter.
    """
    packages, digest = set(), hashlib.sha256()
    try:
        for reached in _reached(functions):
            if isinstance(reached, _Constant):
                digest.update(_bytes(reached.value))
            else:
                packages.add(reached)
        for package in sorted(packages - _STEADY):
            digest.update(_sources(package))
    except _Unknown:
        return None
    return digest.hexdigest()


def _reached(functions: Sequence[Callable[..., Any]]) -> Iterator[str | _Constant]:
    """Packages, by name, and constants that functions and those that they call use."""
    left: list[Any] = list(functions)
    seen: set[int] = set()
    while left:
        value = left.pop()
        value = getattr(value, "py_func", value)  # of a compiled function
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, ModuleType):
            yield package_of(value.__name__)
        elif isinstance(value, FunctionType):
            yield (package := package_of(value.__module__))
            if package not in _STEADY:
                left += _values_in(value)
        elif callable(value) and hasattr(value, "__module__"):
            yield package_of(value.__module__ or "builtins")
        else:
            yield _Constant(value)


def _values_in(function: FunctionType) -> Iterator[Any]:
    """What the names in a function mean."""
    codes = [function.__code__]
    for code in codes:
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
        yield from (function.__globals__[n] for n in code.co_names if n in function.__globals__)
    yield from (cell.cell_contents for cell in function.__closure__ or ())
    yield from function.__defaults__ or ()


def _bytes(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}".encode() + value.tobytes()
    if isinstance(value, int | float | complex | str | np.generic | None):
        return f"{type(value)} {value!r}".encode()
    if isinstance(value, tuple):
        return b"".join(map(_bytes, value))
    raise _Unknown


@functools.cache
def _sources(package: str) -> bytes:
    """sha256 of the modules of a package, which is not imported for this."""
    try:
        spec = find_spec(package)
    except ValueError:  # of __main__
        spec = None
    if spec is None:
        raise _Unknown
    folders = spec.submodule_search_locations
    files = [file for folder in folders or () for file in sorted(Path(folder).rglob("*.py"))]
    digest = hashlib.sha256()
    for file in files if folders else [Path(spec.origin or "")]:
        if not file.is_file():
            raise _Unknown
        digest.update(file.read_bytes())
    return digest.digest()

"""Our own kinds, found in the modules of their package, so that adding one takes one file."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any


def classes_in(package: str, base: Any) -> Iterator[Any]:
    """Subclasses that the modules of a package define, in the order of names and definitions.

    Args:
        package: Its name; its own ``__init__`` may call this.
        base: The class that all kinds are of.

    >>> from crossmesh.interconnect.noc import Topology
    >>> next(classes_in("crossmesh.interconnect.noc.topologies", Topology)).__name__
    'Mesh'
    """
    for found in sorted(iter_modules(sys.modules[package].__path__), key=lambda each: each.name):
        module = import_module(f"{package}.{found.name}")
        for kind in vars(module).values():
            is_its = isinstance(kind, type) and kind.__module__ == module.__name__
            if is_its and issubclass(kind, base):
                yield kind

"""Memory that this process may still take, asked before it is taken.

The least of what the machine has, what the control groups of the process (containers, batch jobs)
leave, and what its own limits leave.
"""

import resource
from collections.abc import Container, Iterator
from pathlib import Path, PurePosixPath

_GROUPS = Path("/sys/fs/cgroup")
_MIB = 1 << 20
# What a control group counts as used, and the system takes back when memory is asked for.
_GIVEN_BACK = ("inactive_file", "active_file", "slab_reclaimable")
_GIVEN_BACK_1 = ("total_inactive_file", "total_active_file")  # of version 1


def free_bytes() -> int | None:
    """Bytes that this process may still take; None where nothing says so."""
    return min([*_of_machine(), *_of_groups(), *_of_limits()], default=None)


def lacking(needed: int) -> int | None:
    """The bytes that are free, if ``needed`` are not among them; None if they are, or unknown."""
    free = free_bytes()
    return free if free is not None and needed > free else None


def in_words(n_bytes: int) -> str:
    """Bytes in KiB, MiB or GiB.

    >>> in_words(100), in_words(3 << 19), in_words(5 << 30)
    ('0.1 KiB', '1.5 MiB', '5.0 GiB')
    """
    if n_bytes < _MIB // 10:
        return f"{n_bytes / (1 << 10):,.1f} KiB"
    if n_bytes < 1000 * _MIB:
        return f"{n_bytes / _MIB:,.1f} MiB"
    return f"{n_bytes / (_MIB << 10):,.1f} GiB"


def _of_machine() -> Iterator[int]:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10


def _of_groups() -> Iterator[int]:
    """What each control group that this process is in leaves, of version 2 and of version 1."""
    for line in _lines(Path("/proc/self/cgroup")):
        _, kinds, name = line.split(":", 2)
        if kinds == "":
            yield from _of_lineage(_GROUPS, name, "memory.max", "memory.current", _GIVEN_BACK)
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            yield from _of_lineage(_GROUPS / "memory", name, *names, _GIVEN_BACK_1)


def _of_lineage(
    root: Path, name: str, limit: str, usage: str, given_back: Container[str]
) -> Iterator[int]:
    place = PurePosixPath(name.lstrip("/"))
    for part in (place, *place.parents):
        folder = root / part
        most, used = _number(folder / limit), _number(folder / usage)
        if most is not None and used is not None:  # else there is no limit, or another name space
            kept = [line.split() for line in _lines(folder / "memory.stat")]
            freed = sum(int(words[1]) for words in kept if words[0] in given_back)
            yield max(0, most - used + freed)


def _of_limits() -> Iterator[int]:
    """What the limit on the address space of this process leaves."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY:
        return
    for line in _lines(Path("/proc/self/status")):
        if line.startswith("VmSize:"):
            yield max(0, most - (int(line.split()[1]) << 10))


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii", errors="replace").splitlines()
    except OSError:
        return []

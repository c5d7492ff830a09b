"""Capture of what libraries, such as Ray's C++ code, write to standard error: kept in memory."""

import os
import sys

_MOST_BYTES = 1 << 20  # of a file of raw words


def place() -> int:
    """A file in memory for raw words."""
    return os.memfd_create("stderr")


def set_aside(raw: int) -> None:
    """Have the raw words of this process go to a file; ours go where they went before."""
    if sys.stderr is None:  # it was closed from the beginning
        return
    sys.stderr.flush()
    ours = os.dup(2)
    sys.stderr = open(  # noqa: PTH123, SIM115  because it is open to the end
        ours, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    )
    os.dup2(raw, 2)


def kept(raw: int) -> str | None:
    """A file that only its owner reads, with the last raw words; None: there are none."""
    begin = max(0, os.fstat(raw).st_size - _MOST_BYTES)
    text = os.pread(raw, _MOST_BYTES, begin).decode("utf-8", "replace")
    if not text.strip():
        return None
    import tempfile  # here, because these load slowly and are seldom needed

    from crossmesh.common.errors import masked

    try:
        place, name = tempfile.mkstemp(prefix="crossmesh-", suffix=".txt")
        with open(place, "w", encoding="utf-8") as file:  # noqa: PTH123  because it is open already
            file.write(masked(text))
    except OSError:
        return None
    return name

"""Runs a command that ends with whoever started it, also if that is killed: bound.py PID COMMAND.

It is run by its path, so that it needs nothing but Python.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # of Linux's prctl


def main() -> None:
    """Become the command."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == int(sys.argv[1]):  # otherwise it ended before it could be watched
        os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()

"""Stands in for an agent of a raylet: a process that does nothing and ends with its parent.

A raylet ends when one of its agents ends, so there must be one even where it has nothing to do.
"""

import os
import time

LOOK_S = 1.0  # between two looks whether the parent lives


def stand_in() -> None:
    """Wait for the end of the parent."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(LOOK_S)


if __name__ == "__main__":
    stand_in()

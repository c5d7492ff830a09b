"""The arrays that ``crossmesh predict`` leaves."""

import numpy as np

from tests.emulator.commands.shell import done

LOCAL = ("--engine", "local")


def predicted(folder, what, inputs, *options):
    """The arrays that the command leaves."""
    given = ("--inputs", inputs, "--out", "out.npz", "--json", "--quiet")
    said = done("predict", what, *given, *LOCAL, *options, folder=folder).answer
    with np.load(folder / "out.npz") as arrays:
        found = dict(arrays)
    assert said == {
        "out": "out.npz",
        "arrays": {name: list(array.shape) for name, array in found.items()},
    }
    return found

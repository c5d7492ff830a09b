"""Versions of crossmesh and of its physics, known also where it was not installed but shipped."""

VERSION = "0.1.0"

# Rises where the same config and seed begin to train another chip: other defaults, noise or
# generators. A run can be resumed only under the physics that it was started with.
PHYSICS = 6

# What changed with each version, one clause for each change; they end up in error messages.
CHANGES: dict[int, tuple[str, ...]] = {
    2: (
        "noise no longer repeats after 2^32 vectors of a layer",
        "the error of cross-entropy is exact also for targets that do not add up to 1",
        "wires are solved exactly where the first order errs by more than 2 % of what they take",
        "biases are digital unless tile.bias says line",
    ),
    3: (
        "wires are solved exactly where the first order errs by more than 0.5 % of what they take",
        "currents through references count for the wires of devices that are read against them",
        "tiles that are never updated are read as whole matrices",
    ),
    4: (
        "every pulse has cycle noise of its own however examples are batched",
        "write noise and retention and refreshes follow the examples rather than the micro-batches",
    ),
    5: (
        "normal numbers go to coinciding devices in another order",
        "which pulses go together follows from the slope of a device's step",
    ),
    6: (
        "pulses of several examples of a micro-batch go together where it makes no difference",
        "the steps of a recurrent layer are pulsed example by example",
        "lines that mixed precision writes by trains have the noise of one write",
    ),
}


def changes_since(physics: int) -> str:
    """Changes since a version of the physics, in one line."""
    later = (line for version in sorted(CHANGES) if version > physics for line in CHANGES[version])
    return "; ".join(later)

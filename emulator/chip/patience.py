"""How long the timing of a chip takes, said before it begins."""

from crossmesh.common.durations import duration
from crossmesh.emulator.config.chip import Chip

# Seconds of a hop of a flit on a core of 2024 (measured at 10,000 tiles); quicker models follow.
_HOP_S = {"flit": 5e-7, "packet": 4e-8, "analytic": 4e-8}
_LONG_S = 10.0  # beyond which the time is told


def announcement(chip: Chip, hops: int) -> str | None:
    """What to expect of a run of so many hops of flits; None if it is short.

    >>> announcement(Chip(), 60_000_000)
    'timing 60 million hops of flits takes about 30 s; --set chip.model=packet: about 2 s'
    """
    model = "packet" if chip.topology_kind.reserves_paths and chip.model == "flit" else chip.model
    seconds = hops * _HOP_S[model]
    if seconds < _LONG_S:
        return None
    line = f"timing {hops / 1e6:,.0f} million hops of flits takes about {duration(seconds)}"
    if model == "flit":
        line += f"; --set chip.model=packet: about {duration(hops * _HOP_S['packet'])}"
    return line

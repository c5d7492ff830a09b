"""How long the timing of a chip takes, said before it begins."""

from crossmesh.common.durations import duration
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc.choice import MOST_HOPS, choose
from crossmesh.interconnect.noc.models import Model

# Seconds of a hop of a flit on a core of 2024 (measured at 10,000 tiles).
_HOP_S = {model: 30 / most for model, most in MOST_HOPS.items()}
_LONG_S = 10.0  # beyond which the time is told
_OTHER: dict[Model, Model] = {"flit": "packet", "packet": "flit", "analytic": "packet"}


def announcement(chip: Chip, hops: int) -> str | None:
    """What to expect of a run of so many hops of flits; None if it is short and by ``flit``.

    >>> announcement(Chip(), 100_000_000)
    'timing 100 million hops of flits takes about 15 s; --set chip.model=packet: about 5 s'
    >>> announcement(Chip(), 300_000_000)
    'timing 300 million hops of flits by packet, about 15 s; --set chip.model=flit: about 45 s'
    """
    flitless = chip.topology_kind.reserves_paths  # its flit level is that of packets
    model = choose(chip.model, hops, "no flits" if flitless else None).model
    model = "packet" if flitless and model == "flit" else model
    seconds, line = _seconds(model, hops), f"timing {hops / 1e6:,.0f} million hops of flits"
    chosen = chip.model == "auto" and model != "flit" and not flitless
    if seconds < _LONG_S and not chosen:
        return None
    time = f"about {duration(seconds)}" if model in _HOP_S else "seconds"
    line += f" by {model}, {time}" if chosen else f" takes {time}"
    if chosen or model == "flit":
        other = _OTHER[model]
        line += f"; --set chip.model={other}: about {duration(_seconds(other, hops))}"
    return line


def _seconds(model: Model, hops: int) -> float:
    """Time of a model; that of the analytic one does not grow with the hops."""
    return hops * _HOP_S[model] if model in _HOP_S else 0.0

"""How long the timing of a chip takes, said before it begins; how far its placement is."""

import time
from collections.abc import Callable

from crossmesh.common.durations import duration
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc.choice import MOST_HOPS, choose
from crossmesh.interconnect.noc.models import Model

# Seconds of a hop of a flit on a core of 2024 (measured at 10,000 tiles).
_HOP_S = {model: 30 / most for model, most in MOST_HOPS.items()}
_LONG_S = 10.0  # beyond which the time is told
_PLACING_S, _PLACING_EVERY_S = 3.0, 10.0  # until how far it is is told, and told again
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


class Placing:
    """Says how far the placement of tiles is, if it takes more than three seconds.

    Args:
        say: Takes the lines.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._started = self._due = 0.0

    def __call__(self, done: int, total: int) -> None:
        """So many moves are done, of so many."""
        now = time.monotonic()
        if not done:
            self._started, self._due = now, now + _PLACING_S
        elif now >= self._due and done < total:
            self._due = now + _PLACING_EVERY_S
            left_s = (now - self._started) * (total / done - 1)
            self._say(f"placing tiles: {100 * done / total:.0f} %, {duration(left_s)} left")

"""Which model times a run: the most exact whose time is short, by counts and never by a clock."""

from typing import Literal, NamedTuple

from crossmesh.interconnect.noc.flits.state import MOST_PORTS
from crossmesh.interconnect.noc.models import Model
from crossmesh.interconnect.noc.topology import Topology

Wanted = Literal["auto"] | Model
# Hops of flits in about 30 s on a core of 2024, at 10,000 routers.
MOST_HOPS: dict[Model, int] = {"flit": 200_000_000, "packet": 600_000_000}


class Choice(NamedTuple):
    """A model, and why it is that one."""

    model: Model
    reason: str


def choose(wanted: Wanted, hops: int, without_flits: str | None = None) -> Choice:
    """The model for a run of so many hops of flits.

    Args:
        wanted: A model, which stays as it is, or ``auto``.
        hops: Flits times links, those to tiles among them.
        without_flits: Why the interconnect has no flit level, if so.

    >>> choose("auto", 226_000_000).reason
    '226 million hops > 200 million'
    """
    if wanted != "auto":
        return Choice(wanted, "set by chip.model")
    if hops > MOST_HOPS["packet"]:
        return Choice("analytic", _more_than("packet", hops))
    if without_flits is not None:
        return Choice("packet", without_flits)
    if hops > MOST_HOPS["flit"]:
        return Choice("packet", _more_than("flit", hops))
    return Choice("flit", f"at most {_millions(MOST_HOPS['flit'])} hops of flits")


def without_flits(topology: Topology) -> str | None:
    """Why an interconnect has no flit level; None if it has one."""
    if topology.reserves_paths:
        return f"a {topology.name} has no flits"
    if topology.n_ports >= MOST_PORTS:
        return f"routers of more than {MOST_PORTS} ports"
    return None


def _more_than(model: Model, hops: int) -> str:
    return f"{_millions(hops)} hops > {_millions(MOST_HOPS[model])}"


def _millions(hops: int) -> str:
    return f"{hops / 1e6:,.0f} million"

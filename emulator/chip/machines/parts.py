"""A component of a published machine, and its figures by a price."""

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import Field

from crossmesh.common.frozen import Frozen, FrozenDict, Keyed, Many
from crossmesh.common.price import Price

Figure = Literal["energy_pj", "power_mw", "area_um2", "operation_nj", "area_mm2"]


class MachinePart(Frozen):
    """Components of one kind in a machine; a kind of part defines ``price``.

    Attributes:
        count: How many the machine has.
        events: Events of each in an operation of the machine.
        published: Figures by name: ``energy_pj`` of an event; ``power_mw`` and ``area_um2`` of one
            part; ``operation_nj`` and ``area_mm2`` of all.
        same_source: Figures of ours that come from this machine, directly or by a later copy.
        reasons: Why a ratio lies outside the bounds, by figure.
        lacks: What the sources lack to determine a figure, by figure.
    """

    count: float = Field(1.0, gt=0)
    events: float = Field(0.0, ge=0)
    published: Keyed[Figure, float] = FrozenDict()
    same_source: Many[Figure] = ()
    reasons: Keyed[Figure, str] = FrozenDict()
    lacks: Keyed[Figure, str] = FrozenDict()

    def price(self, node_nm: float) -> Price | None:
        """Energy of an event; area and leakage of one part; None: its parameters are missing."""
        raise NotImplementedError

    def missing(self, figure: Figure) -> str:
        """What the sources lack to determine a figure, in words."""
        return self.lacks.get(figure, "")


def figure_of(figure: Figure, part: MachinePart, price: Price, seconds: float) -> float:
    """A figure of a part by its price, in an operation of so many seconds."""
    joules = part.events * price.energy_j + seconds * price.leakage_w
    known: Mapping[Figure, Callable[[], float]] = {
        "energy_pj": lambda: 1e12 * price.energy_j,
        "power_mw": lambda: 1e3 * joules / seconds,
        "area_um2": lambda: price.area_um2,
        "operation_nj": lambda: 1e9 * part.count * joules,
        "area_mm2": lambda: 1e-6 * part.count * price.area_um2,
    }
    return known[figure]()

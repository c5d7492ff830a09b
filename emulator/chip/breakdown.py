"""What operations per joule are made of, from the arrays alone to the whole chip."""

from collections.abc import Sequence
from typing import NamedTuple

from crossmesh.emulator.chip.area import ChipArea
from crossmesh.emulator.chip.energy import NOTHING, Band, ChipEnergy

# Components of each group, from the inside to the outside; what is not named stands with digital.
GROUPS: dict[str, tuple[str, ...]] = {
    "arrays": ("cell_read", "line_read", "line_pulse", "cell_half", "cell_pulse", "cell_write"),
    "converters": ("dac", "adc", "sample_hold", "shift_add"),
    "digital units": ("digital",),
    "memories": ("memory",),
    "network": ("router", "link", "router_add", "port"),
    "leakage": ("leakage",),
    "clock and supply": ("clock", "supply"),
}
_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}


def ratio(count: float, whole: float) -> float | None:
    """So many for each of what there is; None: there is nothing.

    >>> ratio(6, 4), ratio(6, 0)
    (1.5, None)
    """
    return count / whole if whole else None


class Rung(NamedTuple):
    """One group of components.

    Attributes:
        group: Its name.
        band: Joules per example.
        share: Of the energy of an example.
        ops_per_j: Operations per joule of this group and those before it together; None: they
            cost nothing.
    """

    group: str
    band: Band
    share: float
    ops_per_j: float | None

    @property
    def joules(self) -> float:
        """Per example."""
        return self.band.value


def rungs(energy: ChipEnergy) -> Sequence[Rung]:
    """The groups, from the arrays alone to the whole chip; the last is ops per second and watt."""
    bands = dict.fromkeys(GROUPS, NOTHING)
    for name, band in energy.by_component_j.items():
        bands[_GROUP_OF.get(name, "digital units")] += band
    total, ops = energy.per_example_j.value, energy.time.ops_per_example
    found, so_far = [], 0.0
    for group, band in bands.items():
        so_far += band.value
        found.append(Rung(group, band, ratio(band.value, total) or 0.0, ratio(ops, so_far)))
    return found


def lever(energy: ChipEnergy, area: ChipArea) -> str:
    """The largest group in words, with the largest part of it and what it depends on."""
    if not energy.per_example_j.value:
        return "none: nothing costs energy"
    largest = max(rungs(energy), key=lambda rung: rung.joules)
    parts = {
        name: band.value
        for name, band in energy.by_component_j.items()
        if _GROUP_OF.get(name, "digital units") == largest.group
    }
    why = ""
    if largest.group == "leakage":
        parts = area.leakage_by_component_w
        why = f" at {100 * float(energy.time.tile_busy.mean()):.2g} % busy"
    name = max(parts, key=lambda part: parts[part])
    of_group = 100 * parts[name] / sum(parts.values())
    of_it = "" if len(parts) == 1 else f"; {of_group:.0f} % of that in {name.replace('_', ' ')}"
    return f"{100 * largest.share:.0f} % {largest.group}{why}{of_it}"

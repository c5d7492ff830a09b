"""How often the arrays of a tile have been used, and how they conduct: endurance and energy."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

ONLY = "devices"  # of a tile that has one array


class Wear(NamedTuple):
    """Use of an array since its weights were written first.

    Attributes:
        pulses: Pulses on its lines in updates; where pulses are counted, as in transfers, pulses of
            its devices.
        writes: Devices that were written until they had a value: by transfers of a cell into its
            memories, refreshes of pairs and carries.
    """

    pulses: int
    writes: int = 0


def wear_of(holder: Any) -> Mapping[str, Wear]:
    """Wear of each array of a crossbar or tile, by name; one that names none counts as one."""
    arrays: Mapping[str, Wear] | None = getattr(holder, "wear", None)
    return {ONLY: Wear(holder.pulses)} if arrays is None else arrays


def mean_conductance(holder: Any, config: Any) -> float | None:
    """Mean conductance of the devices of a tile, as a share of their range; None: it has none.

    Args:
        holder: The tile, or a digital memory.
        config: Its configuration.
    """
    crossbar = getattr(holder, "crossbar", None)
    cell = getattr(config, "cell", None)
    if crossbar is None or cell is None:
        return None
    arrays = [conductances for _, conductances in crossbar.arrays() if conductances.size]
    mean = np.mean([float(each.mean(dtype=np.float64)) for each in arrays])
    share = float(mean) / cell.largest_conductance
    return min(max(share, 0.0), 1.0) if math.isfinite(share) else None


def named(prefix: str, arrays: Mapping[str, Wear]) -> Mapping[str, Wear]:
    """Arrays of a part of a cell: by its name, with their own behind it where it has several.

    >>> pair = {"plus": Wear(3), "minus": Wear(3)}
    >>> list(named("A", pair)), list(named("A", {"devices": Wear(3)}))
    (['A plus', 'A minus'], ['A'])
    """
    if len(arrays) == 1:
        return dict(zip([prefix], arrays.values(), strict=True))
    return {f"{prefix} {name}": wear for name, wear in arrays.items()}


def joint_pulses(arrays: Iterable[Mapping[str, Wear]]) -> dict[str, int]:
    """Pulses of the arrays of several tiles, added up by name."""
    pulses: dict[str, int] = {}
    for each in arrays:
        for name, wear in each.items():
            pulses[name] = pulses.get(name, 0) + wear.pulses
    return pulses

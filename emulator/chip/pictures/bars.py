"""Bars of a chip report: bounds of the interval, energy from the arrays outwards, area."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from crossmesh.common.figures import GUIDE
from crossmesh.common.prefixes import engineering, scale_of
from crossmesh.emulator.chip.breakdown import ratio, rungs
from crossmesh.emulator.chip.energy import NOTHING, Band, ChipEnergy
from crossmesh.emulator.chip.pictures.shapes import DECADES
from crossmesh.emulator.chip.timing import ChipTime

_PLAIN: dict[str, Any] = {"facecolor": "0.7"}
_TOTAL: dict[str, Any] = {"facecolor": "0.35"}
_LOOP: dict[str, Any] = {"facecolor": "white", "edgecolor": "0.35", "hatch": "////"}
_MOST_PARTS = 10  # of the area
_MM2 = 1e-6  # of a square micrometre
_SMALL_MM2 = 1e-3
_WHOLE = 1e3  # from which a figure has no decimals
_WIDTH = 18  # characters of a line of a name
_LOWEST = 0.5  # where a logarithmic axis begins, of the shortest bar


class BarRow(NamedTuple):
    """A bar with its name on the left and its figures on the right.

    Attributes:
        name: Name.
        figures: What stands beside it.
        length: Its length,
        start: and where it starts.
        looks: Its color.
    """

    name: str
    figures: str
    length: float
    start: float = 0.0
    looks: dict[str, Any] = _PLAIN


def draw_bounds(axes: Axes, time: ChipTime) -> None:
    """How long each resource works for a micro-batch, and the interval that came out."""
    hz, interval = time.chip.clock_hz, time.interval_cycles
    scale = scale_of(interval / hz, "s")
    unit = 1 / (hz * scale.size)
    rows = []
    if time.bound_by not in time.bounds:  # a loop
        what = re.split("[;,]", time.bound_by)[0]
        rows.append(
            BarRow(
                _folded(what),
                f"{engineering(interval / hz, 's', 3)}\n100 %",
                interval * unit,
                looks=_LOOP,
            )
        )
    for name, cycles in time.bounds.items():
        if not cycles:
            continue
        looks = _TOTAL if name == time.bound_by else _PLAIN
        figures = f"{engineering(cycles / hz, 's', 3)}\n{_percent(cycles / interval)}"
        rows.append(BarRow(_folded(name), figures, cycles * unit, looks=looks))
    _bars(axes, rows)
    axes.axvline(interval * unit, label="interval", **GUIDE)
    axes.set_xlabel(f"time per micro-batch ({scale.unit}); dotted: interval")
    axes.set_title("what bounds the interval")


def draw_energy(axes: Axes, energy: ChipEnergy) -> None:
    """From the arrays alone to the whole chip; each bar begins where the one before ends."""
    total, found = energy.per_example_j, [rung for rung in rungs(energy) if rung.joules]
    if not found:
        _draw_nothing(axes, "energy from the arrays to the whole chip", "nothing costs energy")
        return
    scale = scale_of(total.value, "J")
    rows, ends, so_far = [], [], NOTHING
    for rung in found:
        per_j = engineering(rung.ops_per_j, "ops/J", 3)
        figures = f"{engineering(rung.joules, 'J', 3)}, {_percent(rung.share)}\n{per_j}"
        rows.append(
            BarRow(rung.group, figures, rung.joules / scale.size, so_far.value / scale.size)
        )
        ends.append(_moved(rung.band, so_far.value))
        so_far += rung.band
    per_j = engineering(ratio(energy.time.ops_per_example, total.value), "ops/J", 3)
    rows.append(
        BarRow(
            "whole chip",
            f"{engineering(total.value, 'J', 3)}\n{per_j}",
            total.value / scale.size,
            looks=_TOTAL,
        )
    )
    ends.append(total)
    _bars(axes, rows, is_log=False)
    value = np.array([end.value for end in ends])
    off = np.stack([value - [end.low for end in ends], [end.high for end in ends] - value])
    axes.errorbar(
        value / scale.size, range(len(ends)), xerr=off / scale.size, fmt="none", ecolor="black",
        elinewidth=0.8, capsize=1.5, label="band",
    )  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_xlabel(f"energy per example ({scale.unit}), with its band")
    axes.set_title("energy from the arrays to the whole chip")


def draw_area(axes: Axes, by_component_mm2: dict[str, float]) -> None:
    """The largest components."""
    if not by_component_mm2:
        _draw_nothing(axes, "area by component", "nothing takes area")
        return
    parts = sorted(by_component_mm2.items(), key=lambda item: -item[1])
    whole = sum(by_component_mm2.values())
    n = _MOST_PARTS if len(parts) <= _MOST_PARTS else _MOST_PARTS - 1
    shown, rest = parts[:n], parts[n:]
    if rest:
        shown.append((f"{len(rest)} others", sum(area for _, area in rest)))
    unit, size = _area_unit(parts[0][1])
    rows = [
        BarRow(name.replace("_", " "), f"{_area(area)}, {_percent(area / whole)}", area / size)
        for name, area in shown
    ]
    _bars(axes, rows)
    axes.set_xlabel(f"area ({unit}); {_area(whole)} in all")
    axes.set_title("area by component")


def _draw_nothing(axes: Axes, title: str, why: str) -> None:
    axes.set_title(title)
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes)


def _area_unit(area_mm2: float) -> tuple[str, float]:
    """The unit that fits an area, and how many square millimetres it is."""
    return ("mm²", 1.0) if area_mm2 >= _SMALL_MM2 else ("um²", _MM2)


def _area(area_mm2: float) -> str:
    unit, size = _area_unit(area_mm2)
    number = area_mm2 / size
    return f"{number:,.0f} {unit}" if number >= _WHOLE else f"{number:.3g} {unit}"


def _bars(axes: Axes, rows: Sequence[BarRow], *, is_log: bool | None = None) -> None:
    """Bars from above to below, over decades on a logarithmic axis unless that is said."""
    lengths = [row.length for row in rows if row.length]
    is_log = max(lengths) / min(lengths) > DECADES if is_log is None else is_log
    if is_log:
        axes.set_xscale("log")
        axes.set_xlim(_LOWEST * min(lengths), 1.6 * max(lengths))
    for y, row in enumerate(rows):
        left = axes.get_xlim()[0] if is_log else row.start
        axes.barh(y, row.length - (left if is_log else 0), left=left, height=0.7, **row.looks)
        axes.text(1.02, y, row.figures, transform=axes.get_yaxis_transform(), va="center", size=6)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _moved(band: Band, by: float) -> Band:
    return Band(low=band.low + by, value=band.value + by, high=band.high + by)


def _percent(share: float) -> str:
    """A share with two digits, as small as it is.

    >>> _percent(0.5), _percent(0.0123), _percent(3e-6)
    ('50 %', '1.2 %', '0.0003 %')
    """
    percent = 100 * share
    return (
        f"{percent:.0f} %"
        if percent >= 9.95
        else f"{percent:.1f} %"
        if percent >= 0.1
        else f"{percent:.1g} %"
    )


def _folded(name: str) -> str:
    """A long name on several lines."""
    parts = name.replace(" -> ", "\n-> ").splitlines()
    return "\n".join(line for part in parts for line in textwrap.wrap(part, _WIDTH))

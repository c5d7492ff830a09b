"""The picture of a projection: the time of a micro-batch, and what bounds it."""

import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from crossmesh.cluster.scaling.explain import Projected
from crossmesh.common.figures import panels, save, styled

_MARKS = ("s", "^", "v", "D", "x")


def draw_projection(projections: Sequence[Projected], path: Path) -> None:
    """Draw ``projection.png``: replay and bounds against actors.

    Raises:
        ConfigError: If it cannot be written.
    """
    x = [projected.actors for projected in projections]
    series: dict[str, dict[int, float]] = {}
    for projected in projections:
        for name, seconds in projected.bounds_s.items():
            of_kind = series.setdefault(re.sub(r" ?\d+", "", name), {})
            of_kind[projected.actors] = max(seconds, of_kind.get(projected.actors, 0.0))
    with styled():
        figure, [[axes]] = panels(1, 1)
        figure.set_size_inches(5.4, 4.0)
        axes.plot(x, [p.interval_s for p in projections], "ko-", markersize=4, label="replay")
        for mark, (name, known) in zip(_MARKS, series.items(), strict=False):
            axes.plot(list(known), list(known.values()), marker=mark, markersize=4,
                      linewidth=0.9, linestyle="--", label=name)  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(FixedLocator(x))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        axes.set_xlabel("actors")
        axes.set_ylabel("seconds per micro-batch")
        axes.set_title("projection: replay and bounds; not measured")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    save(figure, path)

"""The picture of a measurement: throughput against actors, and where the time of hosts goes."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from crossmesh.cluster.scaling.explain import Explained
from crossmesh.cluster.scaling.load import devices_of
from crossmesh.cluster.scaling.measured import Measured, Shares
from crossmesh.cluster.scaling.turns import Contestant
from crossmesh.common.figures import GUIDE, panels, save, styled

_ASIDE = 1.06  # so far to the right are marks that would cover others
_MOST_BARS = 16  # beyond which only the busiest and the least busy host are drawn
_PARTS: dict[str, dict[str, Any]] = {
    "compute": {"facecolor": "0.35"},
    "message": {"facecolor": "0.75", "hatch": "////", "edgecolor": "0.2"},
    "wait": {"facecolor": "white", "edgecolor": "0.6"},
}
_BLUE = "#0072b2"
_PROJECTION: dict[str, Any] = {
    "color": _BLUE, "linewidth": 1.2, "linestyle": (0, (4, 2)),
    "marker": "o", "markersize": 4, "fillstyle": "none",
}  # fmt: skip
_BAND: dict[str, Any] = {"color": _BLUE, "alpha": 0.15, "linewidth": 0}
_NAMES = {"compute": "compute", "message": "messages", "wait": "waiting"}


def draw(measured: Measured, explained: Explained, path: Path) -> None:
    """Draw ``scaling.png``.

    Raises:
        ConfigError: If it cannot be written.
    """
    with styled():
        figure, [[throughput, time]] = panels(1, 2)
        figure.set_size_inches(8.6, 4.0)
        _throughput(throughput, measured, explained)
        _time(time, measured)
        kind = "weak" if measured.plan.is_weak else "strong"
        throughput.set_title(f"{measured.plan.config.name}: {kind} scaling")
        time.set_title("where the time of each host goes")
        for axes in (throughput, time):
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    save(figure, path)


def _throughput(axes: Axes, measured: Measured, explained: Explained) -> None:
    """Device updates per second, so that networks of several sizes compare."""
    actors = [c for c in measured.contestants if c.kind == "ray"]
    x = [c.actors for c in actors]
    targets = [p.actors for p in explained.projections]
    first = measured.first
    unit = devices_of(first.job) * measured.rate(first).median
    ends = [x[0], (targets or x)[-1]]
    axes.plot(ends, [unit * n / x[0] for n in ends], label="ideal", **GUIDE)
    for kind, mark in (("ray", "o"), ("independent", "x")):
        _points(axes, measured, [c for c in measured.contestants if c.kind == kind], mark)
    local = measured.of("local", 0)
    level = devices_of(local.job) * measured.rate(local).median
    axes.axhline(level, color="0.45", linewidth=0.9, linestyle="-.", label="without Ray")
    _model(axes, measured, explained, actors)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted({*x, *targets})))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.set_xlabel("actors")
    axes.set_ylabel("devices updated per second")


def _points(axes: Axes, measured: Measured, some: list[Contestant], mark: str) -> None:
    for is_crowded in (False, True):
        shown = [c for c in some if measured.is_crowded(c) is is_crowded]
        if not shown:
            continue
        sizes = [devices_of(c.job) for c in shown]
        rates = [measured.rate(c) for c in shown]
        y = [size * rate.median for size, rate in zip(sizes, rates, strict=True)]
        below = [size * (r.median - r.low) for size, r in zip(sizes, rates, strict=True)]
        above = [size * (r.high - r.median) for size, r in zip(sizes, rates, strict=True)]
        is_ray = mark == "o"
        name = "measured" if is_ray else "independent"
        axes.errorbar(
            [c.actors * (1.0 if is_ray else _ASIDE) for c in shown],
            y,
            [below, above],
            color="black" if not is_crowded else "0.5",
            marker=mark,
            markersize=4.5,
            linestyle="",
            capsize=2.5,
            linewidth=0.9,
            label=f"{name}, crowded" if is_crowded else name,
        )


def _model(axes: Axes, measured: Measured, explained: Explained, actors: list[Contestant]) -> None:
    """What the model says of what was measured, and dashed, what it expects of more."""
    quiet = [c for c in actors if not measured.is_crowded(c)]
    x = [c.actors for c in quiet]
    y = [devices_of(c.job) * explained.predicted[c.name] for c in quiet]
    axes.plot(x, y, color=_BLUE, linewidth=1.2, label="model")
    if not explained.projections:
        return
    unit = devices_of(measured.first.job) * measured.rate(measured.first).median
    far = explained.projections
    # The line begins where the model was last compared with a measurement.
    xs = [*x[-1:], *(p.actors for p in far)]
    ys = [*y[-1:], *(unit * p.speed_up for p in far)]
    label = "projection (doubtful)" if explained.doubts else "projection"
    axes.plot(xs, ys, label=label, **_PROJECTION)
    if (more := 1 + explained.error) > 1:
        low, high = ([y * factor for y in ys] for factor in (1 / more, more))
        axes.fill_between(xs, low, high, label="model's error", **_BAND)


def _time(axes: Axes, measured: Measured) -> None:
    """A bar for every host, grouped by the number of actors."""
    place, ticks, names = 0.0, [], []
    for contestant in measured.contestants:
        if contestant.kind == "independent":
            continue
        hosts = _shown(measured.shares(contestant))
        for host in hosts:
            _bar(axes, place, host, is_first=not place)
            place += 1
        ticks.append(place - (len(hosts) + 1) / 2)
        names.append("no Ray" if contestant.kind == "local" else str(contestant.actors))
        place += 0.7
    axes.set_xticks(ticks, names)
    axes.tick_params("x", length=0)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("actors")


def _shown(hosts: list[Shares]) -> list[Shares]:
    if len(hosts) <= _MOST_BARS:
        return hosts
    by_load = sorted(hosts, key=lambda host: host.busy)
    return [by_load[-1], by_load[0]]


def _bar(axes: Axes, place: float, host: Shares, *, is_first: bool) -> None:
    bottom = 0.0
    for part, look in _PARTS.items():
        share = getattr(host, part)
        axes.bar(place, share, 0.9, bottom, linewidth=0.5,
                 label=_NAMES[part] if is_first else None, **look)  # fmt: skip
        bottom += share

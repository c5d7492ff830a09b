"""A measurement as tables for people."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crossmesh.cluster.scaling.explain import Explained, Projected
from crossmesh.cluster.scaling.measured import Measured, Spread
from crossmesh.cluster.scaling.model import CostModel, Errors
from crossmesh.cluster.scaling.turns import Contestant

_THROUGHPUT = ("", "examples/s", "range", "speed-up", "efficiency", "model")
_HOSTS = ("", "host", "on", "tiles", "compute", "messages", "waiting")
_PROJECTION = ("actors", "nodes", "examples/s", "model's error", "speed-up", "efficiency", "busy")
_LIMITS = ("actors", "limited by", "replay", "bounds")
_UNTRUSTED = "Projection by the model; not measured, and not to be trusted: see the doubts"
_MOST_HOSTS = 8  # for which each has a line; of more, the busiest and the least busy


def print_scaling(measured: Measured, explained: Explained, console: Console) -> None:
    """Throughput, where the time went, the model, and its projection."""
    kind = "weak" if measured.plan.is_weak else "strong"
    title = f"{measured.plan.config.name}: {kind} scaling, {measured.plan.repeats} rounds"
    console.print(_table(title, _THROUGHPUT, _throughput(measured, explained)), "")
    console.print(_table("Where the time goes", _HOSTS, _hosts(measured)), "")
    for line in remarks(measured, explained):
        console.print(escape(line), highlight=False)
    if explained.projections:
        rows = map(_projected, explained.projections)
        title = _UNTRUSTED if explained.doubts else "Projection by the model; not measured"
        console.print("", _table(title, _PROJECTION, rows))
        title = "Milliseconds per micro-batch by the replay, and at least by each bound"
        console.print("", _table(title, _LIMITS, map(_limits, explained.projections)))


def _table(title: str, head: Sequence[str], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for number, name in enumerate(head):
        wraps = not number or name == _LIMITS[-1]
        table.add_column(name, justify="right" if number else "left", no_wrap=not wraps)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _throughput(measured: Measured, explained: Explained) -> Iterator[tuple[str, ...]]:
    for contestant in measured.contestants:
        rate = measured.rate(contestant)
        predicted = explained.predicted.get(contestant.name)
        relative = contestant.kind == "ray"
        yield (
            contestant.name + (" (crowded)" if measured.is_crowded(contestant) else ""),
            _rate(rate.median),
            f"{_rate(rate.low)} to {_rate(rate.high)}",
            f"{measured.speed_up(contestant).median:.2f}" if relative else "",
            f"{100 * measured.efficiency(contestant).median:.0f} %" if relative else "",
            "" if predicted is None else _rate(predicted),
        )


def _hosts(measured: Measured) -> Iterator[tuple[str, ...]]:
    for contestant in measured.contestants:
        if contestant.kind != "independent":
            yield from _hosts_of(measured, contestant)


def _hosts_of(measured: Measured, contestant: Contestant) -> Iterator[tuple[str, ...]]:
    hosts, name = measured.shares(contestant), contestant.name
    if len(hosts) > _MOST_HOSTS:
        by_load = sorted(hosts, key=lambda host: host.busy)
        hosts = [by_load[-1], by_load[0]]
        name += ", the busiest and the least busy"
    for host in hosts:
        shares = (f"{100 * share:.0f} %" for share in (host.compute, host.message, host.wait))
        yield (name, str(host.host), host.ip or "here", str(host.tiles), *shares)
        name = ""


def remarks(measured: Measured, explained: Explained) -> Iterator[str]:
    """Remarks on the figures, in sentences."""
    plan = measured.plan
    if plan.is_weak:
        yield f"{plan.growth}; speed-up and efficiency count devices updated per second"
    if (over := measured.ray_over_local) is not None:
        yield f"one actor takes {_ranged(over)} times as long as this process without Ray"
    for contestant in measured.contestants:
        if (share := measured.of_independent(contestant)) is not None:
            yield f"{contestant.name}: {_ranged(share)} of the rate of independent processes"
    yield _prices(explained.model)
    if not explained.prices_messages:
        yield "no cost of messages: measure two or more actors with a CPU each"
    yield from _errors(explained)
    for doubt in explained.doubts:
        yield f"doubt: {doubt}"


def _rate(value: float) -> str:
    """Examples per second, with three digits where they are few.

    >>> _rate(0.0512), _rate(4.2), _rate(1234.5)
    ('0.0512', '4.2', '1,234')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ranged(value: Spread) -> str:
    return f"{value.median:.3f} ({value.low:.3f} to {value.high:.3f})"


def _prices(model: CostModel) -> str:
    return (
        f"cost model: {1e12 * model.read_s:.3g} ps per crosspoint and example read, "
        f"{1e12 * model.update_s:.3g} ps updated; {1e6 * model.operation_s:.3g} us per step; "
        f"{1e6 * model.message_s:.3g} us and {1e9 * model.byte_s:.3g} ns per byte for each end of "
        "a message"
    )


def _errors(explained: Explained) -> Iterator[str]:
    known = {
        "busy seconds of hosts": explained.hosts,
        "throughput": explained.throughput,
        "throughput at actor counts excluded from the fit": explained.left_out,
        "throughput with more actors than CPUs, excluded from the fit": explained.crowded,
    }
    for what, errors in known.items():
        if errors is not None:
            yield f"model's error in {what}: {_error(errors)}"


def _error(errors: Errors) -> str:
    return f"median {100 * errors.median:.1f} %, largest {100 * errors.largest:.1f} %"


def _limits(projected: Projected) -> tuple[str, ...]:
    bounds = (f"{name} {1e3 * seconds:,.4g}" for name, seconds in projected.bounds_s.items())
    return (
        str(projected.actors),
        projected.limited_by,
        f"{1e3 * projected.interval_s:,.4g}",
        ", ".join(bounds),
    )


def _projected(projected: Projected) -> tuple[str, ...]:
    return (
        str(projected.actors),
        str(projected.nodes),
        _rate(projected.examples_per_s),
        f"{_rate(projected.low)} to {_rate(projected.high)}",
        f"{projected.speed_up:.2f}",
        f"{100 * projected.efficiency:.0f} %",
        f"{100 * projected.busy:.0f} %",
    )

"""A run that is watched, as a terminal shows it."""

from pathlib import Path

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from crossmesh.cluster.watch.state import RunState
from crossmesh.cluster.watch.words import figures, headline, place, remark
from crossmesh.emulator.runs.live_state import LiveHost, LiveState

_WIDTH = 30  # of the bars
_HEAD = 9  # lines of the view above and below the hosts
_PARTS = (("compute", "█", "green"), ("message", "▒", "yellow"), ("wait", "·", "dim"))


def picture(state: RunState, path: Path, height: int) -> Group:
    """A state as it is shown on a terminal with so many lines."""
    parts: list[Text | Table] = [Text(str(path), style="bold")]
    if live := state.live:
        parts.append(Text(headline(live)))
        parts.append(_progress(live))
        parts.append(Text(", ".join(figures(live))))
        parts.append(_table(live, max(3, height - _HEAD)))
    if state.kind != "running":
        parts.append(Text(remark(state, path), style="yellow"))
    return Group(*parts)


def _progress(live: LiveState) -> Table:
    line = Table.grid(padding=(0, 1))
    done = live.examples / live.total if live.total else 0.0
    line.add_row(ProgressBar(total=1.0, completed=done, width=60), f"{100 * done:.0f} %")
    return line


def _table(live: LiveState, most: int) -> Table:
    """Hosts, the slowest first."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("host", "on", "tiles", "time", "compute", "messages", "waiting", ""):
        left = name in {"on", "time", ""}
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    hosts = live.slowest_first
    for number, host in enumerate(hosts[:most]):
        shares = (f"{100 * getattr(host, part):.0f} %" for part, *_ in _PARTS)
        is_slowest = number == 0 and len(hosts) > 1
        note = Text("◀ slowest" if is_slowest else "", style="bold")
        where, tiles = Text(place(host, live)), str(host.tiles)
        table.add_row(str(host.host), where, tiles, _bar(host), *shares, note)
    if len(hosts) > most:
        table.add_row("", f"{len(hosts) - most} more, less busy")
    return table


def _bar(host: LiveHost) -> Text:
    """A bar whose parts differ by shape as much as by colour."""
    bar, until, drawn = Text(), 0.0, 0
    for part, sign, style in _PARTS:
        until += getattr(host, part)
        cells = round(_WIDTH * min(1.0, until)) - drawn
        bar.append(sign * cells, style)
        drawn += cells
    return bar

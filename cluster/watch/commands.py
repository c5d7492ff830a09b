"""The command ``crossmesh watch``."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live as View

from crossmesh.cluster.watch.picture import picture
from crossmesh.cluster.watch.state import RunState, RunWatcher
from crossmesh.cluster.watch.words import line
from crossmesh.emulator.cli.options import Run
from crossmesh.emulator.runs.directory import RunDirectory

LOOK_S = 0.5  # between two looks at the file
GRACE_S = 5.0  # so long may a run be without live.json before it counts as over


def watch(
    run: Run,
    once: Annotated[bool, typer.Option("--once", help="Print the current state and exit.")] = False,
) -> None:
    """Live view of the run in directory RUN, from any terminal, until it ends.

    Progress, examples per second, loss, the age of the newest checkpoint, and
    where the time of every tile host goes. The host that is busiest is the one
    that the others wait for. What is shown is what the run writes to live.json
    in its directory, about once per second.
    """
    path = RunDirectory.existing(run).path
    console = Console()
    if once:
        state = RunWatcher(path).look()
        console.print(picture(state, path, console.height) if console.is_terminal
                      else line(state, path), soft_wrap=True, highlight=False)  # fmt: skip
    elif console.is_terminal:
        state = _shown(path, console)
    else:
        state = _printed(path)
    if state.kind in {"stale", "gone"}:
        raise typer.Exit(1)


def _shown(path: Path, console: Console) -> RunState:
    with View(console=console, auto_refresh=False) as view:
        for state in _states(path):
            view.update(picture(state, path, console.height), refresh=True)
    return state


def _printed(path: Path) -> RunState:
    before = ""
    for state in _states(path):
        now = line(state, path)
        is_news = state.kind != "stale" or not before.startswith("not updated")
        if now != before and is_news:
            typer.echo(now)
            before = now
    return state


def _states(path: Path) -> Iterator[RunState]:
    """States of a run, polled until it is over."""
    watcher = RunWatcher(path)
    missing_since: float | None = None
    while True:
        state = watcher.look()
        now = time.monotonic()
        missing_since = (missing_since or now) if state.kind == "gone" else None
        if missing_since is None or now - missing_since > GRACE_S:
            yield state
            if state.kind in {"over", "gone"}:
                return
        time.sleep(LOOK_S)

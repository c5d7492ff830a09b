"""The command ``crossmesh watch``."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live as View

from crossmesh.cluster.watch.picture import picture
from crossmesh.cluster.watch.state import RunState, RunWatcher
from crossmesh.cluster.watch.words import line
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.runs.directory import RunDirectory

LOOK_S = 0.5  # between two looks at the file
GRACE_S = 5.0  # so long may a run be without live.json before it counts as over

Glance = Callable[[], Path | None]  # brings a run's files here, and says where they are
Watched = Annotated[
    Path, typer.Argument(metavar="RUN", help="Directory of a run, or the name of a launch.")
]


def watch(
    run: Watched,
    once: Annotated[bool, typer.Option("--once", help="Print the current state and exit.")] = False,
) -> None:
    """Live view of the run in directory RUN, or of a launch, from any terminal, until it ends.

    Progress, examples per second, loss, the age of the newest checkpoint, and
    where the time of every tile host goes. The host that is busiest is the one
    that the others wait for. What is shown is what the run writes to live.json
    in its directory, about once per second.
    """
    glance, is_over, pause_s = _ways_to_see(run)
    path = _begun(glance, is_over, pause_s, once=once)
    console = Console()
    if once:
        state = RunWatcher(path).look()
        console.print(picture(state, path, console.height) if console.is_terminal
                      else line(state, path), soft_wrap=True, highlight=False)  # fmt: skip
    elif console.is_terminal:
        state = _shown(path, glance, pause_s, console)
    else:
        state = _printed(path, glance, pause_s)
    if state.kind in {"stale", "gone"}:
        raise typer.Exit(1)


def _ways_to_see(run: Path) -> tuple[Glance, Callable[[], bool], float]:
    """How to see the run of a directory or of a launch, if nothing will come of it, how often."""
    from crossmesh.cluster.jobs.commands import launcher_of
    from crossmesh.cluster.launch.launched import find

    try:
        path = RunDirectory.existing(run).path
    except ConfigError as no_run:
        try:
            launched = find(str(run))
        except ConfigError:
            raise no_run from None
        launcher = launcher_of(launched)
        return (
            lambda: launcher.glance(launched),
            lambda: launcher.state(launched).is_over,
            launcher.ask_s,
        )
    return lambda: path, lambda: True, LOOK_S


def _begun(glance: Glance, is_over: Callable[[], bool], pause_s: float, *, once: bool) -> Path:
    """Where the files of a run are, which has begun or is waited for."""
    is_said = False
    while (path := glance()) is None:
        if not is_said:
            typer.echo("the run has not begun", err=True)
            is_said = True
        if is_over():
            raise typer.Exit(1)
        if once:
            raise typer.Exit
        time.sleep(pause_s)
    return path


def _shown(path: Path, glance: Glance, pause_s: float, console: Console) -> RunState:
    with View(console=console, auto_refresh=False) as view:
        for state in _states(path, glance, pause_s):
            view.update(picture(state, path, console.height), refresh=True)
    return state


def _printed(path: Path, glance: Glance, pause_s: float) -> RunState:
    before = ""
    for state in _states(path, glance, pause_s):
        now = line(state, path)
        is_news = state.kind != "stale" or not before.startswith("not updated")
        if now != before and is_news:
            typer.echo(now)
            before = now
    return state


def _states(path: Path, glance: Glance, pause_s: float) -> Iterator[RunState]:
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
        time.sleep(pause_s)
        glance()

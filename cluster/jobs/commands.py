"""The commands that follow a launch by the name that ``crossmesh launch`` printed."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from crossmesh.cluster.launch.launched import JobState, Launched, find, launches
from crossmesh.cluster.launch.launcher import Launcher
from crossmesh.common.errors import ConfigError, RunError
from crossmesh.common.supervision import interrupts

Job = Annotated[
    str, typer.Argument(metavar="JOB", help="Name of a launch, or its folder; see crossmesh jobs.")
]


def jobs(
    json_: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
    all_: Annotated[
        bool, typer.Option("--all", help="Also those that have ended and have no machines.")
    ] = False,
) -> None:
    """List the trainings that crossmesh launch has started, and how they stand.

    Begin with: crossmesh launch local digits; then, from any terminal, crossmesh jobs.
    """
    known = [(launched, _state(launched)) for launched in launches()]
    shown = [job for job in known if all_ or not job[1].is_over or job[0].has_machines]
    if json_:
        typer.echo(json.dumps([_described(*job) for job in shown], indent=1))
        return
    if shown:
        _print(shown)
    if n_ended := len(known) - len(shown):
        typer.echo(f"{n_ended} that ended: crossmesh jobs --all", err=True)
    elif not known:
        typer.echo("no launches yet; begin with: crossmesh launch local digits", err=True)


def status(
    job: Job, json_: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Say how the training of a launch stands, in one line, and where its files are.

    Exits with 0 while it is going on and when it has ended well, with 1 otherwise.
    """
    launched = find(job)
    state = launcher_of(launched).state(launched)
    if json_:
        typer.echo(json.dumps(_described(launched, state), indent=1))
    else:
        typer.echo(f"{launched.name}: {_in_words(state)}")
        typer.echo(f"run {launched.run_dir}, files in {launched.folder}")
    if state.kind in {"failed", "lost"}:
        raise typer.Exit(1)


def logs(
    job: Job,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the training has ended.")
    ] = False,
) -> None:
    """Print what the training of a launch has said."""
    launched = find(job)
    launcher_of(launched).follow(launched, to_end=follow)


def cancel(
    job: Job,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when it has ended, not when it was asked.")
    ] = False,
) -> None:
    """Ask the training of a launch to save its state and to end; machines are given back.

    Of one that has ended, what was kept is removed: machines, or the job that Kubernetes keeps.
    """
    launched = find(job)
    launcher = launcher_of(launched)
    state = launcher.state(launched)
    if state.is_over and state.kind != "lost" and not launcher.is_kept(launched):
        typer.echo(f"{launched.name} has ended already: {_in_words(state)}", err=True)
        return
    launcher.cancel(launched)
    if state.is_over:
        if launched.has_machines:  # which has been said
            raise typer.Exit(1)
        typer.echo(f"what was left of {launched.name} is removed", err=True)
        return
    while wait and not launcher.state(launched).is_over:
        interrupts.check()
        time.sleep(launcher.ask_s)
    typer.echo(f"{launched.name} {'has ended' if wait else 'was asked to end'}", err=True)


def fetch(
    job: Job,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder for the run; by default runs/JOB.")
    ] = None,
) -> None:
    """Bring the run of a launch to this machine, as far as it has come."""
    launched = find(job)
    folder = to or Path("runs") / launched.name
    launcher_of(launched).fetch(launched, folder)
    typer.echo(f"run in {folder}")


def launcher_of(launched: Launched) -> Launcher:
    """The cluster of a launch, as it was then."""
    from crossmesh.cluster.launch.loading import recorded_cluster  # every kind takes a moment

    return recorded_cluster(launched.record.cluster, launched.name)


def _state(launched: Launched) -> JobState:
    try:
        return launcher_of(launched).state(launched)
    except (ConfigError, RunError) as error:  # one must not hide the others
        return JobState("lost", str(error))


def _in_words(state: JobState) -> str:
    code = "" if state.exit_code in {None, 0} else f" (exit code {state.exit_code})"
    return f"{state.kind}{code}" + (f", {state.detail}" if state.detail else "")


def _described(launched: Launched, state: JobState) -> dict[str, object]:
    record = launched.record
    return {
        "name": launched.name,
        "kind": record.cluster.get("kind"),
        "state": state.kind,
        "detail": state.detail,
        "exit_code": state.exit_code,
        "config": record.source,
        "options": list(record.options),
        "run_dir": record.run_dir,
        "folder": str(launched.folder),
        "log": str(launched.log),
        "began": record.began,
    }


def _print(shown: list[tuple[Launched, JobState]]) -> None:
    table = Table("job", "cluster", "config", "began", "state", box=None, pad_edge=False)
    for launched, state in shown:
        record = launched.record
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.began))
        kind, config = str(record.cluster.get("kind")), Path(record.source).name
        table.add_row(launched.name, kind, config, began, _in_words(state))
    Console(width=None if Console().is_terminal else 160).print(table, highlight=False)

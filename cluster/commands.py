"""The commands of ``crossmesh`` that know several machines, beside those of one run."""

from crossmesh.cluster.jobs.commands import cancel, fetch, jobs, logs, status
from crossmesh.cluster.launch.commands import PASSING_ON, launch
from crossmesh.cluster.scaling.commands import scale
from crossmesh.cluster.watch import watch
from crossmesh.emulator.cli.main import app, run

__all__ = ["run"]

app.command(context_settings=PASSING_ON)(launch)
for command in (jobs, status, logs, cancel, fetch):
    app.command()(command)
app.command()(scale)
app.command()(watch)

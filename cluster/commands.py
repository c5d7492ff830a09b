"""The commands of ``crossmesh`` that know several machines, beside those of one run."""

from cluster.launch.commands import PASSING_ON, launch
from cluster.scaling.commands import scale
from cluster.watch import watch
from emulator.commands import app, run

__all__ = ["run"]

app.command(context_settings=PASSING_ON)(launch)
app.command()(scale)
app.command()(watch)

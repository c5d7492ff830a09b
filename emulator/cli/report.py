"""The command ``crossmesh report``."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.cli.options import DataDirectory, Quietly, where
from crossmesh.emulator.cli.printing import write_text
from crossmesh.emulator.reporting.record import RunRecord
from crossmesh.emulator.runs.progress import display

EXAMPLES = 2000


def report_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Directories of runs.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The HTML file; by default RUN/report.html, of several runs report.html here.",
        ),
    ] = None,
    examples: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Test on the first N test examples; 0: do not test again."
        ),
    ] = EXAMPLES,
    data_dir: DataDirectory = None,
    quiet: Quietly = False,
) -> None:
    """Write one HTML file on a run, or on several with a comparison.

    Learning curve beside the float32 twin, what limits accuracy, confusion matrix, weights and
    conductances by layer, pulses and saturation by tile, the chip, its timeline, environment and
    config. The newest checkpoint is read, and tested again in this process; nothing is trained.
    The file needs no network and no other file.

    Examples: [bold]crossmesh report runs/digits[/bold], or
    [bold]crossmesh report runs/digits runs/mine --out both.html[/bold].
    """
    records = [RunRecord.existing(run) for run in runs]
    file = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    if not file.absolute().parent.is_dir() or file.is_dir():
        raise ConfigError(f"--out must be a file in an existing folder, got {file}")
    from crossmesh.emulator.reporting.page import inspected, page  # Matplotlib takes a second

    with display(quiet=quiet) as callbacks:
        fields = where(None, None, data_dir)
        found = [inspected(one, fields, callbacks, examples=examples) for one in records]
        callbacks.phase("drawing", 0)
        text = page(found)
    write_text(file, text, "--out")
    typer.echo(f"report: {file}")

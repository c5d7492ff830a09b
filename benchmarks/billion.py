"""``python -m benchmarks.billion``: one billion weights, from the config to a resumed run.

Takes 14 GB of memory, 9 GB of disk and some minutes, so it is no part of ``make bench``. It prints
the table of docs/memory.md. Of a smaller network: ``--name synthetic-100m``.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.processes import Watched, watched
from crossmesh.common.free_memory import free_bytes
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.placement import tile_sizes

PHASES = ("compiling and starting", "training:", "epoch", "timing the chip")
WORDS = {
    "compiling and starting": "devices drawn, weights written",
    "training:": "one batch trained, another tested",
    "epoch": "checkpoint of {:.1f} GB written, digests",
    "timing the chip": "time, energy and area of the chip",
}


def main(
    name: Annotated[str, typer.Option(help="The shipped config.")] = "synthetic-1b",
    folder: Annotated[Path, typer.Option(help="Where checkpoints go.")] = Path(),
) -> None:
    """Train one batch, end, and resume for one more; print seconds and bytes of each phase."""
    started = time.perf_counter()
    job = prepare(load_config(name))
    mapped_s = time.perf_counter() - started
    weights = sum(rows * cols for rows, cols in (block.shape for block in job.program.blocks))
    free = (free_bytes() or 0) / 1e9
    per_weight = sum(tile_sizes(job)) / weights
    typer.echo(
        f"`{name}`: {weights:,} weights on {len(job.program.blocks):,} tiles, "
        f"{per_weight:.2f} bytes each; {free:.1f} GB free\n"
    )
    typer.echo("| what | s | peak, GB | bytes per weight |\n|---|---:|---:|---:|")
    typer.echo(_row("mapped and compiled, in one process", mapped_s, 0, weights))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".crossmesh-") as scratch:
        run = Path(scratch) / "run"
        first = watched(_command("train", name, "--run-dir", str(run)))
        saved = sum(path.stat().st_size for path in run.rglob("tile-*.arrow")) / 1e9
        digest = _digest(run)
        again = watched(_command("resume", str(run), "--epochs", "2"))
        for command, seen in (("train", first), ("resume", again)):
            for line in _rows(command, seen, saved, weights):
                typer.echo(line)
        typer.echo(f"\nstate digests: {digest[:16]} after one epoch, {_digest(run)[:16]} after two")


def _command(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "crossmesh", *words)


def _digest(run: Path) -> str:
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    return str(summary["state_digest"])


def _rows(command: str, seen: Watched, saved: float, weights: int) -> Iterator[str]:
    """A row for every phase of a command, and one for all of it."""
    times = [*(seen.said_s(phase) for phase in PHASES), seen.end_s]
    for phase, begun, ended in zip(PHASES, times, times[1:], strict=False):
        words = WORDS[phase].format(saved)
        if command == "resume" and phase == PHASES[0]:
            words = "devices drawn, checkpoint read"
        yield _row(f"{command}: {words}", ended - begun, seen.peak(begun, ended), weights)
    yield _row(f"**{command}: from the command to its end**", seen.end_s, seen.peak(), weights)


def _row(words: str, seconds: float, held: int, weights: int) -> str:
    memory = f"{held / 1e9:.2f} | {held / weights:.2f}" if held else "|"
    return f"| {words} | {seconds:.1f} | {memory} |"


if __name__ == "__main__":
    typer.run(main)

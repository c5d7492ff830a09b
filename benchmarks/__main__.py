"""``make bench``: measures, prints a table, and writes ``bench.json``."""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from itertools import chain, groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.actors import actors
from benchmarks.algorithms import algorithms
from benchmarks.cells import cells
from benchmarks.checkpoints import checkpoints
from benchmarks.convolution import convolution
from benchmarks.examples import mnist_or_stand_in
from benchmarks.figures import Figure
from benchmarks.growth import growth
from benchmarks.imported import imported
from benchmarks.interconnect import interconnect
from benchmarks.kernels import kernels
from benchmarks.large import large
from benchmarks.rebalancing import rebalancing
from benchmarks.scaling import scaling
from benchmarks.startup import startup
from benchmarks.training import on_ray, training
from benchmarks.wire import wire
from benchmarks.wires import wires
from crossmesh.common.errors import DataError

SCHEMA = 1
SUITES = (
    "kernels", "wires", "convolution", "imported", "cells", "training", "algorithms",
    "interconnect", "wire", "ray", "scaling", "growth", "checkpoints", "large", "startup", "actors",
)  # fmt: skip
ROUNDS = {False: 11, True: 5}  # by --quick
TITLES = {
    "kernels": "One tile of 512 x 512, 64 examples",
    "wires": "Wires of one array of 256 x 256, one thread",
    "convolution": "Convolutions of 3 x 3 pixels on one tile, 32 examples, one thread",
    "imported": "Networks from ONNX on ideal tiles, 32 examples, one thread",
    "cells": "The 2PCM+3T1C cell and phase-change pairs, against constant steps",
    "training": "Training 528-250-125-10 in one process, constant-step devices",
    "algorithms": "Training algorithms on soft-bounds devices, 528-250-125-10 in one process",
    "interconnect": "The interconnect, flit by flit, on one core",
    "wire": "One hop of a message between two processes that sleep",
    "ray": "Training on Ray, one tile per actor",
    "scaling": "Scaling of 24 tiles of 512 x 512 at batch 64",
    "growth": "A node that joins on a second core, and a core that is shared from some time on",
    "checkpoints": "Checkpoints of 100 million weights, written and read by two actors",
    "large": "Large networks: memory of all processes, start-up, thousands of tiles",
    "startup": "From the command to the first trained example",
    "actors": "Empty actors on one Ray instance: what the control plane costs",
}


def main(
    only: Annotated[
        str, typer.Option(metavar="A,B", help=f"Suites to run, of {', '.join(SUITES)}.")
    ] = ",".join(SUITES),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds and examples.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Folder that holds mnist/.")] = None,
    output: Annotated[Path, typer.Option(help="Where to write the figures.")] = Path("bench.json"),
) -> None:
    """Measure how fast the emulation is. Every figure is a median of rounds taken in turns."""
    suites = only.split(",")
    for suite in suites:
        if suite not in SUITES:
            _refuse(f"--only must be of {', '.join(SUITES)}, got {suite}")
    if not output.resolve().parent.is_dir():
        _refuse(f"--output must be in an existing folder, got {output}")
    console = Console(width=None if sys.stdout.isatty() else 110)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="crossmesh-") as scratch:
        try:
            data, examples = mnist_or_stand_in(data_dir, Path(scratch))
        except DataError as error:
            _refuse(str(error))
        with console.status("measuring") as status, threadpool_limits(1):
            for figure in _measured(suites, data, quick=quick):
                figures.append(figure)
                status.update(f"measuring {figure.suite}: {figure.name}")
    for suite, group in groupby(figures, lambda figure: figure.suite):
        console.print(_table(TITLES[suite], list(group)), "")
    console.print(_verdict(figures), highlight=False)
    measured = {"schema": SCHEMA, "machine": _machine(), "examples": examples, "quick": quick}
    rows = [{**asdict(figure), "reached": figure.reached} for figure in figures]
    output.write_text(json.dumps({**measured, "figures": rows}, indent=2) + "\n", "utf-8")
    console.print(f"trained on {examples}; written to {output}", highlight=False)


def _measured(suites: list[str], data: list[str], *, quick: bool) -> Iterator[Figure]:
    rounds = ROUNDS[quick]
    measured: dict[str, Callable[[], Iterator[Figure]]] = {
        "kernels": lambda: kernels(rounds),
        "wires": lambda: wires(rounds),
        "convolution": lambda: convolution(rounds),
        "imported": lambda: imported(rounds),
        "cells": lambda: cells(rounds, data, quick=quick),
        "training": lambda: training(rounds, data, quick=quick),
        "algorithms": lambda: algorithms(rounds, data, quick=quick),
        "interconnect": lambda: interconnect(rounds, quick=quick),
        "wire": lambda: wire(rounds),
        "ray": lambda: on_ray(rounds, data, quick=quick),
        "scaling": lambda: scaling(rounds, quick=quick),
        "growth": lambda: chain(growth(quick=quick), rebalancing(quick=quick)),
        "checkpoints": lambda: checkpoints(5, quick=quick),
        "large": lambda: large(quick=quick),
        "startup": lambda: startup(5),
        "actors": lambda: actors(quick=quick),
    }
    for suite in SUITES:
        if suite in suites:
            yield from measured[suite]()


def _table(title: str, figures: list[Figure]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for column in ("what", "median", "range", "unit", "aim", ""):
        table.add_column(column, justify="left" if column in {"what", "unit", ""} else "right")
    for figure in figures:
        sign = "<= " if figure.better == "low" else ">= "
        aim = "" if figure.aim is None else sign + _number(figure.aim)
        verdict = {None: "", True: "[green]reached", False: "[red]missed"}[figure.reached]
        spread = f"{_number(figure.low)} - {_number(figure.high)}"
        table.add_row(figure.name, _number(figure.value), spread, figure.unit, aim, verdict)
    return table


def _number(value: float) -> str:
    """Three digits, or all of those before the point.

    >>> [_number(value) for value in (0.01234, 1.234, 56.78, 5432.1)]
    ['0.0123', '1.23', '56.8', '5,432']
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def _verdict(figures: list[Figure]) -> str:
    aimed = [figure for figure in figures if figure.reached is not None]
    missed = [figure.name for figure in aimed if not figure.reached]
    text = f"{len(aimed) - len(missed)} of {len(aimed)} aims reached"
    return text + (f"; missed: {'; '.join(missed)}" if missed else "")


def _machine() -> dict[str, Any]:
    blas: dict[str, Any] = next(
        (part for part in threadpool_info() if part["user_api"] == "blas"), {}
    )
    packages = ("crossmesh", "numpy", "numba", "ray", "pyzmq")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "blas": " ".join(str(blas.get(key, "")) for key in ("internal_api", "version")),
        "blas_kernels": blas.get("architecture", ""),
        **{name: version(name) for name in packages},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _refuse(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    typer.run(main)

"""Chip figures of a config whose network is not trained here: of none, or of a run elsewhere."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from crossmesh.common.errors import RunError
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.chip.use import TileUse
from crossmesh.emulator.compiler.job import Job, prepare_chip
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.tiles.analog.wear import Wear


def chip_figures(config: RunConfig, run: Path | None = None) -> dict[str, Any]:
    """The section ``chip`` of a summary, without training.

    Args:
        config: The config.
        run: A finished run of the same values, on whatever chip, whose pulses, writes and
            conductances count; by default they are estimated.

    Raises:
        ConfigError: If the chip cannot hold the network or sustain the interval asked for.
        DataError: If data of one's own cannot be had: their shape decides that of the network.
    """
    job = prepare_chip(config)
    return chip_of(job, None if run is None else _uses(job, RunDirectory(run))).summary


def _uses(job: Job, run: RunDirectory) -> tuple[TileUse, ...]:
    """How a finished run has used each tile, as its tables say."""
    summary = run.read_json("summary")
    if summary is None:
        raise RunError(f"{run.path} must hold a finished run")
    wear = defaultdict[int, dict[str, Wear]](dict)
    for row in _rows(run.path / "arrays.parquet", "tile", "array", "pulses", "writes"):
        wear[row["tile"]][row["array"]] = Wear(row["pulses"], row["writes"])
    return tuple(
        TileUse.per_example(
            summary["examples_trained"],
            wear[row["tile"]],
            pulses=row["pulses"],
            repeats=row["repeats"],
            conductance=row["conductance"],
        )
        for row in _rows(run.path / "tiles.parquet", "tile", "pulses", "repeats", "conductance")
        if job.program.blocks[row["tile"]].home is None
    )


def _rows(path: Path, *columns: str) -> Iterator[dict[str, Any]]:
    yield from pq.read_table(path, columns=list(columns)).to_pylist()

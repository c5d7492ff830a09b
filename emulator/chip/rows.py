"""The tables of a chip report: a row for each tile, and one for each link."""

import pyarrow as pa

from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.report import ChipReport


def tile_columns(report: ChipReport) -> dict[str, pa.Array]:
    """What the chip adds to the table of tiles; digital memories have the place of their home."""
    program = report.time.program
    width, _ = report.time.chip.grid(len(program.crossbars))
    units = list(program.units)
    place = [report.time.pipeline.place[unit] for unit in units]
    busy = {
        f"{part}_busy": pa.array(report.time.resource_busy[units, i].tolist())
        for i, part in enumerate(TileResource)
    }
    energy = [
        None if block.home is not None else report.energy.tile_j[unit]
        for block, unit in zip(program.blocks, units, strict=True)
    ]
    return {
        "place": pa.array(place, pa.int64()),
        "x": pa.array([node % width for node in place], pa.int64()),
        "y": pa.array([node // width for node in place], pa.int64()),
        "busy": pa.array(report.time.tile_busy[units].tolist()),
        **busy,
        "energy_j_per_example": pa.array(energy, pa.float64()),
    }


def links_table(report: ChipReport) -> pa.Table:
    """Every link: routers that it joins, flits per example, load and energy."""
    flits = report.time.steady.timing.link_flits / report.time.micro_batch
    return pa.table(
        {
            "link": pa.array(range(len(flits)), pa.int64()),
            "from": pa.array(report.time.topology.links[:, 0].tolist(), pa.int64()),
            "to": pa.array(report.time.topology.links[:, 1].tolist(), pa.int64()),
            "flits_per_example": pa.array(flits.tolist(), pa.float64()),
            "load": pa.array(report.time.link_load.tolist(), pa.float64()),
            "energy_j_per_example": pa.array(report.energy.link_j.tolist(), pa.float64()),
        }
    )

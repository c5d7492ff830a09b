"""The layout as a table for people, and as objects for programs."""

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crossmesh.emulator.compiler.activations import bytes_text
from crossmesh.emulator.layout.layout import Layer, Layout, MappedMatrix
from crossmesh.emulator.network.graph import Shape

HEAD = (
    "layer", "kind", "output", "matrix", "vectors", "tiles", "used", "stage", "where", "weights",
)  # fmt: skip
_MERGED = 3  # matrices of a layer that are alike and share a row from so many on
_LEFT = {"layer", "kind", "where"}
_WIDE = 160  # characters of a line that no terminal shows
_NARROW = 110


@dataclass(frozen=True)
class MatrixGroup:
    """Matrices of a layer that follow each other and are alike but for where they lie.

    Attributes:
        every: All of them.
    """

    every: tuple[MappedMatrix, ...]

    @property
    def first(self) -> MappedMatrix:
        """The first of them."""
        return self.every[0]

    @property
    def name(self) -> str:
        """Their name, or the names of the first and the last."""
        last = self.every[-1].name.rpartition(".")[2]
        return self.first.name if len(self.every) == 1 else f"{self.first.name}..{last}"

    @property
    def used(self) -> float:
        """Share of their tiles' crosspoints that they use."""
        return sum(mapped.used for mapped in self.every) / len(self.every)


def grouped(matrices: Sequence[MappedMatrix]) -> Iterator[MatrixGroup]:
    """The matrices of a layer, many that are alike as one."""
    for _, group in itertools.groupby(matrices, key=_kind):
        same = tuple(group)
        if len(same) < _MERGED:
            yield from (MatrixGroup((mapped,)) for mapped in same)
        else:
            yield MatrixGroup(same)


def _kind(mapped: MappedMatrix) -> tuple[object, ...]:
    matrix = mapped.matrix
    size = (matrix.lines, matrix.outputs)
    tile = None if matrix.digital else (matrix.tile.rows, matrix.tile.cols)
    return (
        size,
        tile,
        matrix.vectors,
        matrix.replicas,
        mapped.stage,
        mapped.home,
        matrix.frozen,
        mapped.bias,
    )


# For people


def print_layout(layout: Layout) -> None:
    """A row for each layer, and for each matrix of those with several; then what it comes to."""
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if has_width else _WIDE)
    console.print(_table(layout, narrow=console.width < _NARROW))
    for line in ("", *total_lines(layout)):
        console.print(line, highlight=False, soft_wrap=True)


def _table(layout: Layout, *, narrow: bool) -> Table:
    """The table; a narrow one has little space between columns, and no kinds of layers."""
    kept = [i for i, name in enumerate(HEAD) if not (narrow and name == "kind")]
    padding = (0, 1, 0, 0) if narrow else (0, 1)
    table = Table(box=None, title_justify="left", pad_edge=False, padding=padding)
    for i in kept:
        wraps = HEAD[i] == "where" or (narrow and HEAD[i] == "layer")
        justify: Literal["left", "right"] = "left" if HEAD[i] in _LEFT else "right"
        table.add_column(HEAD[i], justify=justify, no_wrap=not wraps, overflow="fold")
    for row in rows(layout):
        table.add_row(*(escape(row[i]) for i in kept))
    return table


def rows(layout: Layout) -> Iterator[tuple[str, ...]]:
    """Cells under ``HEAD``."""
    yield ("input", "", shape_text(layout.input), "", "", "", "", "", "", "")
    for layer in layout.layers:
        groups = list(grouped(layer.matrices))
        if len(groups) == 1:
            yield (layer.name, layer.kind, shape_text(layer.shape), *_matrix_cells(groups[0]))
            continue
        yield (*_layer_cells(layer),)
        for group in groups:
            yield (f"  {group.name.removeprefix(layer.name)}", "", "", *_matrix_cells(group))


def _layer_cells(layer: Layer) -> tuple[str, ...]:
    """A layer whose matrices have rows of their own, or that has none."""
    first, last = layer.stages
    stage = str(first) if first == last else f"{first}-{last}"
    where = "" if layer.matrices else _where(f"digital at tile {layer.home}", frozen=layer.frozen)
    own = layer.parameters - sum(mapped.biases for mapped in layer.matrices)
    parameters = f"{own:,}" if own else ""
    return (
        layer.name, layer.kind, shape_text(layer.shape), "", "", "", "", stage, where, parameters,
    )  # fmt: skip


def _matrix_cells(group: MatrixGroup) -> tuple[str, ...]:
    first, n = group.first, len(group.every)
    matrix, is_digital = first.matrix, first.home is not None
    size = f"{'' if n == 1 else f'{n} of '}{matrix.lines:,} x {matrix.outputs:,}"
    weights = f"{sum(mapped.weights for mapped in group.every):,}"
    if is_digital:
        where = _where(f"digital at tile {first.home}", frozen=matrix.frozen)
        return size, f"{matrix.vectors:,}", "", "", str(first.stage), where, weights
    rows, cols = first.grid
    copies = "" if matrix.replicas == 1 else f" x {matrix.replicas}"
    start, stop = first.tiles[0], group.every[-1].tiles[1]
    where = _where(f"tile{f's {start}-{stop}' if stop > start else f' {start}'}",
                   frozen=matrix.frozen)  # fmt: skip
    tiles = f"{'' if n == 1 else f'{n} of '}{rows} x {cols}{copies}"
    if first.biases:
        weights += f" + {n * first.biases:,}"
    used = _percent(group.used)
    return size, f"{matrix.vectors:,}", tiles, used, str(first.stage), where, weights


def _where(place: str, *, frozen: bool) -> str:
    return f"{place}, frozen" if frozen else place


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"


def shape_text(shape: Shape) -> str:
    """A shape in few characters."""
    if shape.image:
        return f"{shape.features} x {shape.image[0]} x {shape.image[1]}"
    if shape.steps:
        return f"{shape.steps} steps x {shape.features}"
    return str(shape.features)


def total_lines(layout: Layout) -> tuple[str, str]:
    """Totals: tiles, used crosspoints, and memory of activations in the emulation."""
    tile, activations = layout.tile, layout.activations
    training, evaluation = map(sum, (activations.training, activations.evaluation))
    size = f" of {tile.rows} x {tile.cols}" if tile else ""
    parts = [
        f"{_count(layout.n_tiles, 'tile')}{size}, {_percent(layout.used)} of the crosspoints used",
        _count(layout.weights, "weight"),
        *([_count(layout.parameters, "digital parameter")] if layout.parameters else []),
        _count(layout.program.n_stages, "stage"),
    ]
    return "; ".join(parts), (
        f"activations up to {bytes_text(training)} in training, {bytes_text(evaluation)} in tests"
    )


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


# For programs


def layout_json(layout: Layout) -> dict[str, Any]:
    """The layout as JSON objects."""
    return {
        "name": layout.name,
        "input": _shape_json(layout.input),
        "layers": [_layer_json(layer) for layer in layout.layers],
        "total": {
            "tiles": layout.n_tiles,
            "weights": layout.weights,
            "digital_numbers": layout.parameters,
            "stages": layout.program.n_stages,
            "crosspoints_used": layout.used,
            "activation_bytes": {
                "training": sum(layout.activations.training),
                "evaluation": sum(layout.activations.evaluation),
            },
        },
    }


def _layer_json(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "output": _shape_json(layer.shape),
        "stages": list(layer.stages),
        "matrices": [_matrix_json(mapped) for mapped in layer.matrices],
        "digital_numbers": layer.parameters,
        "digital_at_tile": layer.home,
        "frozen": layer.frozen,
    }


def _matrix_json(mapped: MappedMatrix) -> dict[str, Any]:
    matrix, is_digital = mapped.matrix, mapped.home is not None
    return {
        "name": mapped.name,
        "word_lines": matrix.lines,
        "bit_lines": matrix.outputs,
        "vectors": matrix.vectors,
        "vectors_per_tile": mapped.busiest,
        "rows_of_blocks": mapped.grid[0],
        "columns_of_blocks": mapped.grid[1],
        "replicas": matrix.replicas,
        "tiles": None if is_digital else list(mapped.tiles),
        "digital_at_tile": mapped.home,
        "crosspoints_used": None if is_digital else mapped.used,
        "stage": mapped.stage,
        "weights": mapped.weights,
        "bias": mapped.bias,
        "frozen": matrix.frozen,
    }


def _shape_json(shape: Shape) -> dict[str, Any]:
    return {
        "features": shape.features,
        "image": list(shape.image) if shape.image else None,
        "steps": shape.steps,
    }

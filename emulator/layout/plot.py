"""The picture of a layout: the floor plan, and what drives the tiles of each matrix."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.common.figures import save, styled
from crossmesh.emulator.chip.placement import place_program
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.chip import Chip
from crossmesh.emulator.layout.layout import Layout
from crossmesh.emulator.layout.table import MatrixGroup, grouped, total_lines
from crossmesh.tiles.analog.block import Block

_FEW = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#77aadd")
_GAP = 0.1  # of a place, between tiles
_PALE = 0.82  # white in the color of crosspoints that are not used
_FEWEST_BARS = 8  # that the panel has room for, so that none is thick
_FLOOR_POINTS = 330  # of the floor plan's longer side
_READABLE = 4.0  # points of the smallest letters
_STAGE_POINTS = 7  # side of a tile that has room for the number of its stage
_CHARACTER = 0.68  # width of one, of the size of the font
_NAME_SIZE = 6.5
_BAR_POINTS = 200  # of the longest bar and the figures behind it
_HALO = [withStroke(linewidth=1.4, foreground="white")]
_MOST_BARS = 70  # whose names fit


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Matrices that are alike, as they are shown.

    Attributes:
        group: The matrices.
        layer: Name of their layer.
        color: Color of their layer.
    """

    group: MatrixGroup
    layer: str
    color: tuple[float, float, float]

    @property
    def blocks(self) -> Iterator[Block]:
        """Their tiles."""
        return itertools.chain.from_iterable(mapped.blocks for mapped in self.group.every)


def draw_layout(layout: Layout, job: Job, output: Path) -> None:
    """Draw the floor plan, and beside it the vectors that drive each matrix, into a file.

    Raises:
        ConfigError: If the chip cannot hold the program, or the file cannot be written.
    """
    with styled():
        save(drawn(layout, job), output)


def drawn(layout: Layout, job: Job) -> Figure:
    """The picture itself."""
    chip, program = job.config.chip, layout.program
    try:
        chip.grid(layout.n_tiles)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    span = job.epoch(0)
    nodes = place_program(
        program, chip, span.schedule, span.micro_batch, seed=job.config.seed
    ).place
    numbers = (block.tile for block in program.crossbars)
    place = dict(zip(numbers, nodes, strict=True))
    shown = _shown(layout)
    height = min(max(4.4, 0.15 * len(shown) + 1.2), 12.0)
    figure = Figure(figsize=(8.8, height), layout="constrained")
    floor, bars = figure.subplots(1, 2, width_ratios=(1.45, 1))
    _Floor(floor, chip, layout, place).draw(shown)
    _bars(bars, shown)
    figure.suptitle(f"{layout.name}: {total_lines(layout)[0]}", fontsize=8)
    return figure


def _shown(layout: Layout) -> list[Shown]:
    """What lies on tiles, with colors: few that differ much, or many in the order of layers."""
    found = []
    for layer in layout.layers:
        on_tiles = [mapped for mapped in layer.matrices if mapped.home is None]
        found += [(layer.name, group) for group in grouped(on_tiles)]
    names = list(dict.fromkeys(name for name, _ in found))
    color = dict(zip(names, _colors(len(names)), strict=True))
    return [Shown(group=group, layer=name, color=color[name]) for name, group in found]


def _colors(n: int) -> list[tuple[float, float, float]]:
    if n <= len(_FEW):
        return [to_rgb(color) for color in _FEW[:n]]
    every = colormaps["turbo"](np.linspace(0.06, 0.94, n))[:, :3]
    pale = np.where(np.arange(n) % 2, 0.45, 0.1)[:, None]  # so that neighbours differ
    return [(r, g, b) for r, g, b in (every + (1 - every) * pale).tolist()]


class _Floor:
    """The floor plan, tile by tile.

    Args:
        axes: Where it is drawn.
        chip: The chip.
        layout: What lies on it.
        place: Node of each tile.
    """

    def __init__(self, axes: Axes, chip: Chip, layout: Layout, place: dict[int, int]) -> None:
        self._axes, self._layout, self._place = axes, layout, place
        self._width, self._height = chip.grid(layout.n_tiles)
        tiles = [mapped.matrix.tile for mapped in layout.on_tiles]
        self._most = max(tile.rows for tile in tiles), max(tile.cols for tile in tiles)
        self._points = _FLOOR_POINTS / max(self._width, self._height)
        self._line = min(0.5, 0.02 * self._points)

    def draw(self, shown: Sequence[Shown]) -> None:
        """Draw everything."""
        axes = self._axes
        self._free()
        self._tiles(shown)
        self._digital()
        self._names(shown)
        axes.set_xlim(-0.02, self._width + 0.02)
        axes.set_ylim(self._height + 0.02, -0.02)
        axes.set_aspect("equal")
        axes.set_axis_off()
        self._legend()

    def _corner(self, tile: int) -> tuple[float, float]:
        y, x = divmod(self._place[tile], self._width)
        return x + _GAP / 2, y + _GAP / 2

    def _rectangle(self, tile: int, lines: tuple[int, int]) -> Rectangle:
        """So many word lines, downwards, and bit lines, of a tile."""
        rows, cols = ((1 - _GAP) * n / most for n, most in zip(lines, self._most, strict=True))
        return Rectangle(self._corner(tile), cols, rows)

    def _free(self) -> None:
        """Places without a tile."""
        taken = set(self._place.values())
        free = [
            Rectangle(
                (node % self._width + _GAP / 2, node // self._width + _GAP / 2), *[1 - _GAP] * 2
            )
            for node in range(self._width * self._height)
            if node not in taken
        ]
        self._add(free, facecolor="none", edgecolor="0.8", linewidth=self._line, linestyle=":")

    def _tiles(self, shown: Sequence[Shown]) -> None:
        """Every tile, pale and at its size, and in it what is used; copies are hatched."""
        for each in shown:
            config = each.group.first.matrix.tile
            size = (config.rows, config.cols)
            pale = tuple(_PALE + (1 - _PALE) * part for part in each.color)
            for hatch in (None, "//////"):
                blocks = [block for block in each.blocks if (hatch is None) is (block.copy == 0)]
                self._add(
                    [self._rectangle(block.tile, size) for block in blocks],
                    facecolor=pale, edgecolor=each.color, linewidth=self._line, hatch=hatch,
                )  # fmt: skip
                self._add(
                    [self._rectangle(block.tile, block.shape) for block in blocks],
                    facecolor=each.color, edgecolor=pale, linewidth=0, hatch=hatch,
                )  # fmt: skip

    def _add(self, patches: Sequence[Rectangle], **looks: object) -> None:
        if patches:
            self._axes.add_collection(PatchCollection(patches, **looks))  # type: ignore[arg-type]  # Matplotlib types no looks

    def _digital(self) -> None:
        """A mark on tiles whose digital unit holds numbers."""
        homes = sorted({b.home for b in self._layout.program.blocks if b.home is not None})
        if homes:
            at = np.array([self._corner(home) for home in homes]) + (1 - _GAP - 0.09)
            size = min(3.5, 0.14 * self._points)
            self._axes.plot(at[:, 0], at[:, 1], "D", color="black", markersize=size, mew=0)

    def _names(self, shown: Sequence[Shown]) -> None:
        """What is written on the tiles: all that there is room for."""
        names = list(self._one_name_each(shown))
        longest = max(len(mapped.name) for each in shown for mapped in each.group.every)
        size = min(7.0, 0.86 * self._points / (_CHARACTER * max(longest, 4)))
        if size >= _READABLE:
            self._every_name(shown, size)
            self._axes.set_title("number and matrix of every tile")
        elif len(names) < len(shown) and self._points >= _STAGE_POINTS:
            self._stages(shown)
            self._axes.set_title("stage of every tile")
        else:
            self._axes.set_title("matrices on the tiles")
            for x, y, name in names:
                self._write(x, y, name, _NAME_SIZE)

    def _every_name(self, shown: Sequence[Shown], size: float) -> None:
        """Number and matrix of every tile."""
        for each in shown:
            for mapped in each.group.every:
                for block in mapped.blocks:
                    x, y = self._corner(block.tile)
                    text = f"{block.tile}\n{mapped.name}"
                    self._write(x + (1 - _GAP) / 2, y + (1 - _GAP) / 2, text, size)

    def _stages(self, shown: Sequence[Shown]) -> None:
        """Stage of every tile."""
        for each in shown:
            for block in each.blocks:
                x, y = self._corner(block.tile)
                stage = str(each.group.first.stage)
                self._write(x + (1 - _GAP) / 2, y + (1 - _GAP) / 2, stage, 0.34 * self._points)

    def _one_name_each(self, shown: Sequence[Shown]) -> Iterator[tuple[float, float, str]]:
        """Each matrix once, where most of its tiles are, unless that hides another's name."""
        height = 1.3 * _NAME_SIZE / self._points
        taken: list[tuple[float, float, float]] = []
        for each in sorted(shown, key=lambda each: -len(list(each.blocks))):
            at = np.array([self._corner(block.tile) for block in each.blocks]) + (1 - _GAP) / 2
            middle: NDArray[np.float64] = at.mean(axis=0)
            x, y = map(float, at[np.argmin(((at - middle) ** 2).sum(axis=1))])
            half = _CHARACTER * _NAME_SIZE * len(each.group.name) / self._points / 2
            if all(abs(x - u) >= half + w or abs(y - v) >= height for u, v, w in taken):
                taken.append((x, y, half))
                yield x, y, each.group.name

    def _write(self, x: float, y: float, text: str, size: float) -> None:
        self._axes.text(
            x, y, text, ha="center", va="center", fontsize=size, linespacing=1.15,
            path_effects=_HALO,
        )  # fmt: skip

    def _legend(self) -> None:
        blocks = self._layout.program.blocks
        marks: list[object] = [
            Patch(facecolor="0.45", label="used crosspoints"),
            Patch(facecolor="0.9", edgecolor="0.45", linewidth=0.5, label="crosspoints not used"),
        ]
        if any(block.copies > 1 for block in blocks):
            marks.append(Patch(facecolor="0.9", edgecolor="0.45", hatch="//////", label="copy"))
        if any(block.home is not None for block in blocks):
            marks += self._axes.plot(
                [], [], "D", color="black", markersize=3, label="parameters in the digital unit"
            )
        self._axes.legend(
            handles=marks, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=len(marks)
        )


def _bars(axes: Axes, shown: Sequence[Shown]) -> None:
    """Vectors per example that drive the busiest tile of each matrix, and without copies."""
    y = np.arange(len(shown))
    before = [each.group.first.matrix.vectors for each in shown]
    after = [each.group.first.busiest for each in shown]
    colors = [each.color for each in shown]
    axes.barh(y, after, color=colors, height=0.72)
    copied = [i for i in range(len(shown)) if before[i] != after[i]]
    axes.barh(
        copied, [before[i] for i in copied], height=0.72,
        facecolor="none", edgecolor=[colors[i] for i in copied], linewidth=0.8,
    )  # fmt: skip
    most, longest = max(after), 0.0
    size = 7.0 if len(shown) <= 45 else 5.0
    for i, each in enumerate(shown):
        copies = each.group.first.matrix.replicas
        text = f"{after[i]:,}" if copies == 1 else f"{before[i]:,} / {copies} = {after[i]:,}"
        weight = "bold" if after[i] == most else "normal"
        axes.annotate(
            text, (before[i], i), (3, 0), textcoords="offset points", va="center", fontsize=size,
            weight=weight,
        )  # fmt: skip
        beside = _CHARACTER * size * len(text)
        longest = max(longest, before[i] * _BAR_POINTS / (_BAR_POINTS - beside))
    if len(shown) <= _MOST_BARS:
        names = [f"{each.group.name}  ({each.group.first.stage})" for each in shown]
        axes.set_yticks(y, names, fontsize=size)
    else:
        axes.set_yticks([])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.set_ylim(max(len(shown), _FEWEST_BARS) - 0.4, -0.6)
    axes.set_xlim(0, longest)
    axes.set_xlabel("vectors per example that drive each tile\n(the most set the pace of arrays)")
    axes.set_title("matrix (stage)" + ("; outlined: without copies" if copied else ""))

"""The floor plan of a chip, to scale: how busy its tiles are and what its links carry."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from crossmesh.common.prefixes import scale_of
from crossmesh.emulator.chip.pictures.shapes import (
    Floats,
    Numbers,
    norm_of,
    polygons,
    rectangles,
    shades,
    strips,
)
from crossmesh.emulator.chip.report import ChipReport

# Of a place, from its corner, where the router is; the rest is the tile.
_ROUTER, _ROUTER_SIDE = 0.16, 0.1
_TILE, _TILE_SIDE = 0.38, 0.58
_LINK, _ASIDE = 0.055, 0.04  # width of a link, and its distance from the middle of both
_DENSE, _BROADER = 24, 1.8  # places in a row from which links are broader and tiles have no edge
_INTO = 0.07  # a tile, so that its links are seen to end there
_NEAR = 1.5  # places between routers that are neighbors
_ABOVE = (0.34, -0.16)  # from the middle of what a router without a tile joins
_STUB = 0.3  # of a link round a torus
_MOST_NUMBERED = 144  # tiles whose numbers fit
_MOST_PRIVATE = 2_000  # long links that can be told apart
_LARGEST_LETTERS, _PLAN_POINTS = 8.0, 200.0
_BESIDE: dict[str, Any] = {"shrink": 0.9, "pad": 0.03, "aspect": 25}
_DARK = 0.55  # share of the color scale from which letters are white


def draw_floor(axes: Axes, report: ChipReport) -> None:
    """Tiles with their busy share; links between routers, and between each and its tile."""
    plan = _FloorPlan(axes, report)
    plan.tiles()
    plan.links()
    plan.routers()
    plan.finish()


class _FloorPlan:
    """The panel, whose axes are in units of length.

    Args:
        axes: Where it is drawn.
        report: The report.
    """

    def __init__(self, axes: Axes, report: ChipReport) -> None:
        self._axes, self._time = axes, report.time
        self._columns, self._rows = report.time.chip.grid(len(report.time.program.crossbars))
        self._is_dense = max(self._columns, self._rows) >= _DENSE
        pitch = 1e-3 * float(np.sqrt(report.area.tile_mm2)) or 1e-3
        self._has_scale = report.area.tile_mm2 > 0
        self._scale = scale_of(pitch * max(self._columns, self._rows), "m")
        self._pitch = pitch / self._scale.size

    def tiles(self) -> None:
        """Every tile, and the places that are free."""
        axes, place = self._axes, np.array(self._time.pipeline.place)
        free = np.setdiff1d(np.arange(self._columns * self._rows), place)
        axes.add_collection(
            polygons(
                self._squares(free), facecolor="none", edgecolor="0.8", linewidth=0.4, label="free"
            )
        )
        busy = 100 * self._time.tile_busy
        norm = norm_of(busy)
        tiles = polygons(
            self._squares(place), array=busy, cmap=shades("Blues", 0.2), norm=norm,
            edgecolor="0.4", linewidth=0 if self._is_dense else 0.4, label="tiles",
            snap=False,
        )  # fmt: skip
        axes.add_collection(tiles)
        axes.figure.colorbar(tiles, ax=axes, label="busy share of a tile (%)", **_BESIDE)
        if len(place) <= _MOST_NUMBERED and norm is not None:
            self._numbers(place, np.asarray(norm(busy)))

    def _numbers(self, place: Numbers, darkness: Floats) -> None:
        side = _PLAN_POINTS * _TILE_SIDE / max(self._columns, self._rows)
        size = min(_LARGEST_LETTERS, 0.45 * side)
        middle = (self._corners(place) + _TILE + _TILE_SIDE / 2) * self._pitch
        for block, (x, y), dark in zip(self._time.program.crossbars, middle, darkness, strict=True):
            color = "white" if dark > _DARK else "black"
            self._axes.text(
                x, y, str(block.tile), ha="center", va="center", size=size, color=color, zorder=5
            )

    def links(self) -> None:
        """Each direction of a link on its own side, the darker the more it carries."""
        between, load = self._between_routers()
        own, own_load = self._own_ports()
        loads = np.concatenate([load, own_load])
        norm = norm_of(loads)
        if norm is None:
            return
        lines = polygons(
            np.concatenate([between, own]) * self._pitch, array=np.ma.masked_equal(loads, 0),
            cmap=shades("YlOrRd", 0.3), norm=norm, label="links", snap=False,
        )  # fmt: skip
        self._axes.add_collection(lines)
        self._axes.figure.colorbar(
            lines, ax=self._axes, label="load of a link (flits per cycle)", **_BESIDE
        )

    def routers(self) -> None:
        """Every router, also those without a tile."""
        corners = (self._routers() - _ROUTER_SIDE / 2) * self._pitch
        side = _ROUTER_SIDE * self._pitch
        self._axes.add_collection(
            polygons(
                rectangles(corners[:, 0], corners[:, 1], side, side),
                facecolor="0.25",
                label="routers",
            )
        )

    def _between_routers(self) -> tuple[Floats, Floats]:
        """Corners and loads of the links between routers, in places."""
        topology, load = self._time.topology, self._time.link_load
        at, ends = self._routers(), topology.links
        start, stop = at[ends[:, 0]], at[ends[:, 1]]
        length = np.linalg.norm(stop - start, axis=1)
        if topology.is_grid and len(ends):  # those round a torus leave the plan at its edges
            away = (length > _NEAR)[:, None]
            unit = (stop - start) / length[:, None]
            stop = np.where(away, start - _STUB * unit, stop)
        elif len(ends) > _MOST_PRIVATE:
            most = np.argsort(load)[-_MOST_PRIVATE:]
            start, stop, load = start[most], stop[most], load[most]
        return self._one_sided(start, stop), load

    def _own_ports(self) -> tuple[Floats, Floats]:
        """Corners and loads of the links between every router and its tile, in places."""
        place = np.array(self._time.pipeline.place)
        router = self._routers()[place]
        tile = self._corners(place) + _TILE + _INTO
        into, out = (
            through[place] / self._time.interval_cycles for through in self._time.own_ports
        )
        ends = np.concatenate([router, tile]), np.concatenate([tile, router])
        return self._one_sided(*ends), np.concatenate([into, out])

    def _corners(self, nodes: Numbers) -> Floats:
        """``(n, 2)`` upper left corner of places."""
        return np.stack([nodes % self._columns, nodes // self._columns], axis=1).astype(float)

    def _routers(self) -> Floats:
        """``(routers, 2)`` middle of each; those without a tile lie amid what they join."""
        topology = self._time.topology
        at = self._corners(np.arange(topology.n_routers)) + _ROUTER
        for router in range(topology.n_nodes, topology.n_routers):
            below = topology.neighbors[router]
            at[router] = at[below[(below >= 0) & (below < router)]].mean(axis=0) + _ABOVE
        return at

    def _squares(self, nodes: Numbers) -> Floats:
        corners = (self._corners(nodes) + _TILE) * self._pitch
        side = _TILE_SIDE * self._pitch
        return rectangles(corners[:, 0], corners[:, 1], side, side)

    def _one_sided(self, start: Floats, stop: Floats) -> Floats:
        """Corners of lines beside the straight line, each direction on its own side."""
        factor = _BROADER if self._is_dense else 1.0
        along = (stop - start) / np.linalg.norm(stop - start, axis=1, keepdims=True)
        aside = factor * _ASIDE * np.stack([-along[:, 1], along[:, 0]], axis=1)
        gap = _ROUTER_SIDE / 2 * along
        return strips(start + gap + aside, stop - gap + aside, factor * _LINK)

    def finish(self) -> None:
        """Axes as large as the chip."""
        axes = self._axes
        axes.set_xlim(0, self._columns * self._pitch)
        axes.set_ylim(self._rows * self._pitch, 0)
        axes.set_aspect("equal")
        axes.locator_params(nbins=5)
        if self._has_scale:
            axes.set_xlabel(f"floor plan ({self._scale.unit})")
            axes.set_ylabel(f"({self._scale.unit})")
        else:
            axes.set_axis_off()
        n, name = len(self._time.program.crossbars), self._time.topology.name
        axes.set_title(f"{n:,} tile{'s' * (n > 1)}, {name.replace('_', ' ')}")

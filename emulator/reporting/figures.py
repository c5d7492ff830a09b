"""Figures of a report: weights and conductances, confusions, tiles, the timeline."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crossmesh.common.figures import panels, styled
from crossmesh.common.prefixes import scale_of
from crossmesh.emulator.training.diagnosis.views import Histogram, LayerView, TileView

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "0.55"
_COLORS = (_BLUE, _ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_PURPOSES = {
    "forward": "#4c72b0",
    "backward": "#d1773c",
    "update": "#c9a227",
    "transfer": "#62a37e",
    "loss": "#8a3b8f",
}
_WRITTEN = 20  # classes whose counts are written into the matrix
_MOST_TRACKS = 24
_ON_DARK, _ON_PALE = "#fefefe", "#101010"


def plain(text: str) -> str:
    """A name as Matplotlib shows it, which takes dollars for formulas."""
    return text.replace("$", r"\$")


def histograms(layer: LayerView) -> Figure:
    """Weights of a layer and its conductances."""
    with styled():
        figure, (axes,) = panels(1, 1 + bool(layer.arrays))
        _stairs(axes[0], layer.weights, color=_BLUE, fill=True, alpha=0.35)
        _stairs(axes[0], layer.weights, color=_BLUE)
        axes[0].set_xlabel("weight")
        axes[0].set_ylabel("cells")
        cell = layer.state.tile.cell
        if not cell.holds_anything:
            for sign in (-1, 1):
                axes[0].axvline(sign * cell.reach * layer.state.scale, color=_GREY, linestyle=":")
        axes[0].set_title(plain(layer.state.name), loc="left", fontweight="bold")
        if layer.arrays:
            _arrays(axes[1], layer.arrays)
    return figure


def _arrays(axes: Axes, arrays: Sequence[tuple[str, Histogram]]) -> None:
    for number, (factor, array) in enumerate(arrays):
        color, label = _COLORS[number % len(_COLORS)], f"array {number}, counts {factor}"
        seen = np.flatnonzero(array.counts)
        if len(seen) > 1:
            _stairs(axes, array, color=color, label=label)
        else:  # such as references, all alike
            value = float(array.edges[seen[0] : seen[0] + 2].mean())
            axes.axvline(value, color=color, linestyle=(0, (4, 2)), label=f"{label}: all alike")
    axes.set_xlabel("conductance, share of a device's range")
    axes.set_ylabel("devices")
    axes.set_ylim(bottom=0)
    if len(arrays) > 1:
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize=6, columnspacing=1.0
        )


def _stairs(axes: Axes, histogram: Histogram, **style: Any) -> None:
    axes.stairs(histogram.counts, histogram.edges, **style)


def confusion(counts: NDArray[np.int64]) -> Figure:
    """Share of each true class's outputs by answer; counts where they fit."""
    n = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with styled():
        side = min(0.32 * n + 1.2, 6.0)
        figure = Figure(figsize=(max(side, 3.0) + 0.6, max(side, 3.0)), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if n <= _WRITTEN:
            for row, column in zip(*counts.nonzero(), strict=True):
                color = _ON_DARK if shares[row, column] > 0.5 else _ON_PALE
                axes.text(
                    column, row, f"{counts[row, column]:,}", color=color, ha="center",
                    va="center", fontsize=6,
                )  # fmt: skip
            axes.set_xticks(range(n))
            axes.set_yticks(range(n))
        axes.set_xlabel("answer of the network")
        axes.set_ylabel("true class")
        figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    return figure


def most_confused(counts: NDArray[np.int64], most: int = 8) -> list[tuple[int, int, int, float]]:
    """True class, answer, count and share of the class, of the most frequent mistakes."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(order, counts.shape)
    return [
        (int(row), int(column), int(wrong[row, column]), wrong[row, column] / counts[row].sum())
        for row, column in zip(rows, columns, strict=True)
        if wrong[row, column]
    ]


def by_tile(tiles: Sequence[TileView]) -> Figure:
    """Pulses, saturation and repeated reads of every tile, as far as its cells have them."""
    numbers = np.array([tile.report.tile for tile in tiles])
    sizes = np.array([tile.report.rows * tile.report.cols for tile in tiles])
    shown = {"repeats per forward read": np.array([tile.repeats for tile in tiles])}
    if any(tile.at_bounds is not None for tile in tiles):
        shares = np.array([100 * (tile.at_bounds or 0.0) for tile in tiles])
        pulses = np.array([tile.report.pulses for tile in tiles]) / sizes
        shown = {
            "pulses on lines per crosspoint": pulses, "cells at a bound, %": shares, **shown,
        }  # fmt: skip
    layers = list(dict.fromkeys(tile.report.layer for tile in tiles))
    colors = [_COLORS[layers.index(tile.report.layer) % len(_COLORS)] for tile in tiles]
    with styled():
        figure, (axes,) = panels(1, len(shown))
        for each, (label, values) in zip(axes, shown.items(), strict=True):
            each.vlines(numbers, 0, values, colors=colors, linewidth=0.8 if len(tiles) > 40 else 4)
            each.set_ylabel(label)
            each.set_xlabel("tile, colored by layer")
            each.set_ylim(bottom=0)
            each.xaxis.set_major_locator(MaxNLocator(integer=True))
            each.margins(x=0.12 if len(tiles) < 8 else 0.02)
    return figure


def timeline(trace: Mapping[str, Any]) -> Figure | None:
    """Tracks of tiles' resources against emulated time; None if there is nothing to show.

    Args:
        trace: Contents of ``trace.json``.
    """
    names, slices = _tracks(trace)
    if not slices:
        return None
    shown = sorted(slices, key=_in_order)[:_MOST_TRACKS]
    end_s = 1e-6 * max(start + length for track in shown for start, length, _ in slices[track])
    scale = scale_of(end_s, "s")
    factor = 1e-6 / scale.size
    with styled():
        figure = Figure(figsize=(9.3, 0.17 * len(shown) + 0.9), layout="constrained")
        axes = figure.subplots()
        for purpose, color in _PURPOSES.items():
            corners = [
                _box(factor * start, factor * length, row)
                for row, track in enumerate(shown)
                for start, length, kind in slices[track]
                if kind == purpose
            ]
            if corners:
                axes.add_collection(PolyCollection(corners, facecolor=color, label=purpose))
        axes.set_xlim(0, end_s / scale.size)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_yticks(range(len(shown)), [plain(names[track]) for track in shown], fontsize=6)
        axes.set_xlabel(f"emulated time ({scale.unit})")
        figure.legend(loc="outside upper right", ncols=len(_PURPOSES))
    return figure


_Track = tuple[str, str]


def _tracks(
    trace: Mapping[str, Any],
) -> tuple[dict[_Track, str], dict[_Track, list[tuple[float, float, str]]]]:
    """Names of tracks, and their slices: start and length in microseconds, and what is done."""
    tiles: dict[str, str] = {}
    parts: dict[_Track, str] = {}
    slices: dict[_Track, list[tuple[float, float, str]]] = {}
    for event in _events(trace):
        track = (str(event["pid"]), str(event["tid"]))
        if event["name"] == "process_name":
            tiles[track[0]] = str(_argument(event))
        elif event["name"] == "thread_name":
            parts[track] = str(_argument(event))
        elif event["ph"] == "X":
            slices.setdefault(track, []).append((event["ts"], event["dur"], str(event.get("cat"))))
    names = {
        (tile, part): f"{tiles.get(tile, f'tile {tile}')}: {parts.get((tile, part), part)}"
        for tile, part in slices
    }
    return names, slices


def _events(trace: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a timeline shows; events of another form are left out."""
    events = trace.get("traceEvents")
    for event in events if isinstance(events, list) else ():
        if not isinstance(event, dict) or not {"name", "ph", "pid", "tid"} <= event.keys():
            continue
        if event["ph"] != "X" or all(isinstance(event.get(n), int | float) for n in ("ts", "dur")):
            yield event


def _argument(event: Mapping[str, Any]) -> str:
    """The name that an event gives to a track."""
    args = event.get("args")
    return str(args.get("name")) if isinstance(args, dict) else ""


def _in_order(track: _Track) -> tuple[int, str, str]:
    """Tracks by number, not by digits."""
    return len(track[0]), *track


def _box(start: float, length: float, row: int) -> list[tuple[float, float]]:
    top, bottom = row - 0.38, row + 0.38
    return [(start, top), (start + length, top), (start + length, bottom), (start, bottom)]

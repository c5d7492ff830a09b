"""What of a device costs accuracy: a study in which one property at a time is made ideal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.characterisation.ideals import idealised
from crossmesh.emulator.config.loading import load_cell
from crossmesh.emulator.study.config import Study, validated
from crossmesh.emulator.study.files import write_text
from crossmesh.emulator.study.table import markdown_rows
from crossmesh.tiles.analog.cells import Ideal
from crossmesh.tiles.analog.devices import DEVICES

AS_IT_IS, IDEAL = "as it is", "ideal weights"
SEEDS = (0, 1, 2)
HEAD = ("made ideal", "accuracy, %", "gain, points", "standard error")
_LEGEND = (
    "Test accuracy, mean over the seeds, and what it gains if one property of the device is made "
    "ideal; the standard error is that of the mean difference of the same seeds."
)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What a property costs.

    Attributes:
        made_ideal: The property, ideal.
        accuracy: Mean test accuracy.
        gain: Mean difference to the device as it is.
        error: Standard error of that; None for one seed.
        gains: Differences, one per seed.
    """

    made_ideal: str
    accuracy: float
    gain: float
    error: float | None
    gains: tuple[float, ...]


def hurts_study(device: str, config: str) -> Study:
    """The study of a device on a config's network.

    Args:
        device: A shipped device, a device file, or a kind.
        config: A config file, or a shipped config by name.

    Raises:
        ConfigError: If the device is a number, of which nothing is to be made ideal.
    """
    cell: Any = DEVICES[device]() if device in DEVICES else None
    cell = cell or (Ideal() if device == "ideal" else load_cell(device))
    if cell.holds_anything:
        raise ConfigError(f"--what-hurts must name a device that pulses move, got {device}")
    cells = {AS_IT_IS: cell.model_dump(mode="json"), **idealised(cell), IDEAL: {"kind": "ideal"}}
    path = Path(config)
    where = str(path.absolute()) if path.is_file() else config
    runs = [{"config": where, "title": title, "set": {"tile.cell": tree}}
            for title, tree in cells.items()]  # fmt: skip
    stem = "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(device).stem)
    return validated({"name": f"what-hurts-{stem}"[:80], "seeds": SEEDS, "runs": runs})


def gains(table: pa.Table) -> list[Gain]:
    """Properties by what they cost, the dearest first; ideal weights last.

    Raises:
        ConfigError: If the network has no accuracy.
    """
    rows = [row for row in table.to_pylist() if row["failure"] is None]
    if all(row["test_accuracy"] is None for row in rows):
        raise ConfigError("--config must name a network that tells classes apart, "
                          "got one without an accuracy")  # fmt: skip
    by_title: dict[str, dict[int, float]] = {}
    for row in rows:
        by_title.setdefault(row["title"], {})[row["seed"]] = row["test_accuracy"]
    base = by_title.pop(AS_IT_IS, {})
    found = [
        _gain(title, mine, base) for title, mine in by_title.items() if mine.keys() & base.keys()
    ]
    found.sort(key=lambda gain: (gain.made_ideal == IDEAL, -gain.gain))
    return found


def _gain(title: str, mine: dict[int, float], base: dict[int, float]) -> Gain:
    seeds = sorted(mine.keys() & base.keys())
    each = np.array([mine[seed] - base[seed] for seed in seeds])
    error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else None
    accuracy = float(np.mean([mine[seed] for seed in seeds]))
    return Gain(made_ideal=title, accuracy=accuracy, gain=float(each.mean()), error=error,
                gains=tuple(map(float, each)))  # fmt: skip


def cells_of(found: Sequence[Gain]) -> list[tuple[str, ...]]:
    """Rows under ``HEAD``, in percent; the device as it is first."""
    base = found[0].accuracy - found[0].gain if found else 0.0
    rows: list[tuple[str, ...]] = [(AS_IT_IS, f"{100 * base:.2f}", "-", "-")]
    return rows + [
        (gain.made_ideal, f"{100 * gain.accuracy:.2f}", f"{100 * gain.gain:+.2f}",
         "-" if gain.error is None else f"{100 * gain.error:.2f}")
        for gain in found
    ]  # fmt: skip


def leave_gains(found: Sequence[Gain], name: str, folder: Path, kind: str) -> Path:
    """Write ``what-hurts.md`` and its picture; returns the picture."""
    rows = markdown_rows([HEAD, *cells_of(found)])
    write_text(folder / "what-hurts.md", "\n".join([f"# {name}", "", _LEGEND, "", *rows, ""]))
    from crossmesh.common.figures import save

    picture = folder / f"what-hurts.{kind}"
    save(_drawn(found), picture)
    return picture


def _drawn(found: Sequence[Gain]) -> Any:
    """Gains as bars with their standard errors, the dearest on top, and a mark for each seed."""
    from matplotlib.figure import Figure

    from crossmesh.common.figures import GUIDE, styled

    with styled():
        figure = Figure(figsize=(4.6, 0.8 + 0.26 * len(found)), layout="constrained")
        axes = figure.subplots()
        for place, gain in enumerate(found):
            is_whole = gain.made_ideal == IDEAL
            error = None if gain.error is None else 100 * gain.error
            axes.barh(place, 100 * gain.gain, 0.62, color="none" if is_whole else "0.75",
                      edgecolor="black", hatch="////" if is_whole else None, linewidth=0.7,
                      xerr=error, error_kw={"linewidth": 0.9, "capsize": 2})  # fmt: skip
            axes.plot([100 * each for each in gain.gains], [place] * len(gain.gains), "o",
                      color="black", markerfacecolor="white", markersize=3)  # fmt: skip
        axes.axvline(0, **GUIDE | {"linestyle": "-"})
        axes.set_yticks(range(len(found)), [gain.made_ideal for gain in found])
        axes.invert_yaxis()
        axes.set_xlabel("gain in test accuracy (points)")
    return figure

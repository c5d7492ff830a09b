"""Several runs beside each other: their figures, and where their configs differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from crossmesh.common.errors import ConfigError
from crossmesh.common.figures import panels, styled
from crossmesh.common.prefixes import engineering
from crossmesh.emulator.reporting.figures import plain
from crossmesh.emulator.reporting.record import RunRecord, number, section
from crossmesh.emulator.runs.curves import epochs_of

MISSING = "-"
_STYLES = (
    ("#0072b2", "o", "-"), ("#d55e00", "s", (0, (5, 2))), ("#009e73", "D", "-."),
    ("#cc79a7", "^", ":"), ("#56b4e9", "v", "-"), ("#e69f00", "P", (0, (5, 2))),
)  # fmt: skip


class Row(NamedTuple):
    """A line of a table: what it is, and its value in each run as text."""

    name: str
    values: tuple[str, ...]


def labels(records: Sequence[RunRecord]) -> list[str]:
    """A name of each run: its folder's, or its path where two folders are called alike."""
    names = [record.name for record in records]
    return [str(record.path) if names.count(record.name) > 1 else record.name for record in records]


def figures_of(record: RunRecord) -> dict[str, str]:
    """The figures of a run that one asks for first, as text."""
    summary = record.summary
    chip, emulation, pulses = (section(summary, n) for n in ("chip", "emulation", "pulses"))
    found = {
        "state": record.state,
        "test accuracy": _percent(record.figure("test_accuracy")),
        "float twin's accuracy": _percent(record.figure("baseline_test_accuracy")),
        "test loss": _figure(record.figure("test_loss")),
        "float twin's loss": _figure(record.figure("baseline_test_loss")),
        "epochs": str(record.epochs),
        "examples trained": _count(number(summary, "examples_trained")),
        "pulses": _count(sum(number(pulses, name) or 0 for name in pulses) or None),
        "chip: examples/s": _count(number(chip, "examples_per_s")),
        "chip: energy per example": _unit(number(chip, "energy_j_per_example"), "J"),
        "chip: area": _figure(number(chip, "area_mm2"), " mm²"),
        "tiles": _count(number(emulation, "tiles")),
        "emulation: examples/s": _count(number(emulation, "examples_per_s")),
        "emulation: training time": _unit(number(emulation, "wall_s"), "s"),
    }
    return {name: text for name, text in found.items() if text != MISSING}


def compared(records: Sequence[RunRecord]) -> list[Row]:
    """Figures of all runs, side by side."""
    every = [figures_of(record) for record in records]
    names = dict.fromkeys(name for figures in every for name in figures)
    return [Row(name, tuple(figures.get(name, MISSING) for figures in every)) for name in names]


def differences(records: Sequence[RunRecord]) -> list[Row]:
    """Fields of the configs in which the runs differ."""
    every = [dict(_flat(record.config, "")) for record in records]
    names = dict.fromkeys(name for fields in every for name in fields)
    rows = (Row(name, tuple(fields.get(name, MISSING) for fields in every)) for name in names)
    return [row for row in rows if len(set(row.values)) > 1]


def curves_of(records: Sequence[RunRecord]) -> Figure:
    """Test loss and test accuracy of all runs against epochs.

    Raises:
        ConfigError: If a run has not been tested yet.
    """
    for record in records:
        if not record.epochs:
            raise ConfigError(f"RUN must have finished an epoch to be drawn, got {record.path}")
    with_accuracy = any(record.figure("test_accuracy") is not None for record in records)
    with styled():
        figure, (axes,) = panels(1, 1 + with_accuracy)
        _draw(axes[0], records, "test_loss", 1)
        axes[0].set_ylabel("test loss")
        if with_accuracy:
            _draw(axes[1], records, "test_accuracy", 100)
            axes[1].set_ylabel("test accuracy, %")
        axes[-1].legend(loc="best")
    return figure


def _draw(axes: Axes, records: Sequence[RunRecord], name: str, scale: float) -> None:
    for k, (record, label) in enumerate(zip(records, labels(records), strict=True)):
        color, mark, dashes = _STYLES[k % len(_STYLES)]
        tested = record.metrics[name].is_valid().to_numpy(zero_copy_only=False)
        if not tested.any():
            continue
        values = record.metrics[name].to_numpy(zero_copy_only=False)[tested].astype(float)
        axes.plot(
            epochs_of(record.metrics)[tested], scale * values, color=color, marker=mark,
            markersize=3, linestyle=dashes, linewidth=1.3, label=plain(label),
        )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, color="0.9", linewidth=0.6)


def _flat(tree: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every value of a config by its dotted name, as text."""
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _flat(value, f"{name}.{key}".lstrip("."))
    elif isinstance(tree, list) and any(isinstance(item, Mapping) for item in tree):
        for number, item in enumerate(tree):
            yield from _flat(item, f"{name}.{number}")
    else:
        yield name, "null" if tree is None else str(tree)


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.2f} %"


def _figure(value: float | None, unit: str = "") -> str:
    return MISSING if value is None else f"{value:.4g}{unit}"


def _count(value: float | None) -> str:
    return MISSING if value is None else f"{value:,.0f}"


def _unit(value: float | None, unit: str) -> str:
    return MISSING if value is None else engineering(value, unit)

"""The report: one HTML file that holds all that it shows, and asks nothing of any network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from crossmesh.common.errors import ConfigError, DataError
from crossmesh.common.figures import styled
from crossmesh.common.version import VERSION
from crossmesh.emulator.chip.pictures.overview import overview
from crossmesh.emulator.reporting.comparing import (
    Row,
    compared,
    curves_of,
    differences,
    figures_of,
    labels,
)
from crossmesh.emulator.reporting.curves import curve_of
from crossmesh.emulator.reporting.figures import (
    by_tile,
    confusion,
    histograms,
    most_confused,
    timeline,
)
from crossmesh.emulator.reporting.inline import inline
from crossmesh.emulator.reporting.record import RunRecord
from crossmesh.emulator.runs.callbacks import Callbacks
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.training.diagnosis.inspecting import Inspection, inspect_run
from crossmesh.emulator.training.diagnosis.limits import chance_lines

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_LAYERS = 24  # whose histograms are drawn
_MOST_ROWS = 64  # of the table of tiles
_MOST_CHARACTERS = 200_000  # of a config


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A run, and what its checkpoint holds.

    Attributes:
        record: The run.
        inspection: What its checkpoint holds; None: it cannot be read.
        reason: Why not.
    """

    record: RunRecord
    inspection: Inspection | None
    reason: str = ""


def inspected(
    record: RunRecord, fields: Sequence[str], callbacks: Callbacks, *, examples: int
) -> Inspected:
    """A run with what its checkpoint holds, or with the reason why that cannot be read.

    Args:
        record: The run.
        fields: What differs from its config, as ``--set`` takes it.
        callbacks: Progress callbacks.
        examples: Test on the first so many examples; 0: do not.
    """
    directory = RunDirectory(record.path)
    results = {name: record.figure(name) for name in ("test_accuracy", "baseline_test_accuracy")}
    try:
        config = directory.config(fields)
        found = inspect_run(directory, config, callbacks, examples=examples, results=results)
    except (ConfigError, DataError) as error:
        return Inspected(record=record, inspection=None, reason=str(error))
    return Inspected(record=record, inspection=found)


def page(runs: Sequence[Inspected]) -> str:
    """The report of one run, or of several with a comparison, as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    records = [run.record for run in runs]
    return environment.get_template("report.html").render(
        title=", ".join(labels(records)),
        comparison=_comparison(records) if len(runs) > 1 else None,
        runs=[_sections(run, label) for run, label in zip(runs, labels(records), strict=True)],
        style=Markup((_TEMPLATES / "report.css").read_text("utf-8")),
        version=VERSION,
    )


def _comparison(records: Sequence[RunRecord]) -> Mapping[str, Any]:
    can_be_drawn = all(record.epochs for record in records)
    alt = "test loss and accuracy of all runs against epochs"
    return {
        "labels": labels(records),
        "figures": compared(records),
        "differences": differences(records),
        "curves": inline(curves_of(records), alt) if can_be_drawn else None,
    }


def _sections(run: Inspected, label: str) -> dict[str, Any]:
    """What the template shows of a run."""
    record, inspection = run.record, run.inspection
    drawn = timeline(record.trace)
    return {
        "label": label,
        "title": record.title,
        "state": record.state,
        "date": f"{record.date:%Y-%m-%d %H:%M %Z}",
        "figures": figures_of(record),
        "failed": _failed(record, inspection),
        "reason": run.reason,
        "curves": _curves(record),
        "findings": inspection.findings if inspection else (),
        "examples": inspection.costs.examples if inspection and inspection.costs else 0,
        "confusions": _confusions(inspection),
        "layers": _layers(inspection),
        "tiles": _tiles(inspection),
        "chip": _chip(inspection),
        "timeline": inline(drawn, "work of tiles against emulated time") if drawn else None,
        "environment": _environment(record),
        "config": _config(record),
    }


def _failed(record: RunRecord, inspection: Inspection | None) -> list[str]:
    """That the run is at chance beside a twin that is not, and the likely causes."""
    accuracy, twin = (record.figure(n) for n in ("test_accuracy", "baseline_test_accuracy"))
    if inspection is None or inspection.chance is None or accuracy is None or twin is None:
        return []
    return list(chance_lines(inspection.chance, accuracy, twin, inspection.findings))


def _curves(record: RunRecord) -> Markup | None:
    if not len(record.metrics):
        return None
    return inline(curve_of(record), "loss and accuracy of training and tests against epochs")


def _confusions(inspection: Inspection | None) -> Mapping[str, Any] | None:
    if inspection is None or inspection.confusions is None:
        return None
    counts = inspection.confusions
    return {
        "figure": inline(
            confusion(counts), "confusion matrix: true class by answer", takes_colors=False
        ),
        "mistakes": most_confused(counts),
        "right": int(counts.trace()),
        "total": int(counts.sum()),
    }


def _layers(inspection: Inspection | None) -> Mapping[str, Any] | None:
    if inspection is None or not inspection.layers:
        return None
    shown = inspection.layers[:_MOST_LAYERS]
    return {
        "figures": [
            inline(histograms(layer), f"weights and conductances of {layer.state.name}")
            for layer in shown
        ],
        "states": [layer.state for layer in inspection.layers],
        "left_out": len(inspection.layers) - len(shown),
    }


def _tiles(inspection: Inspection | None) -> Mapping[str, Any] | None:
    if inspection is None or not inspection.tiles:
        return None
    alt = "pulses, cells at bounds and repeated reads of every tile"
    return {
        "figure": inline(by_tile(inspection.tiles), alt),
        "rows": inspection.tiles[:_MOST_ROWS],
        "left_out": max(0, len(inspection.tiles) - _MOST_ROWS),
    }


def _chip(inspection: Inspection | None) -> Mapping[str, Any] | None:
    if inspection is None or inspection.chip is None:
        return None
    report = inspection.chip
    with styled():
        figure = overview(report)
    alt = "floor plan, pipeline, bounds on the interval, energy and area of the chip"
    return {
        "figure": inline(figure, alt, takes_colors=False),
    }


def _environment(record: RunRecord) -> Sequence[Row]:
    summary = record.summary
    digests = {name.replace("_", " "): str(summary[name])
               for name in ("config_digest", "state_digest") if name in summary}  # fmt: skip
    known = RunDirectory(record.path).read_json("environment") or {}
    seed = {"seed": str(record.config.get("seed", "?"))}
    found = {**{str(name): str(value) for name, value in known.items()}, **seed, **digests}
    return [Row(name, (value,)) for name, value in found.items()]


def _config(record: RunRecord) -> str:
    return (record.path / "config.yaml").read_text("utf-8", "replace")[:_MOST_CHARACTERS]

"""Output of the commands: tables for people, JSON for programs."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.records import Record
from crossmesh.emulator.training.result import Result
from crossmesh.emulator.training.retention import AgeRow, time_text

RECORD_HEADER = (
    f"{'tick':>6} {'tile':>5} {'operation':10} {'layer':20} {'batch':>5} {'ver.':>5}  to"
)
AGE_HEAD = ("after", "not compensated", "compensated")
_MESSAGES_WIDTH = 22  # which fits a terminal
_FIGURES = ("test_accuracy", "baseline_test_accuracy", "test_loss", "train_loss")


def print_json(value: Any) -> None:
    """A value as JSON."""
    typer.echo(json.dumps(value, indent=2))


def _where(emulation: Mapping[str, Any]) -> str:
    """Where tiles were."""
    where = f"{emulation['tiles']} tiles"
    if emulation["actors"]:
        where += f" in {emulation['actors']} Ray actors on {emulation['nodes']} node(s)"
    if emulation["on_boards"]:
        where += f", {emulation['on_boards']} of them on boards: bits depend on these"
    return where


def print_result(result: Result) -> None:
    """Print the result of a run."""
    summary, emulation = result.summary, result.summary["emulation"]
    table = _table("figure", "value")
    for name in (*_FIGURES, "validation_accuracy", "validation_loss"):
        if summary[name] is not None:
            table.add_row(name.replace("_", " "), _figure(name, summary[name]))
    if result.stopped:
        table.add_row("stopped", escape(result.stopped))
    table.add_row("examples trained", f"{summary['examples_trained']:,}")
    table.add_row("emulated on", _where(emulation))
    table.add_row("emulation speed", f"{emulation['examples_per_s']:,.0f} examples/s")
    table.add_row(
        "time", f"{emulation['wall_s']:.1f} s training, {emulation['start_s']:.1f} s start"
    )
    if chip := summary["chip"]:
        table.add_row("chip speed", f"{chip['examples_per_s']:,.0f} examples/s")
        table.add_row("chip energy per example", f"{1e9 * chip['energy_j_per_example']:,.4g} nJ")
    if pulses := result.pulses_text:
        table.add_row("pulses", pulses)
    table.add_row("run directory", str(result.path))
    Console().print(table)
    for line in result.remarks:
        typer.echo(f"warning: {line}")


def print_fields(fields: Mapping[str, Any]) -> None:
    """Names and their values."""
    table = _table("field", "value")
    for name, value in fields.items():
        table.add_row(name, _figure(name, value))
    Console().print(table)


def print_configs(catalogue: list[dict[str, str]]) -> None:
    """The shipped configs."""
    table = _table("name", "what it is")
    for config in catalogue:
        table.add_row(config["name"], escape(config["summary"]))
    Console().print(table)


def print_devices(named: list[dict[str, Any]], kinds: list[dict[str, Any]]) -> None:
    """A line for each device with a name, then for each kind of device."""
    table = _table("name", "kind", "source")
    for device in (*named, *kinds):
        kind = device["kind"] if device in named else ""
        table.add_row(device["name"], kind, escape(device["source"]))
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[:2]:  # a source alone is cut
        column.min_width = max(len(str(cell)) for cell in column.cells)
    Console().print(table)


def print_device(device: dict[str, Any]) -> None:
    """What a device is, its source, and its parameters."""
    value = "value" if "value" in device["parameters"][0] else "default"
    table = _table("parameter", value, "what it is")
    table.title = escape(f"{device['name']}: {device['summary']}")
    table.caption = escape(f"source: {device['source']}")
    for parameter in device["parameters"]:
        what, given = escape(parameter["what"]), parameter[value]
        inner = given if isinstance(given, Mapping) else {}
        table.add_row(parameter["name"], "" if inner else escape(_plain(given)), what)
        for name, part in inner.items():
            table.add_row(f"  {name}", escape(_plain(part)), "")
    Console().print(table)


def _plain(value: Any) -> str:
    """A value as a config says it; of tables, what they hold."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return f"{len(value)} x {', '.join(value[0])}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, wraps: bool = True) -> None:
    """A table of text; all but its first column to the right.

    Args:
        head: Names of the columns.
        rows: Cells of each row.
        wraps: Whether the first column may wrap; otherwise the others may.
    """
    table = _table(*head)
    table.columns[0].no_wrap = not wraps
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", wraps
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)


def age_cells(rows: Sequence[AgeRow], trained: float | None) -> Iterator[tuple[str, ...]]:
    """Rows under ``AGE_HEAD``: one per age, accuracies in percent or losses."""
    scale, digits = (100, 2) if trained is not None else (1, 4)
    for after_s in dict.fromkeys(row.after_s for row in rows):
        mine = {row.compensated: row for row in rows if row.after_s == after_s}
        cells = (f"{scale * mine[c].mean:.{digits}f} ± {scale * mine[c].std:.{digits}f}"
                 for c in (False, True))  # fmt: skip
        yield (time_text(after_s), *cells)


def write_text(path: Path, text: str, option: str) -> None:
    """Write a file that an option names.

    Raises:
        ConfigError: If it cannot be written.
    """
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"{option} must be writable, got {path}: {error.strerror}") from None


def record_line(record: Record) -> str:
    """A record of the program under ``RECORD_HEADER``."""
    operation = record.operation
    sent = textwrap.shorten(
        " ".join(f"{tile}:{columns}" for tile, columns in record.messages),
        width=_MESSAGES_WIDTH, placeholder=" ...",
    )  # fmt: skip
    return (
        f"{record.tick:6} {operation.tile:5} {operation.kind:10} {operation.node:20} "
        f"{record.micro_batch:5} {record.version:5}  {record.route or sent}"
    )


def record_json(record: Record) -> str:
    """A record of the program as a JSON object in one line."""
    operation = record.operation
    return json.dumps(
        {
            "tick": record.tick,
            "tile": operation.tile,
            "operation": operation.kind,
            "layer": operation.node,
            "micro_batch": record.micro_batch,
            "version": record.version,
            "messages": [list(message) for message in record.messages],
            **({"route": record.route} if record.route else {}),
        }
    )


def _figure(name: str, value: Any) -> str:
    if name.endswith("accuracy") and value is not None:
        return f"{100 * value:.2f} %"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, title_justify="left", caption_justify="left")
    table.columns[0].no_wrap = True
    return table

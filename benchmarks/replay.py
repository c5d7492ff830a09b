"""The replay of a program beside its measurement: ``python -m benchmarks.replay FOLDER...``.

Reads ``scale.json`` of measurements of ``crossmesh scale``, and writes the table of
``docs/validation/replay.md``.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

AIM = 0.15  # largest error that is wanted
HEAD = """# The replay beside what was measured

Written by `python -m benchmarks.replay FOLDER...` from what `crossmesh scale` leaves. The replay
lets every host take its actions in the program's order, each for its price; hosts take turns on
the processors that there are. Prices are fitted to all rows but those of crowded actors, whose
error is therefore that of a prediction; *left out* has prices fitted to the other rows only.

"""
COLUMNS = ("config", "actors", "CPUs", "rounds", "examples/s", "range", "replay", "error")


def main(
    folders: Annotated[list[Path], typer.Argument(help="Folders that crossmesh scale wrote.")],
    output: Annotated[Path, typer.Option(help="File to write.")] = Path(
        "docs/validation/replay.md"
    ),
) -> None:
    """Compare replays with measurements."""
    found = [json.loads((folder / "scale.json").read_text("utf-8")) for folder in folders]
    rows = [row for scale in found for row in _rows(scale)]
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *map(_line, rows), ""]
    lines += [line for scale in found for line in _remarks(scale)]
    output.write_text(HEAD + "\n".join(lines) + "\n", "utf-8")
    errors = [abs(error) for scale in found for _, error in _errors(scale)]
    typer.echo(f"largest error: {100 * max(errors):.1f} %")
    sys.exit(max(errors) > AIM)


def _errors(scale: dict[str, Any]) -> Iterator[tuple[dict[str, Any], float]]:
    for point in scale["measured"]:
        if point["kind"] == "ray":
            measured = point["examples_per_s"]["median"]
            yield point, point["predicted_examples_per_s"] / measured - 1


def _rows(scale: dict[str, Any]) -> Iterator[list[str]]:
    for point, error in _errors(scale):
        rate = point["examples_per_s"]
        yield [
            scale["name"],
            f"{point['actors']}{' (crowded)' if point['is_crowded'] else ''}",
            str(scale["cpus"]),
            str(scale["repeats"]),
            f"{rate['median']:,.0f}",
            f"{rate['low']:,.0f} to {rate['high']:,.0f}",
            f"{point['predicted_examples_per_s']:,.0f}",
            f"{100 * error:+.1f} %",
        ]


def _remarks(scale: dict[str, Any]) -> Iterator[str]:
    left_out = scale["model"]["errors"]["examples_per_s_left_out"]
    if left_out:
        yield f"{scale['name']}, left out: {100 * left_out['largest']:.1f} % at most."
    for doubt in scale["doubts"]:
        yield f"{scale['name']}, doubt: {doubt}."


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    typer.run(main)

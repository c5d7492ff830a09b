"""The commands ``crossmesh board measure`` and ``check``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.common.hints import command
from crossmesh.emulator.boards import checking, measuring, sampling
from crossmesh.emulator.boards.checking import BoardReads
from crossmesh.emulator.boards.findings import Findings, found, write_map
from crossmesh.emulator.boards.measured_files import (
    MeasuredCells,
    measure,
    measure_retention,
    what_board,
)
from crossmesh.emulator.boards.measuring import Train
from crossmesh.emulator.boards.sampling import LineCells
from crossmesh.emulator.cli.board_options import (
    BoardAddress,
    KeysFile,
    Patience,
    TokenFile,
    board_client,
    request_bar,
)
from crossmesh.emulator.cli.options import Json, Quietly, named_as_options
from crossmesh.emulator.cli.printing import print_fields, print_json, print_table
from crossmesh.emulator.training.retention import parse_times, time_text
from crossmesh.tiles.boards.hardware import Description
from crossmesh.tiles.boards.maps import LineMap, read_map

_MOST = 800_000  # readings of a table, which devices fit reads
_CELLS = 16
_NAMED = 20  # cells in a line
_HIDDEN = "noise hides how they move"
_ENOUGH = 0.5  # of the range: what pulses should cross at least
_SHOWN = 40  # lines of a table


def board_measure(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    address: BoardAddress,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The table, a new CSV file.")],
    cells: Annotated[
        int | None,
        typer.Option(min=1, help="How many cells, spread over the board; by default 16."),
    ] = None,
    lines: Annotated[
        str | None,
        typer.Option(
            metavar="A-B,C-D", help="All cells of word lines A to B and bit lines C to D instead."
        ),
    ] = None,
    pulses: Annotated[
        int, typer.Option(min=3, max=10_000, help="Up pulses of a cycle, and down pulses.")
    ] = 100,
    cycles: Annotated[int, typer.Option(min=1, help="How often all of them.")] = 2,
    volts: Annotated[
        float, typer.Option(min=0, help="Amplitude of a pulse; 0: the board's own.")
    ] = 0.0,
    width: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Its width; 0: the board's own.")
    ] = 0.0,
    retention: Annotated[
        str | None,
        typer.Option(
            metavar="1s,10s,1min",
            help="Afterwards, read raised cells after these times and some between them.",
        ),
    ] = None,
    map_: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="Use the lines of a map of board check."),
    ] = None,
    token: TokenFile = None,
    keys: KeysFile = None,
    patience: Patience = 600.0,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Measure pulse responses of a board's cells, as crossmesh devices fit takes them.

    Cells are brought to their lower end by as many down pulses as a cycle has, then pulsed up and
    down one pulse at a time and read after each: a request for each pulse of a word line. Their
    conductances are lost. Pulses should be enough to cross the range that is to be used. Cells
    that do not move are left out. With [bold]--retention[/bold], cells are brought to their upper
    end afterwards, and read again after these times and some between them, for a second table.

    Example: [bold]crossmesh board measure unix:board.sock --output reram.csv[/bold], then
    [bold]crossmesh devices fit reram.csv[/bold].
    """
    times_s = _times(retention)
    if cells is not None and lines is not None:
        raise ConfigError("--cells must be left out where --lines says which, got both")
    files = [output]
    if times_s:
        files.append(output.with_name(f"{output.stem}-retention.csv"))
    for file in files:
        if file.exists():
            raise ConfigError(f"--output must be a new file, got {file}, which exists")
    train = Train(pulses, cycles, volts, width)
    with board_client(address, token, keys, patience) as board:
        sample = _sample(board.description, cells, lines, map_)
        _check(board.description, sample, train)
        total = measuring.requests(sample, train)
        each_s = board.description.row_write_s + board.description.row_read_s
        with request_bar("measuring", total, total * each_s, quiet=quiet) as watch:
            done = measure(board, sample, train, output, watch)
        if times_s:
            if not quiet:
                typer.echo(f"reading for {time_text(times_s[-1])}", err=True)
            measure_retention(board, done.moving, train, times_s, files[1])
    _print_measured(done, train, files, json_=json_)


def _times(text: str | None) -> tuple[float, ...]:
    """Seconds of ``--retention``; none without it."""
    if text is None:
        return ()
    with named_as_options({"--after": "--retention"}):
        times_s = parse_times(text)
    if len(times_s) < 2 or not times_s[0]:
        raise ConfigError(f"--retention must be at least 2 times above 0, got {text}")
    return measuring.filled(times_s)


def _sample(
    board: Description, cells: int | None, lines: str | None, file: Path | None
) -> list[LineCells]:
    """The cells that the options ask for."""
    usable = sampling.whole(board.rows, board.cols) if file is None else _map(board, file)
    if lines is not None:
        return sampling.region(usable, lines)
    few = min(_CELLS, len(usable.rows) * len(usable.cols))
    return sampling.spread(usable, few if cells is None else cells)


def _map(board: Description, file: Path) -> LineMap:
    try:
        usable = read_map(file)
    except OSError as error:
        raise ConfigError(f"--map must be readable, got {file}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"--map {error}") from None
    if max(usable.rows) >= board.rows or max(usable.cols) >= board.cols:
        raise ConfigError(
            f"--map must be of a board of {board.rows} x {board.cols}, got lines up to "
            f"{max(usable.rows)} and {max(usable.cols)} in {file}"
        )
    return usable


def _check(board: Description, sample: list[LineCells], train: Train) -> None:
    """Refuse what the board or ``devices fit`` would refuse."""
    n = 2 * sum(len(line.cols) for line in sample) * train.cycles * train.pulses
    if n > _MOST:
        raise ConfigError(
            f"cells x cycles x pulses must give at most {_MOST:,} readings, got {n:,}"
        )
    if train.volts > board.pulse_v:
        raise ConfigError(
            f"--volts must be at most {board.pulse_v:g} on this board, got {train.volts:g}"
        )


def _print_measured(done: MeasuredCells, train: Train, files: list[Path], *, json_: bool) -> None:
    n = sum(len(line.cols) for line in done.moving)
    if json_:
        print_json({
            "files": list(map(str, files)), "cells": n, "still": done.still,
            "hidden": done.hidden, "share": done.share,
            "cycles": train.cycles, "pulses": train.pulses,
            "low_siemens": done.low_siemens, "high_siemens": done.high_siemens,
        })  # fmt: skip
        return
    print_fields({
        "cells": f"{n} on {len(done.moving)} word lines",
        "pulses": f"{train.pulses} up and down, {train.cycles} cycle(s)",
        "range": f"{done.low_siemens:.4g} to {done.high_siemens:.4g} S",
        "crossed": f"{100 * done.share:.0f} % of the range that the board states",
        "table": str(files[0]),
        **({"retention": str(files[1])} if files[1:] else {}),
    })  # fmt: skip
    for names, why in ((done.still, "pulses do not move them"), (done.hidden, _HIDDEN)):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            typer.echo(f"left out, because {why}: {', '.join(names[:_NAMED])}{more}")
    if 0 < done.share < _ENOUGH:
        enough = 10 * round(train.pulses / done.share / 10)
        typer.echo(
            f"{train.pulses} pulses cross {100 * done.share:.0f} % of the range that the board "
            f"states; --pulses {enough} would measure more of it"
        )
    kept = ("--retention", files[1]) if files[1:] else ()
    typer.echo(f"fit it with: {command('devices', 'fit', files[0], *kept)}")


def board_check(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    address: BoardAddress,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a map of what can be used, for tile.array.map."),
    ] = None,
    pulses: Annotated[
        int, typer.Option(min=1, max=32767, help="Up pulses of each cell, and down pulses.")
    ] = 20,
    token: TokenFile = None,
    keys: KeysFile = None,
    patience: Patience = 600.0,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Find dead lines, stuck cells, offsets of bit lines and drift of a board.

    Every cell is read twice, pulsed up and down and read after each, a word line at a time; a
    board that can set conductances is told to set them back. A line no cell of which moves is
    dead; a cell that does not move on a line that is not dead is stuck. Both, but no offset, go
    into the map.

    Example: [bold]crossmesh board check unix:board.sock --output map.yaml[/bold].
    """
    with board_client(address, token, keys, patience) as board:
        what = board.description
        seconds = what.rows * (3 * what.row_read_s + 2 * (what.row_write_s + what.row_read_s))
        with request_bar("checking", checking.requests(board), seconds, quiet=quiet) as watch:
            reads = checking.swept(board, pulses, watch)
    findings = found(reads, what.on_siemens, pulses)
    if output is not None:
        write_map(output, findings.usable, what_board(what))
    if json_:
        print_json(_as_json(findings, restored=reads.restored))
    else:
        _print_findings(findings, reads)
        if output is not None:
            typer.echo(f"map: {output}")


def _as_json(findings: Findings, *, restored: bool) -> dict[str, Any]:
    usable = findings.usable._asdict()
    dead = [line._asdict() for line in findings.dead]
    return {**findings._asdict(), "usable": usable, "dead": dead, "restored": restored}


def _print_findings(findings: Findings, reads: BoardReads) -> None:
    usable = findings.usable
    rows = [(f"{line.kind} {line.number}", f"dead, reads {line.siemens:.3g} S")
            for line in findings.dead]  # fmt: skip
    rows += [(f"cell {i}, {j}", f"stuck at {siemens:.3g} S") for i, j, siemens in usable.stuck]
    rows += [(f"bit line {j}", f"reads {away:+.3g} S against the others")
             for j, away in findings.offsets]  # fmt: skip
    if rows:
        print_table(("what", "is wrong"), rows[:_SHOWN])
    else:
        typer.echo("nothing is wrong")
    if len(rows) > _SHOWN:
        typer.echo(f"and {len(rows) - _SHOWN} more; --output or --json has all")
    print_fields({
        "usable": f"{len(usable.rows)} word lines x {len(usable.cols)} bit lines, "
        f"{len(usable.stuck)} cell(s) of them stuck",
        "cells move by": f"{findings.move:.3g} S",
        "noise of a reading": f"{findings.noise:.3g} S",
        "drift": f"{findings.drift:.2g} ± {findings.drift_error:.1g} S in {reads.age_s:.3g} s",
        "cells": f"set back, within {findings.error:.2g} S" if reads.restored
        else f"not set back: the board cannot; {findings.error:.2g} S from where they were",
    })  # fmt: skip

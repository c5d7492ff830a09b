"""The command ``crossmesh devices fit``: measurements become device files."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from crossmesh.common.errors import ConfigError
from crossmesh.common.hints import command, extending
from crossmesh.common.picture_files import check_picture
from crossmesh.emulator.characterisation.forgetting import (
    RetentionFit,
    fit_retention,
    is_retention,
    read_traces,
)
from crossmesh.emulator.characterisation.series import FileOptions
from crossmesh.emulator.cli.options import DeviceSeed, Json
from crossmesh.emulator.cli.printing import print_fields, print_json, print_table


def devices_fit(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="CSV, Excel or Parquet files, read together."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The device file; by default FILE with .yaml, here."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw data and model into a .png, .svg or .pdf file."),
    ] = None,
    points: Annotated[
        int, typer.Option(min=2, max=1024, help="Grid points of the fitted jump table.")
    ] = 32,
    device_noise: Annotated[
        float,
        typer.Option(min=0, help="Additional relative spread between devices."),
    ] = 0.0,
    unit: Annotated[
        str,
        typer.Option(
            help="Unit of the conductances, such as µS; by default the file's. Of relative ones, "
            "what 1 stands for, such as '12.5 µS'."
        ),
    ] = "",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]NAME",
            help="The column of conductances, or of another role: resistance, current, device, "
            "cycle, direction, pulse, read_voltage, pulse_voltage. May be repeated.",
        ),
    ] = None,
    read_voltage: Annotated[
        float | None, typer.Option(metavar="VOLTS", help="Voltage at which currents were read.")
    ] = None,
    direction_from: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|turn|file",
            help="What tells up from down pulses: a column of words, signs or pulse voltages, "
            "where readings turn, or the names of the files.",
        ),
    ] = None,
    law: Annotated[
        str,
        typer.Option(
            metavar="table|auto|soft_bounds|constant_step|exponential|power",
            help="Law of the steps: a table, or one of few parameters; auto: the likeliest.",
        ),
    ] = "table",
    retention: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A table of times and conductances; alone or besides."),
    ] = None,
    seed: DeviceSeed = 0,
    json_: Json = False,
) -> None:
    """Fit a device model to measured pulse responses; configs can then name it.

    FILE is a table of readings after pulses: a row for each, or a column for each device, with up
    and down pulses in columns of their own, told apart by a column, by the voltage of pulses,
    or one after the other. Conductances, resistances or currents; units stand in the header. What
    an instrument writes above its table is skipped.

    Example: [bold]crossmesh devices fit reram.csv --unit µS --plot reram.svg[/bold], then
    [bold]crossmesh train digits --set 'tile.cell={extends: reram.yaml}'[/bold].
    """
    from crossmesh.emulator.characterisation.device_file import write_device
    from crossmesh.emulator.characterisation.fit import figures, fit_device
    from crossmesh.emulator.characterisation.parametric import check_law
    from crossmesh.emulator.characterisation.tables import read_measurement

    _check_voltage(read_voltage)
    check_law(law)
    asked = FileOptions(column or (), read_voltage, direction_from, unit)
    files, loss = _with_retention(files or [], retention, asked)
    if not files:
        print_retention(loss, json_=json_)
        return
    output = output or Path(f"{files[0].stem}.yaml")
    _check_new(output, files)
    if plot:
        check_picture(plot, "--plot")
    measurement = read_measurement(*files, asked=asked)
    options: dict[str, Any] = {
        "n_points": points,
        "device_noise": device_noise,
        "unit": measurement.unit,
    }
    with Console(stderr=True).status(f"fitting {len(measurement.names)} device(s)"):
        fit = fit_device(measurement, files[0], law=law, **options)
    found = figures(fit, measurement)
    write_device(fit, found, files, output, loss.section if loss else None)
    if plot:
        from crossmesh.common.figures import save
        from crossmesh.emulator.characterisation.plot_measured import draw

        save(draw(fit, measurement, seed), plot)
    if json_:
        retained = {"retention": loss._asdict()} if loss else {}
        print_json({"file": str(output), **found, **retained})
    else:
        _print_fit(found, loss, output)


def _print_fit(found: dict[str, Any], loss: RetentionFit | None, output: Path) -> None:
    from crossmesh.emulator.characterisation.fit import warnings

    print_fields(_rows(found))
    print_table(LAW_HEAD, map(_law_cells, found["laws"]))
    for line in warnings(found):
        typer.echo(line)
    if loss:
        _print_loss(loss)
    tried = ("train", "digits", "--set", extending("tile.cell", output))
    typer.echo(f"try it with: {command(*tried)}")


def _with_retention(
    files: list[Path], retention: Path | None, asked: FileOptions
) -> tuple[list[Path], RetentionFit | None]:
    """The files of pulses, and the loss of conductance that was measured."""
    if retention is None and not files:
        raise ConfigError(
            "FILE must be given: a table of readings after pulses, such as crossmesh devices fit "
            "reram.csv, or --retention FILE with times and conductances"
        )
    if retention is None and len(files) == 1 and is_retention(files[0]):
        files, retention = [], files[0]
    return files, None if retention is None else fit_retention(read_traces(retention, asked))


def print_retention(loss: RetentionFit | None, *, json_: bool) -> None:
    """Models of loss, and the section of a device that follows."""
    assert loss is not None  # without a file of pulses
    if json_:
        print_json({**loss._asdict(), "section": loss.section})
        return
    _print_loss(loss)
    if section := loss.section:
        fields = ", ".join(f"{name}: {value}" for name, value in section.items())
        tried = ("train", "digits", "--set", f"tile.cell.retention={{{fields}}}")
        typer.echo(f"try it with: {command(*tried)}")


def _print_loss(loss: RetentionFit) -> None:
    cells = ((row["model"], row["formula"], f"{100 * row['residual']:.3g}", f"{row['aic']:.0f}")
             for row in loss.rows)  # fmt: skip
    print_table(("model of loss", "conductance at t", "residual, %", "AIC above best"), cells)
    print_fields({
        "traces": f"{loss.traces}, up to {loss.longest_s:.3g} s",
        "time constant": f"{loss.tau_s:.4g} s, spread {100 * loss.tau_spread:.0f} %"
        if loss.tau_s else "nothing is seen to be lost",
        "drift exponent": f"{loss.nu:.4f} ± {loss.nu_spread:.4f}",
    })  # fmt: skip


def _check_voltage(volts: float | None) -> None:
    if volts is not None and not (math.isfinite(volts) and volts):
        raise ConfigError(f"--read-voltage must be finite and not 0, got {volts:g}")


def _check_new(output: Path, files: list[Path]) -> None:
    """Refuse to write over anything but an earlier fit."""
    mark = b"# Measured: "
    try:
        is_fit = not output.exists()
        if output.is_file():
            with output.open("rb") as there:
                is_fit = there.read(len(mark)) == mark
    except OSError:
        is_fit = False
    if output in files or not is_fit:
        raise ConfigError(
            f"--output must be a new file or one written by devices fit, got {output}"
        )


LAW_HEAD = ("law", "step at x", "parameters", "residual, %", "BIC above best")


def _law_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["law"], row["formula"] or "-", f"{row['parameters']:.3g}",
            f"{100 * row['residual']:.2f}", f"{row['bic']:.0f}")  # fmt: skip


def _rows(found: dict[str, Any]) -> dict[str, str]:
    """Figures of a fit, in words."""
    unit = f" {found['unit']}" if found["unit"] else ""
    low, high = found["range"]
    mark = "" if found["middle_measured"] else " (extrapolated)"
    rows = {
        "devices": f"{found['devices']}, {found['cycles']} cycle(s)",
        "pulses": f"{found['up_pulses']} up, {found['down_pulses']} down",
        "range": f"{low:.4g} to {high:.4g}{unit}",
        f"states{mark}": f"{found['states']:.0f}",
        f"asymmetry of steps{mark}": f"{100 * found['asymmetry']:+.1f} %",
        "nonlinearity": f"{100 * found['nonlinearity_up']:.0f} % up, "
        f"{100 * found['nonlinearity_down']:.0f} % down",
        "cycle noise": f"{found['cycle_noise']:.3g} steps",
        "write noise": f"{found['write_noise']:.3g} steps",
        "symmetry point": f"{found['symmetry_point']:.4g}{unit}",
        "on/off": f"{found['on_off']:.3g}" if found["on_off"] else "-",
        "R²": f"{found['r2_up']:.4f} up, {found['r2_down']:.4f} down",
        "residual": f"{100 * found['residual']:.2g} % of the range, "
        f"noise of reading {100 * found['reading_noise']:.2g} %",
        "law": found["law"],
    }
    if found["devices"] > 1:
        rows["spread of steps"] = f"{100 * found['step_spread']:.0f} % between devices"
        rows["spread of ranges"] = f"{100 * found['range_spread']:.0f} % between devices"
    return rows

"""The commands ``crossmesh devices``: list, plot, fit."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from crossmesh.common.errors import ConfigError
from crossmesh.common.hints import command, extending
from crossmesh.emulator.cli.catalogue import devices, shipped_devices
from crossmesh.emulator.cli.options import Json
from crossmesh.emulator.cli.printing import (
    print_devices,
    print_fields,
    print_json,
    print_shipped_devices,
)
from crossmesh.emulator.config.loading import load_cell
from crossmesh.tiles.analog.cells import Cell, Ideal
from crossmesh.tiles.analog.devices import DEVICES

devices_app = typer.Typer(rich_markup_mode="rich")

Seed = Annotated[int, typer.Option(min=0, help="Seed of the emulated devices.")]


@devices_app.callback(invoke_without_command=True)
def devices_command(context: typer.Context, json_: Json = False) -> None:
    """The devices that a unit cell can be made of: list, plot, fit to a measurement."""
    if context.invoked_subcommand is None:
        devices_list(json_)


@devices_app.command("list")
def devices_list(json_: Json = False) -> None:
    """List the device kinds with their parameters, and the named devices.

    A section [bold]cell[/bold] or [bold]device[/bold] of a config gives a kind and its
    parameters, or extends a device by its name or file.
    """
    if json_:
        print_json([*devices(), *shipped_devices()])
    else:
        print_devices(devices())
        print_shipped_devices(shipped_devices())


@devices_app.command("plot")
def devices_plot(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="DEVICE...", help="Names of shipped devices, device files, or kinds."
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="A .png, .svg or .pdf file.")] = Path(
        "devices.png"
    ),
    seed: Seed = 0,
) -> None:
    """Plot pulse response, steps, symmetry and retention, one row per device.

    The curves are those of 1,024 devices in an emulated crossbar.

    Example: [bold]crossmesh devices plot reram-es-gong-2018 mine.yaml --output mine.svg[/bold].
    """
    from crossmesh.common.figures import check_output, save
    from crossmesh.emulator.characterisation.plot_devices import (
        draw,  # Matplotlib takes long to load
    )

    check_output(output, "--output")
    save(draw({name: _pulsed(name) for name in names}, seed), output)
    typer.echo(f"wrote {output}")


@devices_app.command("fit")
def devices_fit(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or Parquet file.")],
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
    unit: Annotated[str, typer.Option(help="Unit of the conductances, such as µS.")] = "",
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Fit a device model to measured pulse responses; configs can then name it.

    FILE has a row for each reading, with columns [bold]device, direction[/bold] (up or down),
    [bold]pulse, conductance[/bold] and optionally [bold]cycle[/bold]; or a row for each pulse, with
    columns [bold]up_NAME[/bold] and [bold]down_NAME[/bold] for each device; or two columns
    without names, after up pulses and after down pulses of one device.

    Example: [bold]crossmesh devices fit reram.csv --unit µS --plot reram.svg[/bold], then
    [bold]crossmesh train digits --set 'tile.cell={extends: reram.yaml}'[/bold].
    """
    from crossmesh.emulator.characterisation.device_file import write_device
    from crossmesh.emulator.characterisation.fit import figures, fit_device, warnings
    from crossmesh.emulator.characterisation.tables import read_measurement

    output = output or Path(f"{file.stem}.yaml")
    _check_new(output, file)
    if plot:
        from crossmesh.common.figures import check_output

        check_output(plot, "--plot")
    measurement = read_measurement(file)
    with Console(stderr=True).status(f"fitting {len(measurement.names)} device(s)"):
        fit = fit_device(measurement, file, n_points=points, device_noise=device_noise, unit=unit)
    found = figures(fit, measurement)
    write_device(fit, found, file, output)
    if plot:
        from crossmesh.common.figures import save
        from crossmesh.emulator.characterisation.plot_measured import draw

        save(draw(fit, measurement, seed), plot)
    if json_:
        print_json({"file": str(output), **found})
        return
    print_fields(_rows(found))
    for line in warnings(found):
        typer.echo(line)
    tried = command("train", "digits", "--set", extending("tile.cell", output))
    typer.echo(f"try it with: {tried}")


def _check_new(output: Path, file: Path) -> None:
    """Refuse to write over anything but an earlier fit."""
    mark = b"# Measured: "
    try:
        is_fit = not output.exists()
        if output.is_file():
            with output.open("rb") as there:
                is_fit = there.read(len(mark)) == mark
    except OSError:
        is_fit = False
    if output == file or not is_fit:
        raise ConfigError(
            f"--output must be a new file or one written by devices fit, got {output}"
        )


def _pulsed(name: str) -> Cell:
    """The cell of that name, file or kind, which must be one that pulses move."""
    if name in DEVICES:
        return DEVICES[name]()
    cell = Ideal() if name == "ideal" else load_cell(name)
    if cell.holds_anything:
        raise ConfigError(f"a device to plot must be moved by pulses, got {name}")
    return cell


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
    }
    if found["devices"] > 1:
        rows["spread of steps"] = f"{100 * found['step_spread']:.0f} % between devices"
        rows["spread of ranges"] = f"{100 * found['range_spread']:.0f} % between devices"
    return rows

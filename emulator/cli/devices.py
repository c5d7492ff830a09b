"""The commands ``crossmesh devices``: list, show, plot, fit, compare."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.common.picture_files import check_picture
from crossmesh.common.refusals import nearest
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.cli.catalogue import device_entry, devices, shipped_devices
from crossmesh.emulator.cli.device_fits import devices_fit
from crossmesh.emulator.cli.options import DeviceSeed, Json
from crossmesh.emulator.cli.printing import (
    print_device,
    print_devices,
    print_json,
    print_table,
)
from crossmesh.emulator.config.loading import load_cell
from crossmesh.tiles.analog.cells import Cell, Ideal
from crossmesh.tiles.analog.devices import DEVICES

devices_app = typer.Typer(rich_markup_mode="rich")


@devices_app.callback(invoke_without_command=True)
def devices_command(context: typer.Context, json_: Json = False) -> None:
    """The devices that a unit cell can be made of: list, show, plot, fit to a measurement."""
    if context.invoked_subcommand is None:
        devices_list(json_)


@devices_app.command("list")
def devices_list(json_: Json = False) -> None:
    """List the named devices, then the device kinds, with their sources.

    A section [bold]cell[/bold] or [bold]device[/bold] of a config is the name of one, or
    gives a kind and its parameters, or extends a device by its name or file.
    """
    named, kinds = shipped_devices(), devices()
    if json_:
        print_json([*kinds, *named])
    else:
        print_devices(named, kinds)


@devices_app.command("show")
def devices_show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE", help="Name of a shipped device, a kind, or a device file."
        ),
    ],
    json_: Json = False,
) -> None:
    """Show what a device is, its source, and each of its parameters.

    Example: [bold]crossmesh devices show reram-es-gong-2018[/bold].
    """
    show = print_json if json_ else print_device
    if is_file(Path(name)):
        show(device_entry(name, Path(name)))
        return
    known = {device["name"]: device for device in (*devices(), *shipped_devices())}
    if name not in known:
        hint = nearest(name, known)
        rule = "must be one of crossmesh devices list, or a device file"
        raise ConfigError(f"DEVICE {rule}, got {name}{hint}")
    show(known[name])


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
    seed: DeviceSeed = 0,
) -> None:
    """Plot pulse response, steps, symmetry and retention, one row per device.

    The curves are those of 1,024 devices in an emulated crossbar.

    Example: [bold]crossmesh devices plot reram-es-gong-2018 mine.yaml --output mine.svg[/bold].
    """
    from crossmesh.common.figures import save
    from crossmesh.emulator.characterisation.plot_devices import (
        draw,  # Matplotlib takes long to load
    )

    check_picture(output, "--output")
    save(draw({name: _pulsed(name) for name in names}, seed), output)
    typer.echo(f"wrote {output}")


devices_app.command("fit")(devices_fit)


@devices_app.command("compare")
def devices_compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="DEVICE...", help="Names of shipped devices, device files or kinds."
        ),
    ],
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw them into a .png, .svg or .pdf file.")
    ] = None,
    seed: DeviceSeed = 0,
    json_: Json = False,
) -> None:
    """Compare devices: states, asymmetry, nonlinearity, noise and spread, a column each.

    The figures are those of 1,024 devices in an emulated crossbar.

    Example: [bold]crossmesh devices compare reram-es-gong-2018 mine.yaml --plot both.svg[/bold].
    """
    from crossmesh.emulator.characterisation.comparing import behaviour, draw

    if plot:
        check_picture(plot, "--plot")
    found = {name: behaviour(_pulsed(name), seed) for name in dict.fromkeys(names)}
    if plot:
        from crossmesh.common.figures import save

        save(draw(found), plot)
    if json_:
        print_json({name: device.figures for name, device in found.items()})
        return
    head = ("device", "states", "asym. %", "nonlin. %", "symm. w", "noise", "spread %")
    stems = [Path(name).stem for name in found]
    labels = stems if len(set(stems)) == len(stems) else list(found)
    rows = [(label, *_row(device.figures))
            for label, device in zip(labels, found.values(), strict=True)]  # fmt: skip
    print_table(head, rows)
    typer.echo(
        "nonlinearity up / down; symmetry point; cycle noise in steps; spread of steps / ranges"
    )


def _row(figures: dict[str, float | None]) -> tuple[str, ...]:
    def shown(*names: str, scale: float = 100, digits: str = ".0f") -> str:
        values = (figures[name] for name in names)
        return " / ".join("-" if v is None else f"{scale * v:{digits}}" for v in values)

    return (
        shown("states", scale=1, digits=",.0f"),
        shown("asymmetry of steps", digits="+.1f"),
        shown("nonlinearity up", "nonlinearity down"),
        shown("symmetry point", scale=1, digits="+.2f"),
        shown("cycle noise, steps", scale=1, digits=".2g"),
        shown("spread of steps", "spread of ranges"),
    )


def _pulsed(name: str) -> Cell:
    """The cell of that name, file or kind, which must be one that pulses move."""
    if name in DEVICES:
        return DEVICES[name]()
    cell = Ideal() if name == "ideal" else load_cell(name)
    if cell.holds_anything:
        raise ConfigError(f"a device to plot must be moved by pulses, got {name}")
    return cell

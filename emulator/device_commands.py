"""The commands ``crossmesh devices``: list."""

from typing import Annotated

import typer

from emulator.catalogue import devices, shipped_devices
from emulator.printing import print_devices, print_json, print_shipped_devices

devices_app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@devices_app.callback(invoke_without_command=True)
def devices_command(context: typer.Context, json_: Json = False) -> None:
    """The devices that a unit cell can be made of."""
    if context.invoked_subcommand is None:
        devices_list(json_)


@devices_app.command("list")
def devices_list(json_: Json = False) -> None:
    """List the kinds of devices with their parameters, and the devices that have names.

    A section [bold]cell[/bold] or [bold]device[/bold] of a config gives a kind and its
    parameters, or extends a device by its name or file.
    """
    if json_:
        print_json([*devices(), *shipped_devices()])
    else:
        print_devices(devices())
        print_shipped_devices(shipped_devices())

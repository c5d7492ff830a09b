"""The commands ``crossmesh board``: boards of real devices, and simulated ones."""

from pathlib import Path
from typing import Annotated

import typer

from crossmesh.emulator.cli.board_measure import board_check, board_measure
from crossmesh.emulator.cli.board_serve import board_serve
from crossmesh.emulator.cli.board_serving import At, Keys, Token, serve_board, served_at
from crossmesh.emulator.cli.options import DeviceSeed, named_as_options

board_app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)


@board_app.callback()
def board_command() -> None:
    """Arrays of real devices behind a line, which tiles can use; and simulated ones."""


@board_app.command("simulate")
def board_simulate(  # noqa: PLR0913, PLR0917  because each is an option
    device: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE",
            help="Name of a shipped device, a device file, a kind, or pcm-memory.",
        ),
    ],
    rows: Annotated[int, typer.Option(min=1, max=65536, help="Word lines.")] = 128,
    cols: Annotated[int, typer.Option(min=1, max=65536, help="Bit lines.")] = 128,
    at: At = "unix:board.sock",
    token: Token = None,
    keys: Keys = None,
    seed: DeviceSeed = 0,
    read_noise: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SHARE",
            help="Deviation from read to read, as a share of the range; by default the device's.",
        ),
    ] = None,
    stuck: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Devices that do not move.")
    ] = 0.0,
    wear: Annotated[
        float | None,
        typer.Option(min=1, metavar="PULSES", help="Pulses that a device bears, in the median."),
    ] = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="Change conductances as real time goes by.")
    ] = False,
    row_read_s: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Time that reading a word line takes."),
    ] = 0.0,
    row_write_s: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Time that writing a word line takes."),
    ] = 0.0,
    without: Annotated[
        str, typer.Option(metavar="set,product", help="Abilities that it lacks.")
    ] = "",
    celsius: Annotated[
        float | None, typer.Option(help="Temperature that it reports; by default none.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Keep the devices in a file, across restarts."),
    ] = None,
) -> None:  # fmt: skip
    """Serve a simulated board until Ctrl-C, for trainings, tests and those who write firmware.

    Its devices follow a device model, each with numbers of its own, and it can have read noise,
    stuck cells, wear and slow lines. The same requests in the same order give the same values.

    Example: [bold]crossmesh board simulate reram-es-gong-2018 --rows 64 --cols 10[/bold]. In
    another terminal, a layer on its devices:
    [bold]crossmesh train digits "network=[{kind: linear, outputs: 10, activation: softmax}]"
    tile.cell=reram-es-gong-2018 "tile.array={kind: board, address: 'unix:board.sock'}"[/bold].

    Over a network, with a token: [bold]crossmesh board simulate pcm-memory --at tcp:0.0.0.0:7070
    --token token.txt[/bold]; encrypted: [bold]--at curve:0.0.0.0:7070 --keys board.keys[/bold].
    """
    from crossmesh.emulator.boards.devices import device_named
    from crossmesh.emulator.boards.kept import KeptBoard
    from crossmesh.emulator.boards.simulated import SimulatedBoard, Simulation

    where = served_at(at, token, keys)
    with named_as_options({"without": "--without"}):
        simulation = Simulation(
            device=device_named(device), rows=rows, cols=cols, name=f"simulated {device}",
            seed=seed, read_noise=read_noise, stuck=stuck, wear=wear, drift=drift,
            row_read_s=row_read_s, row_write_s=row_write_s, celsius=celsius,
            without=tuple(filter(None, without.split(","))),
        )  # fmt: skip
    board = SimulatedBoard(simulation)
    with KeptBoard(board, state, simulation.digest):
        serve_board(board, where, token, keys)


board_app.command("measure")(board_measure)
board_app.command("check")(board_check)
board_app.command("serve")(board_serve)

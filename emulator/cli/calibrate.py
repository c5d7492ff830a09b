"""The command ``crossmesh calibrate``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.cli.calibration_tables import print_calibration
from crossmesh.emulator.cli.options import Config, DataDirectory, Json, Quietly, Set, given
from crossmesh.emulator.cli.printing import print_json, write_text
from crossmesh.emulator.config.brief import brief
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.runs.progress import display
from crossmesh.emulator.training.calibration.calibrate import EXAMPLES, Calibration, calibrate


def calibrate_command(  # noqa: PLR0913, PLR0917  because every parameter is an option of the command
    config: Config,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The config to write; by default NAME-calibrated.yaml."),
    ] = None,
    examples: Annotated[
        int, typer.Option(metavar="N", help="Look at the inputs of N training examples.")
    ] = EXAMPLES,
    test_examples: Annotated[
        int, typer.Option(metavar="N", help="Test what tiles cost on N test examples; 0: do not.")
    ] = 1000,
    data_dir: DataDirectory = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers.")] = None,
    set_: Set = None,
    json_: Json = False,
    quiet: Quietly = False,
) -> None:
    """Choose scales and ranges of the tiles for the weights that the network of CONFIG has.

    Layer by layer, on its own tiles: the weight scale and a factor of it for every bit line, the
    range of the ADC, and the range of the inputs. Then the tables say what noise, converters,
    bounds of the devices and programming still cost: the accuracy with that one made exact.

    Example: [bold]crossmesh calibrate mine.yaml --out calibrated.yaml[/bold]; evaluate, train and
    chip take the config that it writes.
    """
    _check_count("--examples", examples, 1)
    _check_count("--test-examples", test_examples, 0)
    options = given({"data.directory": data_dir, "seed": seed})
    loaded = load_config(config, [*options, *(set_ or ())])
    file = out or Path(f"{loaded.name}-calibrated.yaml")
    if not file.parent.is_dir():
        raise ConfigError(f"--out must be in an existing folder, got {file}")
    with display(quiet=quiet) as callbacks:
        found = calibrate(loaded, callbacks, examples=examples, test_examples=test_examples)
    write_text(file, brief(found.config), "--out")
    if json_:
        print_json(_as_json(found) | {"config": str(file)})
    else:
        print_calibration(found)
        typer.echo(f"config: {file}")


def _check_count(option: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{option} must be at least {least}, got {value}")


def _as_json(found: Calibration) -> dict[str, Any]:
    layers = {
        name: {
            "settings": {
                field: value.model_dump(mode="json") if hasattr(value, "model_dump") else value
                for field, value in layer.settings.items()
            },
            "error_before": layer.error_before,
            "error": layer.error,
        }
        for name, layer in found.layers.items()
    }
    costs = asdict(found.costs) if found.costs else None
    return {"examples": found.examples, "layers": layers, "costs": costs}

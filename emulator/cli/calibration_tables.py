"""Tables of a calibration: what was chosen, and what the tiles still cost."""

from collections.abc import Iterator, Mapping

import typer

from crossmesh.emulator.cli.printing import print_table
from crossmesh.emulator.training.calibration.calibrate import Calibration
from crossmesh.emulator.training.calibration.costs import Costs
from crossmesh.tiles.analog.tile_config import TileConfig

CHOSEN_HEAD = ("layer", "weight scale", "bit lines", "ADC range", "input range", "error", "before")


def print_calibration(found: Calibration) -> None:
    """What was chosen for each layer; errors and results with one cause mended."""
    typer.echo(f"chosen for the inputs of {found.examples} examples; errors relative to outputs")
    print_table(CHOSEN_HEAD, _chosen(found), wraps=False)
    costs = found.costs
    if costs is None:
        return
    typer.echo("errors of outputs with one made exact")
    ways = tuple(costs.network.results)
    layers = found.layers
    print_table(("layer", "as it is", *ways), (
        (name, _percent(layers[name].error), *map(_percent, cost.errors.values()))
        for name, cost in costs.layers.items()
    ), wraps=False)  # fmt: skip
    typer.echo(
        f"{costs.measure.replace('_', ' ')} of {costs.test_examples} examples with one made exact: "
        f"{_result(costs, costs.result)} as it is, {_result(costs, costs.exact)} without tiles"
    )
    rows = [*costs.layers.items(), ("all layers", costs.network)]
    print_table(
        ("exact in", *ways), ((name, *_results(costs, c.results)) for name, c in rows), wraps=False
    )


def _chosen(found: Calibration) -> Iterator[tuple[str, ...]]:
    for name, layer in found.layers.items():
        tile = TileConfig.model_construct(**layer.settings)
        lines, read = tile.line_scales, layer.settings.get("read")
        scale = layer.settings.get("weight_scale", "-")
        yield (
            name,
            f"{scale:.4g}" if isinstance(scale, float) else str(scale),
            f"x {min(lines):.2g} to {max(lines):.2g}" if lines else "-",
            f"{read.adc.range:.4g}" if read and read.adc else "-",
            f"{read.input_range:.4g}" if read and read.input_range else "-",
            _percent(layer.error),
            _percent(layer.error_before),
        )


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _results(costs: Costs, results: Mapping[str, float]) -> Iterator[str]:
    return (_result(costs, value) for value in results.values())


def _result(costs: Costs, value: float) -> str:
    return f"{100 * value:.2f} %" if costs.measure == "test_accuracy" else f"{value:.4f}"

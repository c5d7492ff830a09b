"""From the network of a config to named layers and the weights that they begin with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layer import TileLayer, layer_name
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.config.operators import OperatorLayer
from crossmesh.emulator.config.run import Imported, LayerSettings, RunConfig
from crossmesh.emulator.onnx_io.arrangement import NamedShape, OutputArrangement
from crossmesh.tiles.analog.tile_config import TileConfig

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ResolvedNetwork:
    """A config's network with imported files read: layers, weights and input.

    Attributes:
        layers: Layers, every one with a name.
        published: Weights under their published names, whole; of some layers, or of none.
        input_shape: Shape of an example, if an imported network says it.
        tokens: Size of the vocabulary, if it says it.
        channels_first: Whether an example is an image whose channels come first in the data.
        arrangement: How the output of an imported file is made of what the network gives.
        inputs: The inputs of the file, whose numbers follow each other in an example.
    """

    layers: list[Layer]
    published: Mapping[str, Array] = field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None
    tokens: int | None = None
    channels_first: bool = False
    arrangement: OutputArrangement | None = None
    inputs: tuple[NamedShape, ...] = ()


def resolve(config: RunConfig) -> ResolvedNetwork:
    """Give every layer a name, and read an imported network.

    Raises:
        ConfigError: If a file cannot be read or used, or settings are for no layer of it.
    """
    if isinstance(config.network, Imported):
        return _imported(config.network, config)
    return ResolvedNetwork(layers=named(config.network))


def named(layers: Sequence[Layer], first: int = 0) -> list[Layer]:
    """Layers with the names that they have by default."""
    return [
        layer if layer.name else layer.model_copy(update={"name": layer_name(layer, i)})
        for i, layer in enumerate(layers, first)
    ]


def _imported(network: Imported, config: RunConfig) -> ResolvedNetwork:
    from crossmesh.emulator.onnx_io.reading import read_onnx  # onnx takes a moment to import
    from crossmesh.emulator.onnx_io.weights import published_names

    is_whole = network.until is None and not network.then
    behind = config.loss_function.behind if is_whole else None
    whole = read_onnx(
        network.onnx,
        softmax=behind == "softmax",
        flat=is_whole and behind != "softmax",
        input_shape=network.input_shape,
        constants=network.constants,
        output=network.output,
    )
    layers = _ended(_until(whole.layers, network.until), behind)
    kept = set(published_names(layers if network.weights == "trained" else _held(layers)))
    for pattern in network.layers:
        if not any(fnmatchcase(layer.name or "", pattern) for layer in layers):
            names = ", ".join(layer.name or "" for layer in layers)
            raise ConfigError(f"network.layers must name layers ({names}), got {pattern}")
        _check_effect(pattern, network.layers[pattern], layers)
        _check_bias(pattern, network.layers[pattern], layers, config.tile)
    return ResolvedNetwork(
        layers=[
            *(_set(layer, network.layers) for layer in layers),
            *named(network.then, len(layers)),
        ],
        published={name: whole.weights[name] for name in whole.weights if name in kept},
        input_shape=whole.input_shape,
        tokens=whole.tokens,
        channels_first=whole.channels_first,
        arrangement=whole.arrangement if is_whole else None,
        inputs=whole.inputs,
    )


def _held(layers: Sequence[Layer]) -> list[Layer]:
    """The layers whose numbers are a part of the network, not learnt."""
    return [layer for layer in layers if isinstance(layer, OperatorLayer) and layer.frozen]


def _check_effect(pattern: str, settings: LayerSettings, layers: Sequence[Layer]) -> None:
    """Refuse what none of the layers that a name fits can be set to."""
    fitting = [layer for layer in layers if fnmatchcase(layer.name or "", pattern)]
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None and not any(name in type(layer).model_fields for layer in fitting):
            kinds = ", ".join(sorted({layer.kind for layer in fitting}))
            raise ConfigError(
                f"network.layers.{pattern}.{name} must be for layers that have it, got {value} "
                f"for {kinds}"
            )


def _check_bias(
    pattern: str, settings: LayerSettings, layers: Sequence[Layer], tile: TileConfig
) -> None:
    """Refuse a place for biases where none of the layers that a name fits has one."""
    fitting = [layer for layer in layers if fnmatchcase(layer.name or "", pattern)]
    has_one = any(isinstance(layer, TileLayer) and layer.has_bias for layer in fitting)
    if settings.tile is not None and settings.tile.bias != tile.bias and not has_one:
        raise ConfigError(
            f"network.layers.{pattern}.tile.bias must be that of the section tile ({tile.bias}) "
            f"where no layer has a bias, got {settings.tile.bias}"
        )


def _until(layers: Sequence[Layer], last: str | None) -> list[Layer]:
    """The layers that a layer depends on, and itself."""
    if last is None:
        return list(layers)
    names = [layer.name for layer in layers]
    if last not in names:
        known = ", ".join(name or "" for name in names)
        raise ConfigError(f"network.until must be a layer of the file ({known}), got {last}")
    needed: set[str | None] = {last}
    kept = []
    for i in range(names.index(last), -1, -1):
        if names[i] in needed:
            kept.append(layers[i])
            before = names[i - 1] if i else None
            needed.update(feeder or before for feeder in layers[i].feeders)
    return kept[::-1]


def _ended(layers: list[Layer], behind: str | None) -> list[Layer]:
    """Layers with the activation that the loss looks through, where they end in logits."""
    if behind is None or getattr(layers[-1], "activation", None) != "identity":
        return layers
    return [*layers[:-1], layers[-1].model_copy(update={"activation": behind})]


def _set(layer: Layer, settings: Mapping[str, LayerSettings]) -> Layer:
    """A layer with the settings for its name, as far as its kind has them."""
    changes: dict[str, object] = {}
    for pattern, given in settings.items():
        if fnmatchcase(layer.name or "", pattern):
            changes |= {
                name: value
                for name in type(given).model_fields
                if (value := getattr(given, name)) is not None and name in type(layer).model_fields
            }
    if isinstance(layer, TileLayer) and changes.get("digital"):
        changes["replicas"] = None
    return layer.model_copy(update=changes)

"""Which optimiser changes what: rules of the arrays in digital memory, from a config."""

from collections.abc import Sequence

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layer import AnyLayer, layer_name
from crossmesh.emulator.config.rates import first_rate
from crossmesh.emulator.config.run import Training
from crossmesh.emulator.network.graph import Network
from crossmesh.tiles.digital import Optimizer, Rule

Rules = dict[str, Rule]


def rules_of(network: Network, layers: Sequence[AnyLayer], training: Training) -> Rules:
    """Rules by matrix or node, where a step is more than the rate times the error.

    Args:
        network: The network.
        layers: Its layers, whose names its parts begin with.
        training: Settings.
    """
    own = _own(layers)
    rules = {}
    for name, (learned, decaying) in _rows(network).items():
        optimizer = own.get(_layer(name), training.optimizer)
        if optimizer.is_plain and training.clip is None:
            continue
        rate = optimizer.learning_rate
        rules[name] = Rule(
            optimizer=optimizer,
            clip=training.clip,
            factor=1.0 if rate is None else rate / first_rate(training.learning_rate),
            learned_rows=learned,
            decayed_rows=learned if optimizer.decay_biases else decaying,
        )
    return rules


def check_optimizers(network: Network, layers: Sequence[AnyLayer]) -> None:
    """Refuse an optimiser of a layer without anything that it changes.

    Raises:
        ConfigError: If there is one.
    """
    without = _own(layers).keys() - {_layer(name) for name in _rows(network)}
    for i, layer in enumerate(layers):
        if (name := layer_name(layer, i)) in without:
            raise ConfigError(
                f"network.{i}.optimizer must be left out of a layer that learns nothing in "
                f"digital memory, got one (layer {name})"
            )


def _own(layers: Sequence[AnyLayer]) -> dict[str, Optimizer]:
    """The optimisers of single layers."""
    own = {
        layer_name(layer, i): getattr(layer, "optimizer", None) for i, layer in enumerate(layers)
    }
    return {name: optimizer for name, optimizer in own.items() if optimizer is not None}


def _layer(name: str) -> str:
    """The layer that a matrix or node is a part of."""
    return name.partition(".")[0]


def _rows(network: Network) -> dict[str, tuple[int, int]]:
    """Rows that learn in digital memory, and those of them that are no biases, by owner."""
    rows = {}
    for node in network.nodes:
        if not network.changes[node.name]:
            continue
        if node.learned is not None:
            n = node.learned.learned_rows
            rows[node.name] = n, n if node.learned.decays else 0
        elif node.matrix is not None:
            matrix = network.matrices[node.matrix]
            if matrix.digital:
                rows[matrix.name] = matrix.rows, matrix.inputs
            elif matrix.has_digital_bias:
                rows[matrix.name] = 1, 0
    return rows

"""Which optimiser changes what: rules of the arrays in digital memory, from a config."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.layer import AnyLayer, layer_name
from crossmesh.emulator.config.rates import first_rate
from crossmesh.emulator.config.run import Training
from crossmesh.emulator.network.graph import Network
from crossmesh.tiles.analog.algorithms import Algorithm, HardwareAware, MixedPrecision
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.digital import Optimizer, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What learns by more than the rate times the error.

    Attributes:
        digital: Rules of what lies in digital memory, by matrix or node.
        tiles: Rules of tiles in hardware-aware training, by matrix.
    """

    digital: Mapping[str, Rule] = field(default_factory=dict)
    tiles: Mapping[str, Rule] = field(default_factory=dict)

    def by_number(self, blocks: Iterable[Block]) -> dict[int, Rule]:
        """The rules of blocks, by number; rows of a tile are those that it has of its matrix."""
        found = {}
        for block in blocks:
            rule = (self.tiles if block.home is None else self.digital).get(block.layer)
            if rule is not None:
                rows = max(0, rule.decayed_rows - block.row) if block.home is None else None
                found[block.tile] = rule if rows is None else replace(rule, decayed_rows=rows)
        return found


NO_RULES = Rules()


def rules_of(network: Network, layers: Sequence[AnyLayer], training: Training) -> Rules:
    """The rules of a network.

    Args:
        network: The network.
        layers: Its layers, whose names its parts begin with.
        training: Settings.
    """
    own = _own(layers, "optimizer")

    def rule(name: str, learned: int, decaying: int) -> Rule:
        optimizer: Optimizer = own.get(_layer(name), training.optimizer)
        rate = optimizer.learning_rate
        return Rule(
            optimizer=optimizer,
            clip=training.clip,
            factor=1.0 if rate is None else rate / first_rate(training.learning_rate),
            learned_rows=learned,
            decayed_rows=learned if optimizer.decay_biases else decaying,
        )

    digital = {name: rule(name, *rows) for name, rows in _rows(network).items()}
    aware = _aware(network, layers, training)
    return Rules(
        digital={
            name: one
            for name, one in digital.items()
            if training.clip is not None or not one.optimizer.is_plain
        },
        tiles={
            name: replace(rule(name, matrix.lines, matrix.inputs), aware=aware[name])
            for name, matrix in network.matrices.items()
            if name in aware
        },
    )


def rules_of_twin(network: Network, layers: Sequence[AnyLayer], training: Training) -> Rules:
    """The rules of the same network in plain numbers.

    What lies on tiles learns by the optimiser that its algorithm has in digital memory, if any.
    """
    rules = rules_of(network, layers, training)
    tiles = {name: replace(rule, aware=None) for name, rule in rules.tiles.items()}
    for name, algorithm in _algorithms(network, layers, training).items():
        if isinstance(algorithm, MixedPrecision) and algorithm.optimizer is not None:
            matrix = network.matrices[name]
            tiles[name] = Rule(
                optimizer=algorithm.optimizer,
                learned_rows=matrix.lines,
                decayed_rows=matrix.inputs,
            )
    return Rules(digital=rules.digital, tiles=tiles)


def _aware(
    network: Network, layers: Sequence[AnyLayer], training: Training
) -> dict[str, HardwareAware]:
    """How the tiles of each matrix are trained that hold numbers in training."""
    algorithms = _algorithms(network, layers, training)
    return {name: one for name, one in algorithms.items() if isinstance(one, HardwareAware)}


def _algorithms(
    network: Network, layers: Sequence[AnyLayer], training: Training
) -> dict[str, Algorithm]:
    """What trains each matrix that learns on tiles."""
    own = _own(layers, "algorithm")
    return {
        name: own.get(_layer(name), training.algorithm)
        for name, matrix in network.matrices.items()
        if not matrix.digital and not matrix.frozen
    }


def check_own(network: Network, layers: Sequence[AnyLayer], training: Training) -> None:
    """Refuse an optimiser or algorithm of a layer without anything that it changes.

    Raises:
        ConfigError: If there is one.
    """
    numbers = [*_rows(network), *_aware(network, layers, training)]
    tiles = [name for name, m in network.matrices.items() if not m.digital and not m.frozen]
    for setting, names, where in (
        ("optimizer", numbers, "in digital memory"), ("algorithm", tiles, "on tiles"),
    ):  # fmt: skip
        without = _own(layers, setting).keys() - set(map(_layer, names))
        for i, layer in enumerate(layers):
            if (name := layer_name(layer, i)) in without:
                raise ConfigError(
                    f"network.{i}.{setting} must be left out of a layer that learns nothing "
                    f"{where}, got one (layer {name})"
                )


def _own(layers: Sequence[AnyLayer], setting: str) -> dict[str, Any]:
    """A setting of single layers, by name."""
    own = {layer_name(layer, i): getattr(layer, setting, None) for i, layer in enumerate(layers)}
    return {name: value for name, value in own.items() if value is not None}


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

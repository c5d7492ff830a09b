"""A config as YAML in which layers say of their tiles only what differs from the section tile."""

from collections.abc import Mapping
from typing import Any

import yaml

from crossmesh.common.bounded_yaml import Dumper
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.config.shorthand import VARIANTS

Tree = dict[str, Any]


def brief(config: RunConfig) -> str:
    """A config as YAML that loads again as the same."""
    tree = config.model_dump(mode="json")
    network, tile = tree["network"], tree["tile"]
    if isinstance(network, Mapping):
        network = {
            **network,
            "layers": {n: _brief(_given(layer), tile) for n, layer in network["layers"].items()},
            "then": [_brief(layer, tile) for layer in network["then"]],
        }
    else:
        network = [_brief(layer, tile) for layer in network]
    return yaml.dump(
        {**tree, "network": network},
        Dumper=Dumper,
        sort_keys=False,
        width=100,
        default_flow_style=None,
    )


def _given(layer: Tree) -> Tree:
    return {field: value for field, value in layer.items() if value is not None}


def _brief(layer: Tree, tile: Tree) -> Tree:
    return {**layer, "tile": _differing(tile, layer["tile"])} if layer.get("tile") else layer


def _differing(base: Tree, tree: Tree) -> Tree:
    """What must be laid on top of ``base`` to have ``tree``."""
    found: Tree = {}
    for field, value in tree.items():
        before = base.get(field)
        if isinstance(before, dict) and isinstance(value, dict) and field not in VARIANTS:
            if inside := _differing(before, value):
                found[field] = inside
        elif value != before:
            found[field] = value
    return found

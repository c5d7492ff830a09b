"""Configs of networks with kinds that are not ours."""

import yaml

from crossmesh.emulator.config.loading import dumped, load_config, validated

SMALL = ["engine.kind=local", "training.examples=32", "training.epochs=1",
         "training.baseline=false", "chip.model=analytic"]  # fmt: skip
OUTPUT = {"kind": "linear", "outputs": 10, "activation": "softmax"}


def config(network, **changes):
    """A config of handwritten digits with such a network."""
    tree = yaml.safe_load(dumped(load_config("digits", SMALL)))
    return validated({**tree, "network": network, **changes})

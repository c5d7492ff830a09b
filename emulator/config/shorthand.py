"""Short forms of a config: a section by the name of its kind, its device or its source alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossmesh.common.registry import Registry
from crossmesh.emulator.config.rates import RATES
from crossmesh.tiles.analog.algorithms import ALGORITHMS
from crossmesh.tiles.analog.algorithms import PRESETS as ALGORITHM_PRESETS
from crossmesh.tiles.analog.cells import CELLS
from crossmesh.tiles.analog.devices import DEVICES, PRESETS
from crossmesh.tiles.circuits import ADCS, DACS, MEMORIES
from crossmesh.tiles.optimizers import OPTIMIZERS

# Sections that may extend a file, and the folder of those that are shipped.
EXTENDING = {
    "cell": PRESETS, "device": PRESETS, "fast_cell": PRESETS, "algorithm": ALGORITHM_PRESETS,
}  # fmt: skip
# Sections whose kind decides which other fields they have, and what kinds there are.
VARIANTS: dict[str, tuple[Registry[Any], ...]] = {
    "cell": (CELLS, DEVICES),
    "device": (DEVICES,),
    "fast_cell": (CELLS, DEVICES),
    "algorithm": (ALGORITHMS,),
    "learning_rate": (RATES,),
    "optimizer": (OPTIMIZERS,),
    "adc": (ADCS,),
    "dac": (DACS,),
    "memory": (MEMORIES,),
}
OUTER = {"data": "source", "engine": "kind"}  # the field of a section that its name stands for


def presets(section: str = "cell") -> dict[str, Path]:
    """The shipped files that a section may extend, by name: devices or algorithms."""
    return {path.stem: path for path in sorted(EXTENDING[section].glob("*.yaml"))}


def kinds(section: str) -> list[str]:
    """Names of the kinds that a section may be of."""
    return [name for registry in VARIANTS[section] for name in registry]


def spelled_out(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A config with mappings for sections that are given by a name alone.

    >>> spelled_out({"engine": "ray", "tile": {"cell": "pair"}, "training": {"optimizer": "adam"}})
    {'engine': {'kind': 'ray'}, 'tile': {'cell': {'kind': 'pair'}}, \
'training': {'optimizer': {'kind': 'adam'}}}
    >>> spelled_out({"tile": {"cell": "reram-es-gong-2018"}})
    {'tile': {'cell': {'extends': 'reram-es-gong-2018'}}}
    """
    outer = {
        key: {OUTER[key]: value} if key in OUTER and isinstance(value, str) else value
        for key, value in tree.items()
    }
    return {key: _within(value) for key, value in outer.items()}


def section_spelled_out(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section, such as a device file holds, likewise."""
    return {key: _section(key, value) for key, value in section.items()}


def _within(value: Any) -> Any:
    if isinstance(value, Mapping):
        return section_spelled_out(value)
    return [_within(entry) for entry in value] if isinstance(value, list) else value


def _section(key: Any, value: Any) -> Any:
    if not isinstance(value, str) or key not in VARIANTS:
        return _within(value)
    if any(value in registry for registry in VARIANTS[key]):
        return {"kind": value}
    return {"extends": value} if key in EXTENDING else value

"""Reading configs: YAML, ``extends``, ``--set``, and errors of one line."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from crossmesh.common.bounded_yaml import Dumper, read_mapping
from crossmesh.common.credentials import check_without
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen
from crossmesh.common.hints import command
from crossmesh.common.refusals import sentence
from crossmesh.emulator.config.finding import as_cells, as_kinds, find
from crossmesh.emulator.config.overriding import Overrides, assignments, nested
from crossmesh.emulator.config.run import DATA_PATHS, SHIPPED, RunConfig
from crossmesh.emulator.config.shorthand import (
    EXTENDING,
    VARIANTS,
    presets,
    section_spelled_out,
    spelled_out,
)
from crossmesh.emulator.config.words import WORDS
from crossmesh.tiles.analog.cells import Cell

_TABLES = {".csv", ".tsv", ".txt", ".dat", ".xls", ".xlsx", ".ods", ".parquet"}  # measurements
MOST_FILES = 16  # that extend each other in a row
MOST_OPENED = 500  # device files of one config


def shipped() -> dict[str, Path]:
    """The shipped configs by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def load_config(
    source: str | Path | Mapping[str, Any], overrides: Overrides = (), **sections: Any
) -> RunConfig:
    """Read a config file, or a shipped config by name.

    Args:
        source: Path of a YAML file, or name of a shipped config, or what such a file says.
        overrides: Fields and their values: ``{"training.epochs": 3}``, or ``a.b=value`` each, the
            value in YAML. Of two for one field the later counts; otherwise their order does not
            matter.
        sections: Fields of the top level, laid over those of the source key by key, and the last
            to count: ``training={"epochs": 3}, seed=1``.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    tree = _own(source, Path()) if isinstance(source, Mapping) else _read(source, seen=())
    layer: dict[str, Any] = {}
    for path, value in (*assignments(overrides), *sections.items()):
        layer = merged(layer, spelled_out(nested(path, value)), variants=())
    whole = merged(tree, _anchored(layer, Path()))
    return _validated(_filled(_with_layer_tiles(whole)))  # before what a layer extends is gone


def load_cell(source: str | Path | Mapping[str, Any]) -> Cell:
    """The cell that a device file, or a shipped device by name, or a section describes.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    section, where = source, ""
    if not isinstance(source, Mapping):
        path = find(source, Path(), presets(), "device", as_kinds("cell"))
        section, where = {"extends": str(path)}, f"{path}: "
    try:
        own = _anchored(section_spelled_out({"cell": section}), Path())
        return _CellFile.model_validate(_filled(own)).cell
    except ValidationError as error:
        rule = sentence(error, _CellFile, WORDS).removeprefix("cell.")
        raise ConfigError(f"{where}{rule}") from None


class _CellFile(Frozen):
    """A device file under the name that a section has in a config."""

    cell: Cell


def validated(tree: Mapping[str, Any]) -> RunConfig:
    """A config from plain dictionaries."""
    return _validated(_with_layer_tiles(tree))


def _validated(tree: Mapping[str, Any]) -> RunConfig:
    check_without(tree, "config.yaml")
    try:
        return RunConfig.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError(sentence(error, RunConfig, WORDS)) from None


def _with_layer_tiles(tree: Mapping[str, Any]) -> dict[str, Any]:
    """``tree``, in which the tile of a layer begins with what the section ``tile`` says."""
    network, tile = tree.get("network"), tree.get("tile")
    if not isinstance(tile, Mapping):
        return dict(tree)

    def on_top(layer: Any) -> Any:
        if isinstance(layer, Mapping) and isinstance(layer.get("tile"), Mapping):
            return {**layer, "tile": merged(tile, layer["tile"])}
        return layer

    if isinstance(network, list):
        return {**tree, "network": [on_top(layer) for layer in network]}
    if isinstance(network, Mapping):
        settings, then = network.get("layers"), network.get("then")
        network = dict(network)
        if isinstance(settings, Mapping):
            network["layers"] = {name: on_top(layer) for name, layer in settings.items()}
        if isinstance(then, list):
            network["then"] = [on_top(layer) for layer in then]
        return {**tree, "network": network}
    return dict(tree)


def dumped(config: BaseModel) -> str:
    """A config as YAML that loads again."""
    tree = config.model_dump(mode="json")
    return yaml.dump(tree, Dumper=Dumper, sort_keys=False, width=100)


def merged(
    base: Mapping[str, Any], over: Mapping[str, Any], variants: Collection[str] = VARIANTS
) -> dict[str, Any]:
    """``base`` with ``over`` laid on top, key by key.

    A variant of another ``kind``, or that extends a file, starts afresh. In a list, numbers from 0
    are the keys of its entries.
    """
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            is_new = key in variants and (
                "extends" in value or value.get("kind", old.get("kind")) != old.get("kind")
            )
            result[key] = dict(value) if is_new else merged(old, value, variants)
        elif isinstance(old, list) and isinstance(value, Mapping):
            result[key] = _with_entries(old, value, variants)
        else:
            result[key] = value
    return result


def _with_entries(
    old: list[Any], changes: Mapping[str, Any], variants: Collection[str]
) -> list[Any] | Mapping[str, Any]:
    entries = {str(i): entry for i, entry in enumerate(old)}
    if not changes.keys() <= entries.keys():
        return changes
    return list(merged(entries, changes, variants).values())


def _read(source: str | Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    folder = seen[-1].parent if seen else Path()
    path = find(source, folder, shipped(), "config", as_cells())
    if path in seen:
        raise ConfigError(f"extends must not form a cycle, got {source}")
    if len(seen) == MOST_FILES:
        raise ConfigError(f"extends must chain at most {MOST_FILES} files, got more")
    tree = _own(read_mapping(path), path.parent)
    if isinstance(tree.get("data"), dict):
        tree["data"] = _placed(tree["data"], path.parent, DATA_PATHS)
    if isinstance(tree.get("network"), dict):
        tree["network"] = _placed(tree["network"], path.parent, ("onnx",))
    tree = _placed(tree, path.parent, ("weights",))
    if "extends" not in tree:
        return tree
    base = tree.pop("extends")
    if not isinstance(base, str):
        raise ConfigError(f"extends must be a file or a shipped name, got {base!r}")
    return merged(_read(base, (*seen, path)), tree)


def _own(tree: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A config of a folder with nothing short and no relative device files in it."""
    return _anchored(spelled_out(tree), folder)


def _anchored(tree: Mapping[str, Any], folder: Path, place: str = "") -> dict[str, Any]:
    """``tree`` with full paths for the files that its sections extend.

    Args:
        tree: As it stands in a file of the folder ``folder``.
        folder: Base of relative paths.
        place: Prefix of the section's name in errors, ending in a dot.
    """
    result = dict(tree)
    for key, value in tree.items():
        if isinstance(value, list):
            entries = {i: entry for i, entry in enumerate(value) if isinstance(entry, Mapping)}
            anchored = {
                i: _anchored(entry, folder, f"{place}{key}.{i}.") for i, entry in entries.items()
            }
            result[key] = [anchored.get(i, entry) for i, entry in enumerate(value)]
        if not isinstance(value, Mapping):
            continue
        result[key] = _anchored(value, folder, f"{place}{key}.")
        if key in EXTENDING and "extends" in value:
            field, base = f"{place}{key}.extends", value["extends"]
            if not isinstance(base, str):
                raise ConfigError(f"{field} must be a file or a shipped name, got {base!r}")
            result[key]["extends"] = find(base, folder, presets(key), field, as_kinds(key))
    return result


@dataclass(frozen=True)
class _Trail:
    """How a section of a device file was come to.

    Attributes:
        open: The files that extend each other up to here.
        opened: Every file that the config has led to so far.
    """

    open: tuple[Path, ...] = ()
    opened: list[Path] = field(default_factory=list)

    def to(self, path: Path) -> "_Trail":
        """One file further."""
        if path in self.open:
            raise ConfigError(f"extends must not form a cycle, got {path}")
        if len(self.open) == MOST_FILES or len(self.opened) == MOST_OPENED:
            raise ConfigError(
                f"extends must chain at most {MOST_FILES} files in a row and "
                f"{MOST_OPENED} in all, got more at {path}"
            )
        self.opened.append(path)
        return _Trail((*self.open, path), self.opened)


def _filled(tree: Mapping[str, Any], trail: _Trail | None = None) -> dict[str, Any]:
    """``tree`` with what its sections inherit from the files that they extend."""
    trail = trail or _Trail()
    result = dict(tree)
    for key, value in tree.items():
        if key in EXTENDING and isinstance(value, Mapping) and "extends" in value:
            result[key] = _inherited(key, value, trail)
        elif isinstance(value, Mapping):
            result[key] = _filled(value, trail)
        elif isinstance(value, list):
            result[key] = [
                _filled(entry, trail) if isinstance(entry, Mapping) else entry for entry in value
            ]
    return result


def _inherited(key: str, section: Mapping[str, Any], trail: _Trail) -> Any:
    own = dict(section)
    path = own.pop("extends")
    if path.suffix.lower() in _TABLES:
        fitting = command("devices", "fit", path)
        raise ConfigError(f"{path} must be a device file, got a table; make one by {fitting}")
    further = trail.to(path)
    base = _anchored({key: section_spelled_out(read_mapping(path))}, path.parent, f"{path}: ")
    return merged(_filled(base, further), _filled({key: own}, trail))[key]


def _placed(section: dict[str, Any], folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """A section of a file, whose paths are relative to the folder of that file."""
    paths = {
        name: str(folder / value)
        for name in names
        if isinstance(value := section.get(name), str) and not value.startswith("~")
    }
    return {**section, **paths}


def overrides(changes: Mapping[str, Any]) -> list[str]:
    """Fields and their values as ``load_config`` takes them: what is JSON, is YAML too."""
    return [
        f"{field}={json.dumps(value, ensure_ascii=False, default=str)}"
        for field, value in changes.items()
    ]

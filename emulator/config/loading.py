"""Reading configs: YAML, ``extends``, ``--set``, and errors of one line."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from crossmesh.common.bounded_yaml import Dumper, parsed, read_mapping
from crossmesh.common.credentials import check_without
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen
from crossmesh.common.refusals import nearest, sentence
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.config.run import DATA_PATHS, SHIPPED, RunConfig
from crossmesh.tiles.analog.algorithms import PRESETS as ALGORITHM_PRESETS
from crossmesh.tiles.analog.cells import Cell
from crossmesh.tiles.analog.devices import PRESETS

MOST_FILES = 16  # that extend each other in a row
MOST_OPENED = 500  # device files of one config
MOST_PARTS = 50  # of a field's path
# Sections that may extend a file, and the folder of those that are shipped.
EXTENDING = {
    "cell": PRESETS, "device": PRESETS, "fast_cell": PRESETS, "algorithm": ALGORITHM_PRESETS,
}  # fmt: skip
# Sections whose kind decides which other fields they have.
VARIANTS = EXTENDING.keys() | {"learning_rate", "optimizer", "adc", "dac", "memory"}


def shipped() -> dict[str, Path]:
    """The shipped configs by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def presets(section: str = "cell") -> dict[str, Path]:
    """The shipped files that a section may extend, by name: devices or algorithms."""
    return {path.stem: path for path in sorted(EXTENDING[section].glob("*.yaml"))}


def load_config(source: str | Path | Mapping[str, Any], overrides: Iterable[str] = ()) -> RunConfig:
    """Read a config file, or a shipped config by name.

    Args:
        source: Path of a YAML file, or name of a shipped config, or what such a file says.
        overrides: ``a.b=value`` each, the value in YAML. Of two for one field the later counts;
            otherwise their order does not matter.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    tree = _anchored(source, Path()) if isinstance(source, Mapping) else _read(source, seen=())
    layer: dict[str, Any] = {}
    for override in overrides:
        layer = merged(layer, _nested(*assignment(override)), variants=())
    whole = merged(tree, _anchored(layer, Path()))
    return _validated(_filled(_with_layer_tiles(whole)))  # before what a layer extends is gone


def load_cell(source: str | Path) -> Cell:
    """The cell that a device file, or a shipped device by name, describes.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    path = _find(source, Path(), presets(), "device")
    try:
        return _CellFile.model_validate(_filled({"cell": {"extends": path}})).cell
    except ValidationError as error:
        rule = sentence(error, _CellFile).removeprefix("cell.")
        raise ConfigError(f"{path}: {rule}") from None


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
        raise ConfigError(sentence(error, RunConfig)) from None


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

    A variant of another ``kind``, or that extends a file, starts afresh.
    """
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            is_new = key in variants and (
                "extends" in value or value.get("kind", old.get("kind")) != old.get("kind")
            )
            result[key] = dict(value) if is_new else merged(old, value, variants)
        else:
            result[key] = value
    return result


def _read(source: str | Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = _find(source, seen[-1].parent if seen else Path(), shipped(), "config")
    if path in seen:
        raise ConfigError(f"extends must not form a cycle, got {source}")
    if len(seen) == MOST_FILES:
        raise ConfigError(f"extends must chain at most {MOST_FILES} files, got more")
    tree = _anchored(read_mapping(path), path.parent)
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
            result[key]["extends"] = _find(base, folder, presets(key), field)
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
    further = trail.to(path)
    base = _anchored({key: read_mapping(path)}, path.parent, f"{path}: ")
    return merged(_filled(base, further), _filled({key: own}, trail))[key]


def _placed(section: dict[str, Any], folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """A section of a file, whose paths are relative to the folder of that file."""
    paths = {
        name: str(folder / value)
        for name in names
        if isinstance(value := section.get(name), str) and not value.startswith("~")
    }
    return {**section, **paths}


def _find(source: str | Path, folder: Path, named: Mapping[str, Path], field: str) -> Path:
    for path in (Path(source), folder / source):
        if is_file(path):
            return path.resolve()
    if str(source) in named:
        return named[str(source)]
    hint = nearest(str(source), named)
    raise ConfigError(
        f"{field} must be a file or a shipped name ({', '.join(named)}), got {source}{hint}"
    )


def overrides(changes: Mapping[str, Any]) -> list[str]:
    """Fields and their values as ``load_config`` takes them: what is JSON, is YAML too."""
    return [
        f"{field}={json.dumps(value, ensure_ascii=False, default=str)}"
        for field, value in changes.items()
    ]


def assignment(text: str, option: str = "--set") -> tuple[str, Any]:
    """Field and value of ``a.b=value``; ``option`` is what the user wrote it behind."""
    path, separator, value = text.partition("=")
    if not separator or not all(path.split(".")) or path.count(".") >= MOST_PARTS:
        raise ConfigError(f"{option} must be like a.b=value, got {text}")
    try:
        return path, parsed(value)
    except yaml.YAMLError:
        raise ConfigError(f"{option} {path} must have a YAML value, got {value}") from None


def _nested(path: str, value: Any) -> dict[str, Any]:
    first, *rest = path.split(".")
    for key in reversed(rest):
        value = {key: value}
    return {first: value}

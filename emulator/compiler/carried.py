"""Files that a config names, which travel with it: the nodes do not see those of this machine."""

import os
from dataclasses import dataclass
from pathlib import Path

from crossmesh.common.errors import ConfigError
from crossmesh.common.whole_files import is_file
from crossmesh.emulator.config.run import Imported, RunConfig
from crossmesh.emulator.onnx_io.opening import FIELD as NETWORK
from crossmesh.emulator.onnx_io.opening import external_files

WEIGHTS = "weights"


@dataclass(frozen=True)
class CarriedFiles:
    """What one field of a config names.

    Attributes:
        field: The field.
        name: Path of the file that it names, beside the config where it trains.
        files: All files that belong to it by their paths there, each with its path here.
    """

    field: str
    name: str
    files: dict[str, Path]


def carried(config: RunConfig, shared: str | None) -> tuple[CarriedFiles, ...]:
    """What travels with a config.

    Args:
        config: The config.
        shared: Folder that all nodes see by this path; what lies in it stays there.

    Raises:
        ConfigError: If a file is not here, or is none of its kind.
    """

    def stays(path: Path) -> bool:
        return shared is not None and path.absolute().is_relative_to(shared)

    found = []
    if isinstance(config.network, Imported) and not stays(config.network.onnx):
        found.append(_network(config.network.onnx))
    if config.weights is not None and not stays(config.weights):
        if not is_file(config.weights):
            raise ConfigError(f"{WEIGHTS} must be a file, got {config.weights}")
        name = f"weights/{config.weights.name}"
        found.append(CarriedFiles(WEIGHTS, name, {name: config.weights}))
    return tuple(found)


def relocated(config: RunConfig, parts: tuple[CarriedFiles, ...], folder: str) -> RunConfig:
    """The config with paths of what travels with it in ``folder``, which may be empty."""
    paths = {part.field: Path(folder, part.name) for part in parts}
    network = config.network
    if isinstance(network, Imported):
        network = network.model_copy(update={"onnx": paths.get(NETWORK, network.onnx)})
    weights = paths.get(WEIGHTS, config.weights)
    return config.model_copy(update={"network": network, "weights": weights})


def _network(path: Path) -> CarriedFiles:
    """An ONNX file and those in its folder that hold its weights, placed as they are here."""
    files = {path.name: path}
    files |= {os.path.relpath(file, path.parent): file for file in external_files(path)}
    placed = {f"network/{name}": file for name, file in files.items()}
    return CarriedFiles(NETWORK, f"network/{path.name}", placed)

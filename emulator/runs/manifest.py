"""The manifest of a checkpoint: what it belongs to, and the checksums of its files."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import msgpack
from pydantic import Field, TypeAdapter, ValidationError

from crossmesh.common.storage import Storage
from crossmesh.emulator.config.run import DATA_PATHS, RunConfig
from crossmesh.emulator.runs.history import History
from crossmesh.tiles.analog.backends import EMULATED
from crossmesh.tiles.runtime.tile_file import Damaged

MANIFEST = "manifest.msgpack"
# Neither changes a bit of the chip's state, so a run may be resumed with other values.
_FREE: dict[str, Any] = {
    "name": True,
    "engine": True,
    "checkpoint": True,
    "data": set(DATA_PATHS),
    "training": {
        "epochs",
        "baseline",
        "log_every",
        "stop_early",
        "test_examples",
        "evaluation_batch",
    },
}

# Fields that older runs do not have, and their values then: they count where they are set.
_LATER: dict[str, dict[str, Any]] = {
    "data": {
        **dict.fromkeys(("tokens", "columns", "only_classes")),
        **dict.fromkeys(("augment", "normalise", "validation", "options")),
        "stratified": False,
    },
    "training": {"class_weights": None, "stop_early": None},
}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Manifest of a checkpoint.

    Attributes:
        schema: Version of this format.
        config: Digest of what decides the state, see ``lineage``.
        data: Digest of the examples.
        history: The run so far.
        files: sha256 of each tile's file, by name.
        physics: Version of the physics; manifests without it are of version 1.
        backend: Name of the maker of the tiles; manifests without it are of the emulation.
    """

    schema: Literal[2]
    config: str
    data: str
    history: History
    files: dict[str, str]
    physics: Annotated[int, Field(ge=1)] = 1
    backend: str = EMULATED

    def packed(self) -> bytes:
        """The manifest as bytes, with its checksum."""
        history = {
            **asdict(self.history),
            "rows": [tuple(row) for row in self.history.rows],
            "recoveries": [tuple(row) for row in self.history.recoveries],
            "measured": tuple(self.history.measured),
        }
        body = msgpack.packb({**asdict(self), "history": history})
        packed: bytes = msgpack.packb({"sha256": hashlib.sha256(body).hexdigest(), "body": body})
        return packed


_MANIFESTS = TypeAdapter(Manifest)


def digest(config: RunConfig, exclude: dict[str, Any]) -> str:
    """sha256 of a config without what is excluded, and of where its pipeline is drained.

    Where files of weights lie is left out: what they hold belongs to the digest of the data.
    """
    tree = config.model_dump(mode="json", exclude={**exclude, "weights": True})
    if isinstance(tree["network"], dict):
        del tree["network"]["onnx"]
    for section, fields in _LATER.items():
        for name, value in fields.items():
            if tree[section].get(name, 0) == value:
                tree[section].pop(name, None)
    if config.engine.backend != EMULATED:
        tree["backend"] = config.engine.backend
    if config.drained_every is not None:
        tree["drained_every"] = config.drained_every
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def lineage(config: RunConfig) -> str:
    """sha256 of what decides the chip's state after a number of examples."""
    free = dict(_FREE)
    if config.training.watches_losses:  # as they are measured, they decide the learning rate
        free["training"] = free["training"] - {"log_every", "test_examples", "evaluation_batch"}
    return digest(config, free)


def read_manifest(folder: Storage) -> Manifest:
    """The manifest in a folder.

    Raises:
        Damaged: If there is none, as it was written.
    """
    try:
        outer = msgpack.unpackb(folder.read(MANIFEST))
        body = outer["body"]
        if hashlib.sha256(body).hexdigest() != outer["sha256"]:
            raise ValueError("its checksum differs")
        return _MANIFESTS.validate_python(msgpack.unpackb(body))
    except ValidationError as error:
        raise Damaged(f"its manifest cannot be read ({error.errors()[0]['msg']})") from None
    except FileNotFoundError:
        raise Damaged("its manifest is missing") from None
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise Damaged(f"its manifest cannot be read ({error})") from None

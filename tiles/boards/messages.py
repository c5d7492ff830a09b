"""Messages of the protocol: requests and answers as msgpack maps, checked before they are used.

``docs/board-protocol.md`` says what each holds. Numbers of lines are uint16, counts int16,
conductances, voltages and currents float32, all as little-endian bytes.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.boards.hardware import ABILITIES, Description

OPS = ("hello", "read", "pulse", "set", "product", "status")
SESSION_BYTES = 8
_TYPES = {
    "rows": "<u2", "cols": "<u2", "read_rows": "<u2", "read_cols": "<u2", "counts": "<i2",
}  # others are float32  # fmt: skip


class Malformed(ValueError):  # noqa: N818  because it names what a message is
    """A message that is whole, but not what the protocol says."""


def packed(message: Mapping[str, Any]) -> bytes:
    """A message as bytes; arrays become bytes of their type on the wire."""
    return bytes(msgpack.packb(_wired("", message)))


def _wired(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _wired(key, each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value, _TYPES.get(name, "<f4")).tobytes()
    return value


def unpacked(data: bytes) -> dict[str, Any]:
    """A message of bytes.

    Raises:
        Malformed: If it is no map with texts as keys, a ``session`` and an ``id``.
    """
    try:
        message = msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise Malformed(f"a message must be msgpack, got {error}") from None
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise Malformed("a message must be a map with texts as keys")
    if not _is_number(message.get("id")):
        raise Malformed(f"id must be an integer from 0 to 2**32 - 1, got {message.get('id')!r}")
    session = message.get("session")
    if not isinstance(session, bytes) or len(session) != SESSION_BYTES:
        raise Malformed(f"session must be {SESSION_BYTES} bytes")
    return message


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32


def array_of(
    message: Mapping[str, Any], name: str, shape: tuple[int, ...] | None = None
) -> NDArray[Any]:
    """An array in a message; ``shape`` None: a vector of any length.

    Raises:
        Malformed: If it is missing, of another length, or not finite.
    """
    data = message.get(name)
    dtype = np.dtype(_TYPES.get(name, "<f4"))
    if not isinstance(data, bytes) or len(data) % dtype.itemsize:
        raise Malformed(f"{name} must be bytes of {dtype.str}, got {type(data).__name__}")
    values = np.frombuffer(data, dtype)
    if shape is not None:
        if values.size != np.prod(shape, dtype=int):
            raise Malformed(
                f"{name} must have {np.prod(shape, dtype=int)} numbers, got {values.size}"
            )
        values = values.reshape(shape)
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise Malformed(f"{name} must be finite numbers")
    return values


def number_of(message: Mapping[str, Any], name: str, default: float = 0.0) -> float:
    """A number in a message that is not below 0.

    Raises:
        Malformed: If it is something else.
    """
    value = message.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
        raise Malformed(f"{name} must be a number of at least 0, got {value!r}")
    return float(value)


def described(description: Description) -> dict[str, Any]:
    """A description as a part of a message."""
    return {**asdict(description), "can": list(description.can)}


def description_of(message: Any) -> Description:
    """The description in a message.

    Raises:
        Malformed: If a field is missing, unknown or of another type.
    """
    if not isinstance(message, Mapping):
        raise Malformed(f"describes must be a map, got {type(message).__name__}")
    known = {field.name for field in fields(Description)}  # others are of a later version
    values: dict[str, Any] = {}
    for name, value in message.items():
        if name in known:
            if not _is_right(name, value):
                raise Malformed(f"describes.{name} is {value!r}, which it cannot be")
            values[name] = value
    values["can"] = tuple(each for each in values.get("can", ()) if each in ABILITIES)
    try:
        return Description(**values)
    except (TypeError, ValueError) as error:
        raise Malformed(f"describes is wrong: {error}") from None


def _is_right(name: str, value: Any) -> bool:
    """Whether a field of a description is of its type."""
    if isinstance(value, bool):
        return False
    if name in {"rows", "cols", "max_cells"}:
        return isinstance(value, int)
    if name == "name":
        return isinstance(value, str)
    if name == "can":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, int | float) and 0 <= value < np.inf

"""Messages between tile hosts, and their wire format.

A message is two frames: a msgpack header and the raw bytes of the payload in C order. Nothing is
ever unpickled; everything in a header is checked before the payload is touched.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

KINDS = ("activation", "partial_sum", "error", "gradient")
MAX_HEADER_BYTES = 256
MAX_PAYLOAD_BYTES = 1 << 31
MAX_AXES = 8
_FIELD_TYPES = (int, int, int, str, str, tuple)

DTYPES: dict[str, np.dtype[Any]] = {
    code: np.dtype(code)
    for code in ("<f4", "<f2", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8")
}


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One array on its way from one tile host to another.

    Attributes:
        generation: Raised on every recovery; older messages are dropped.
        micro_batch: The micro-batch that the payload belongs to.
        edge: Edge of the compiled program along which the message travels.
        kind: One of ``KINDS``.
        payload: Array of any shape, of one of ``DTYPES``.
    """

    generation: int
    micro_batch: int
    edge: int
    kind: str
    payload: NDArray[Any]

    def __post_init__(self) -> None:
        if self.generation < 0 or self.micro_batch < 0 or self.edge < 0:
            numbers = (self.generation, self.micro_batch, self.edge)
            raise ValueError(
                f"Message.generation, micro_batch and edge must be >= 0, got {numbers}"
            )
        if self.kind not in KINDS:
            raise ValueError(f"Message.kind must be one of {KINDS}, got {self.kind!r}")
        payload = self.payload
        if payload.dtype.str not in DTYPES:
            raise ValueError(
                f"Message.payload must be of dtype {', '.join(DTYPES)}, got {payload.dtype.str}"
            )
        if payload.ndim > MAX_AXES:
            raise ValueError(f"Message.payload must have <= {MAX_AXES} axes, got {payload.ndim}")
        if payload.nbytes > MAX_PAYLOAD_BYTES:
            raise ValueError(
                f"Message.payload must have <= {MAX_PAYLOAD_BYTES} bytes, got {payload.nbytes}"
            )


def encode(message: Message) -> tuple[bytes, memoryview]:
    """Header and payload of ``message`` as two frames.

    Returns:
        The msgpack header, and a view of the payload, or of a copy where it is not in C order.
    """
    payload = message.payload
    header: bytes = msgpack.packb(
        (
            message.generation,
            message.micro_batch,
            message.edge,
            message.kind,
            payload.dtype.str,
            payload.shape,
        )
    )
    return header, (payload if payload.flags.c_contiguous else payload.copy(order="C")).data


def decode(frames: Sequence[bytes | memoryview]) -> Message:
    """The message in two frames, its payload without a copy.

    Only a payload whose bytes are not aligned for its dtype is copied, since compiled kernels take
    aligned arrays: ZeroMQ packs the frames below 8 KiB closely into one buffer.

    Args:
        frames: Header and payload, as ``encode`` made them.

    Raises:
        ValueError: The frames are not a message; nothing was made of them.
    """
    if len(frames) != 2:
        raise ValueError(f"a message must have 2 frames, got {len(frames)}")
    header, body = frames
    generation, micro_batch, edge, kind, code, shape = _unpacked(header)
    dtype = DTYPES.get(code)
    if dtype is None:
        raise ValueError(f"a payload must be of dtype {', '.join(DTYPES)}, got {code!r}")
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a payload must have <= {MAX_PAYLOAD_BYTES} bytes, got {n_bytes}")
    got_bytes = body.nbytes if isinstance(body, memoryview) else len(body)
    if got_bytes != n_bytes:
        raise ValueError(
            f"a payload of shape {shape} and dtype {code} must have {n_bytes} bytes,"
            f" got {got_bytes}"
        )
    payload: NDArray[Any] = np.ndarray(shape, dtype, body)
    if not payload.flags.aligned:
        payload = payload.copy()
    return Message(generation, micro_batch, edge, kind, payload)


def _unpacked(header: bytes | memoryview) -> tuple[int, int, int, str, str, tuple[int, ...]]:
    """The fields of a header, each of its own type."""
    if len(header) > MAX_HEADER_BYTES:
        raise ValueError(f"a header must have <= {MAX_HEADER_BYTES} bytes, got {len(header)}")
    try:
        fields = msgpack.unpackb(header, use_list=False)
    except ValueError as error:
        raise ValueError(f"a header must be msgpack, got {bytes(header)!r}: {error}") from error
    if type(fields) is not tuple or tuple(map(type, fields)) != _FIELD_TYPES:
        raise ValueError(
            f"a header must be (generation, micro_batch, edge, kind, dtype, shape), got {fields!r}"
        )
    shape = fields[5]
    if len(shape) > MAX_AXES or not all(
        type(n) is int and 0 <= n <= MAX_PAYLOAD_BYTES for n in shape
    ):
        raise ValueError(
            f"a shape must be <= {MAX_AXES} whole numbers in [0, {MAX_PAYLOAD_BYTES}], got {shape}"
        )
    return fields

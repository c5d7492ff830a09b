"""Messages between tile hosts, and their wire format.

A message is a header of fixed fields, little-endian, and the raw bytes of the payload in C order.
Nothing is ever unpickled; everything in a header is checked before the payload is touched.
"""

import math
from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("activation", "partial_sum", "error", "gradient")
MAX_PAYLOAD_BYTES = 1 << 31
MAX_AXES = 8

DTYPES: dict[str, np.dtype[Any]] = {
    code: np.dtype(code)
    for code in ("<f4", "<f2", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8")
}
_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_CODES = tuple(DTYPES)
_CODE_NUMBERS = {code: number for number, code in enumerate(_CODES)}
# By axes: their number, kind, dtype, generation, micro-batch, edge, and the shape.
_HEADERS = tuple(Struct(f"<BBBx3Q{n_axes}Q") for n_axes in range(MAX_AXES + 1))
MAX_HEADER_BYTES = _HEADERS[-1].size


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
        if self.kind not in _KIND_NUMBERS:
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
    """Header and payload of ``message``.

    Returns:
        The header, and a view of the payload, or of a copy where it is not in C order.
    """
    payload = message.payload
    header = _HEADERS[payload.ndim].pack(
        payload.ndim,
        _KIND_NUMBERS[message.kind],
        _CODE_NUMBERS[payload.dtype.str],
        message.generation,
        message.micro_batch,
        message.edge,
        *payload.shape,
    )
    return header, (payload if payload.flags.c_contiguous else payload.copy(order="C")).data


def decode(header: bytes | memoryview, body: bytearray) -> Message:
    """The message with this header, whose payload is ``body`` itself.

    Args:
        header: As ``encode`` made it.
        body: The bytes of the payload, which nothing else uses.

    Raises:
        ValueError: They are not a message; nothing was made of them.
    """
    n_axes = header[0] if len(header) else 0
    if n_axes > MAX_AXES or len(header) != _HEADERS[n_axes].size:
        raise ValueError(f"a header must be that of <= {MAX_AXES} axes, got {bytes(header)!r}")
    _, kind, code, generation, micro_batch, edge, *shape = _HEADERS[n_axes].unpack(header)
    if kind >= len(KINDS) or code >= len(_CODES):
        raise ValueError(
            f"a header must have a kind < {len(KINDS)} and a dtype < {len(_CODES)}, "
            f"got {kind} and {code}"
        )
    dtype = DTYPES[_CODES[code]]
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes != len(body) or max(shape, default=0) > MAX_PAYLOAD_BYTES:
        raise ValueError(
            f"a payload of shape {tuple(shape)} and dtype {dtype.str} must have {n_bytes} bytes, "
            f"<= {MAX_PAYLOAD_BYTES}, got {len(body)}"
        )
    payload: NDArray[Any] = np.ndarray(shape, dtype, body)
    return Message(generation, micro_batch, edge, KINDS[kind], payload)

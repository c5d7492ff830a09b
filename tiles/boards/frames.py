"""Frames: how messages stand in a stream of bytes that may lose, add or change some.

A frame is a header of 12 bytes, the message, and its checksum. The header is ``XB``, the version
of the protocol, a zero, the length of the message in bytes, and the CRC-32 of these eight bytes;
all numbers are little-endian. What does not fit is skipped up to the next ``XB``.
"""

from collections.abc import Iterator
from struct import Struct
from zlib import crc32

VERSION = 1
MAX_BYTES = 1 << 20  # of a message
_MAGIC = b"XB"
_BEGUN, _SUM = Struct("<2sBxI"), Struct("<I")
_HEADER_BYTES = _BEGUN.size + _SUM.size


def framed(message: bytes) -> bytes:
    """A message as a frame.

    >>> framed(b"").hex()
    '5842010000000000ef8029fb00000000'
    """
    begun = _BEGUN.pack(_MAGIC, VERSION, len(message))
    return b"".join((begun, _SUM.pack(crc32(begun)), message, _SUM.pack(crc32(message))))


class Frames:
    """The messages in a stream.

    Attributes:
        damaged: Frames that were begun and skipped.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._rest = bytearray()

    def fed(self, data: bytes) -> Iterator[bytes]:
        """Messages that are whole once ``data`` has come."""
        self._rest += data
        while (found := self._next()) is not None:
            yield found

    def given_up(self) -> Iterator[bytes]:
        """Messages behind the beginning of a frame whose rest will not come."""
        while self._rest.startswith(_MAGIC):
            self.damaged += 1
            del self._rest[: len(_MAGIC)]
            yield from self.fed(b"")

    def _next(self) -> bytes | None:
        rest = self._rest
        while True:
            start = rest.find(_MAGIC)
            if start < 0:
                del rest[: len(rest) - rest.endswith(_MAGIC[:1])]
                return None
            del rest[:start]
            if len(rest) < _HEADER_BYTES:
                return None
            _, version, length = _BEGUN.unpack_from(rest)
            is_header = _SUM.unpack_from(rest, _BEGUN.size)[0] == crc32(rest[: _BEGUN.size])
            if is_header and version == VERSION and length <= MAX_BYTES:
                end = _HEADER_BYTES + length
                if len(rest) < end + _SUM.size:
                    return None
                message = bytes(rest[_HEADER_BYTES:end])
                if _SUM.unpack_from(rest, end)[0] == crc32(message):
                    del rest[: end + _SUM.size]
                    return message
            self.damaged += 1
            del rest[: len(_MAGIC)]

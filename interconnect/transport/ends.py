"""The two ends of a channel, which every kind of channel implements."""

from typing import Protocol

from crossmesh.interconnect.transport.messages import Message

# How long a blocked end waits before it looks whether to stop.
PATIENCE_S = 0.1
HANDSHAKE_S = 3.0  # a stranger that has connected must have shown who it is by then


class Broken(ConnectionError):  # noqa: N818  because it names what happened
    """The other end of a channel is gone, or did not let us in."""


class Sender(Protocol):
    """The end of a channel at its source."""

    def put(self, header: bytes, payload: memoryview, *, wait: bool) -> bool:
        """Queue a message, of which nothing is used afterwards.

        Args:
            header: As ``encode`` makes it.
            payload: Likewise.
            wait: Whether to wait up to ``PATIENCE_S`` for room.

        Returns:
            Whether there was room.

        Raises:
            Broken: It will not arrive.
        """
        ...

    def close(self) -> None:
        """Leave the channel."""
        ...


class Receiver(Protocol):
    """The end of a channel at its destination, which listens for the source.

    Attributes:
        address: Where the source must connect.
    """

    address: str

    @property
    def is_met(self) -> bool:
        """Whether the source has connected and was let in."""
        ...

    def get(self, *, wait: bool) -> Message | None:
        """The next message.

        Args:
            wait: Whether to wait up to ``PATIENCE_S`` for one.

        Raises:
            Broken: The source is gone, and all that it sent has been received.
            ValueError: What arrived is not a message.
        """
        ...

    def drain(self) -> None:
        """Take in what has arrived, so that it is not in the way of its source."""
        ...

    def close(self) -> None:
        """Leave the channel, with no file left behind."""
        ...

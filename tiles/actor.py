"""The Ray actor around a tile host: it moves calls and messages, the host does the work."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ray
from threadpoolctl import threadpool_limits

from interconnect.channels import Channels, ChannelStopped
from interconnect.interfaces import Ipc, Keys, Tcp
from tiles.aging import Aging
from tiles.binding import Feed
from tiles.host import Assignment, TileHost
from tiles.measure import Measurement, Progress, TileReport
from tiles.program import Span


class Spot(NamedTuple):
    """Where an actor runs, and its public key for channels between nodes."""

    node: str
    ip: str
    key: bytes


class TileActor:
    """Hosts tiles in a process of its own. Created through ``actor_class``.

    Args:
        assignment: What the host holds and does.
        train: Training examples, if the host needs them.
        test: Test examples, if the host needs them.
        generation: Generation of the messages, raised by every recovery.
        capacity: Messages queued per channel before its source waits.
    """

    def __init__(
        self,
        assignment: Assignment,
        train: Feed | None,
        test: Feed | None,
        generation: int,
        capacity: int,
    ) -> None:
        threadpool_limits(1)  # law 1: the same bits however many cores there are
        self._keys = Keys.generate()
        self._folder: Path | None = None  # of the sockets within this node
        self._channels = Channels(generation=generation, capacity=capacity, keys=self._keys)
        feeds = {name: feed for name, feed in (("train", train), ("test", test)) if feed}
        self._host = TileHost(assignment, feeds, self._channels)

    def spot(self) -> Spot:
        """Where this actor runs; its answer also says that it is ready."""
        context = ray.get_runtime_context()
        return Spot(context.get_node_id(), ray.util.get_node_ip_address(), self._keys.public)

    def listen(self, peers: dict[int, Spot], folder: str) -> dict[int, str]:
        """Open a channel from every peer.

        Args:
            peers: Where each of them runs.
            folder: Name for a folder of sockets, in this node's folder for temporary files.

        Returns:
            Addresses by peer.
        """
        here = ray.get_runtime_context().get_node_id()
        address = ray.util.get_node_ip_address()
        if any(spot.node == here for spot in peers.values()):
            self._folder = Path(tempfile.gettempdir()) / folder
            self._folder.mkdir(mode=0o700)
        return {
            peer: self._channels.listen(
                peer,
                Ipc(folder=self._folder)
                if self._folder and spot.node == here
                else Tcp(host=address, client_key=spot.key),
            )
            for peer, spot in peers.items()
        }

    def connect(self, peers: dict[int, tuple[str, bytes]]) -> None:
        """Open a channel to every peer, given its address and public key."""
        for peer, (address, key) in peers.items():
            self._channels.connect(peer, address, key)

    def run(self, span: Span) -> list[Measurement]:
        """Perform this host's part of a span; an empty list after ``stop``."""
        try:
            return self._host.run(span)
        except ChannelStopped:
            return []

    def progress(self) -> Progress:
        """How far the running span is."""
        return self._host.meter.progress

    def stop(self) -> None:
        """Make a running span end soon."""
        self._channels.stop()

    def close(self) -> None:
        """Close all channels."""
        self._channels.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, weights: Callable[..., Any]) -> None:
        """Set every tile from a function of (layer, corner, shape)."""
        self._host.write(weights)

    def save(self, folder: str) -> None:
        """Write every tile's state to a folder."""
        self._host.save(Path(folder))

    def load(self, folder: str) -> None:
        """Read every tile's state from a folder."""
        self._host.load(Path(folder))

    def age(self, aging: Aging | None) -> None:
        """Read every tile from programmed memories that have aged; None: from its crossbar."""
        self._host.age(aging)

    def digests(self) -> dict[int, bytes]:
        """sha256 of each tile's device state."""
        return self._host.digests()

    def reports(self) -> list[TileReport]:
        """Rows of the tiles table."""
        return self._host.reports()

    def counters(self) -> dict[str, float]:
        """Messages and bytes sent, and seconds spent waiting for channels."""
        channels = self._channels
        return {
            "messages": channels.n_sent,
            "bytes": channels.bytes_sent,
            "wait_s": channels.wait_s,
        }


def actor_class() -> Any:
    """``TileActor`` as a Ray actor class: never restarted, since a restarted one would be empty.

    Calls named in the group ``control`` are answered while a span runs.
    """
    for name in ("progress", "stop"):
        method = ray.method(concurrency_group="control")(getattr(TileActor, name))
        setattr(TileActor, name, method)
    remote: Any = ray.remote  # its types do not know concurrency groups
    make = remote(max_restarts=0, max_task_retries=0, concurrency_groups={"control": 1})
    return make(TileActor)

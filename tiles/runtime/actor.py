"""The Ray actor around a tile host: it moves calls and messages, the host does the work."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import ray
from threadpoolctl import threadpool_limits

from crossmesh.common.private_folders import PrivateFolder
from crossmesh.common.version import VERSION
from crossmesh.interconnect.transport.channels import Channels, ChannelStopped
from crossmesh.interconnect.transport.curve import Keys
from crossmesh.interconnect.transport.endpoints import Tcp, Unix
from crossmesh.tiles.analog.array import State
from crossmesh.tiles.analog.retention import Aging
from crossmesh.tiles.runtime.assignment import Assignment
from crossmesh.tiles.runtime.host import TileHost
from crossmesh.tiles.runtime.measure import HostReport, Outcome, Progress, TileReport
from crossmesh.tiles.runtime.processor import arithmetic
from crossmesh.tiles.runtime.program import FEEDS, Span
from crossmesh.tiles.runtime.steps import Feed


class Spot(NamedTuple):
    """Node and address of an actor, its public key, and its processor and BLAS."""

    node: str
    ip: str
    pid: int
    version: str
    key: bytes
    arithmetic: str = ""


class TileActor:
    """Hosts tiles in a process of its own. Created through ``actor_class``.

    Args:
        assignment: Tiles and operations of all hosts.
        host: Which of them this one is.
        host_of: Host of each tile.
        feeds: Examples of each of ``FEEDS``, None where the host needs none.
    """

    def __init__(
        self, assignment: Assignment, host: int, host_of: tuple[int, ...], *feeds: Feed | None
    ) -> None:
        threadpool_limits(1)  # the same bits however many cores there are
        self._keys = Keys.generate()
        self._folder: PrivateFolder | None = None  # of the sockets within this node
        self._channels: Channels | None = None
        self._host = TileHost(replace(assignment, host=host, host_of=host_of), _needed(feeds))

    def assign(
        self,
        host: int,
        host_of: tuple[int, ...],
        tiles: Sequence[int],
        train: Feed | None,
        test: Feed | None,
        validation: Feed | None,
        *states: State,
    ) -> None:
        """Hold other tiles from now on, of which those given are in these states."""
        self._host.assign(host, host_of, _needed((train, test, validation)))
        for tile, state in zip(tiles, states, strict=True):
            self._host.tiles[tile].load(state)

    def state(self, tile: int) -> State:
        """State of a tile, as in a checkpoint."""
        return self._host.tiles[tile].state()

    def time_tiles(self, on: bool) -> dict[int, float]:
        """Begin or end to time operations; seconds of each tile since this began."""
        return self._host.time_tiles(on)

    def join(self, generation: int, capacity: int) -> Spot:
        """Leave all channels, and be ready for others.

        Args:
            generation: Generation of their messages, raised by every recovery.
            capacity: Messages queued per channel before its source waits.

        Returns:
            Where this actor runs.
        """
        self.close()
        self._channels = Channels(generation=generation, capacity=capacity, keys=self._keys)
        self._host.join(self._channels)
        context = ray.get_runtime_context()
        ip = ray.util.get_node_ip_address()
        node, pid, key = context.get_node_id(), os.getpid(), self._keys.public
        return Spot(node, ip, pid, VERSION, key, arithmetic())

    def listen(self, peers: dict[int, Spot]) -> dict[int, str]:
        """Open a channel from every peer.

        Args:
            peers: Node of each of them.

        Returns:
            Addresses by peer.
        """
        here = ray.get_runtime_context().get_node_id()
        address = ray.util.get_node_ip_address()
        if any(spot.node == here for spot in peers.values()):
            self._folder = PrivateFolder()
        channels = self._open
        return {
            peer: channels.listen(
                peer,
                Unix(folder=self._folder.path)
                if self._folder and spot.node == here
                else Tcp(host=address, client_key=spot.key),
            )
            for peer, spot in peers.items()
        }

    def connect(self, peers: dict[int, tuple[str, bytes]]) -> None:
        """Open a channel to every peer, given its address and public key."""
        for peer, (address, key) in peers.items():
            self._open.connect(peer, address, key)

    def await_peers(self, timeout_s: float) -> None:
        """Wait until all peers have connected; then the files of the sockets have served."""
        self._open.await_peers(timeout_s)
        self._remove_folder()

    @property
    def _open(self) -> Channels:
        assert self._channels is not None
        return self._channels

    def run(self, span: Span) -> tuple[Outcome | None, HostReport]:
        """Perform this host's part of a span; None instead of an outcome after ``stop``."""
        outcome = None
        with contextlib.suppress(ChannelStopped):
            outcome = self._host.run(span)
        return outcome, self._report()

    def status(self) -> tuple[Progress, HostReport]:
        """Progress of the running span, and how the time was spent."""
        return self._host.meter.progress, self._report()

    def _report(self) -> HostReport:
        node = ray.get_runtime_context().get_node_id()
        return self._host.report()._replace(node=node, ip=ray.util.get_node_ip_address())

    def stop(self, generation: int) -> None:
        """Make a running span of this generation end soon; a late call ends none of a later one."""
        channels = self._channels
        if channels and channels.generation == generation:
            channels.stop()

    def close(self) -> None:
        """Close all channels."""
        if self._channels:
            self._channels.close()
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder:
            self._folder.remove()
            self._folder = None

    def write(self, weights: Callable[..., Any]) -> None:
        """Set every tile from a function of (layer, corner, shape)."""
        self._host.write(weights)

    def save(self, folder: str) -> dict[str, str]:
        """Write every tile's state to a folder; sha256 of each file by its name."""
        from crossmesh.common.storage import Storage  # when it is needed: it takes pyarrow

        return self._host.save(Storage(folder))

    def load(self, folder: str, files: Mapping[str, str]) -> None:
        """Read every tile's state from a folder, given the sha256 of each file by its name."""
        from crossmesh.common.storage import Storage

        self._host.load(Storage(folder), files)

    def age(self, aging: Aging | None) -> None:
        """Read every tile from programmed memories that have aged; None: from its crossbar."""
        self._host.age(aging)

    def digests(self) -> dict[int, bytes]:
        """sha256 of each tile's device state."""
        return self._host.digests()

    def reports(self) -> list[TileReport]:
        """Rows of the tiles table."""
        return self._host.reports()


def _needed(feeds: tuple[Feed | None, ...]) -> dict[str, Feed]:
    """The sources of examples that a host needs, by name."""
    return {name: feed for name, feed in zip(FEEDS, feeds, strict=True) if feed}


def actor_class() -> Any:
    """``TileActor`` as a Ray actor class: never restarted, since a restarted one would be empty.

    Calls named in the group ``control`` are answered while a span runs.
    """
    for name in ("status", "stop"):
        method = ray.method(concurrency_group="control")(getattr(TileActor, name))
        setattr(TileActor, name, method)
    remote: Any = ray.remote  # its types do not know concurrency groups
    make = remote(max_restarts=0, max_task_retries=0, concurrency_groups={"control": 1})
    return make(TileActor)

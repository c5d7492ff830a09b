"""The actors of one run: made, connected, asked, replaced and ended."""

import contextlib
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from emulator.errors import HostLost
from emulator.executors.calls import Failure, answers
from emulator.executors.placement import Placement
from interconnect.channels import ChannelLost
from tiles.actor import Spot

CONNECT_S = 10.0  # longest wait for channels to open
REPLY_S = 3.0  # a host that has not left its span by then counts as lost
CLOSE_S = 5.0  # longest wait for actors to close their channels


class Unreachable(HostLost):
    """A host could not open a channel to another.

    Attributes:
        pair: Numbers of the two.
    """

    def __init__(self, message: str, pair: tuple[int, int]) -> None:
        super().__init__(message)
        self.pair = pair


class Members:
    """The actors of a run, in the order of their hosts.

    Args:
        placement: Which tiles each holds.
        timeout_s: Longest wait for an answer.
    """

    def __init__(self, placement: Placement, timeout_s: float) -> None:
        self._placement = placement
        self._timeout_s = timeout_s
        self._actors: list[Any] = [None] * placement.n_hosts
        self.spots: list[Spot | None] = [None] * placement.n_hosts
        self._folders: set[Path] = set()  # of sockets within this node

    def make(self, hosts: list[int], create: Callable[[int], Any]) -> None:
        """Make actors for some hosts; an old one is ended, whether it hears or not."""
        for host in hosts:
            if self._actors[host] is not None:
                with contextlib.suppress(Exception):
                    ray.kill(self._actors[host])
            self._actors[host], self.spots[host] = create(host), None

    def join(self, generation: int, capacity: int) -> None:
        """Have new actors leave their constructor, and all of them get ready for channels.

        Raises:
            HostLost: If one of them dies or does not answer.
        """
        self.spots = list(self.all("join", generation, capacity))

    def leave(self, generation: int, capacity: int) -> list[int]:
        """Have all actors leave what they do; hosts whose actors do not answer."""
        self.stop()
        futures = [actor.join.remote(generation, capacity) for actor in self._actors]
        done, _ = ray.wait(futures, num_returns=len(futures), timeout=REPLY_S)
        lost = []
        for host, future in enumerate(futures):
            try:
                self.spots[host] = ray.get(future, timeout=0) if future in set(done) else None
            except RayError:
                self.spots[host] = None
            if self.spots[host] is None:
                lost.append(host)
        return lost

    def connect(self, pairs: set[tuple[int, int]]) -> None:
        """Open a channel for every pair of source and target.

        Raises:
            Unreachable: If a channel cannot be opened.
            HostLost: If an actor is lost meanwhile.
        """
        spots, hosts = self.spots, range(len(self._actors))
        token = secrets.token_hex(8)
        sources = {host: {source for source, target in pairs if target == host} for host in hosts}
        addresses: list[dict[int, str]] = self.each(
            "listen",
            [
                ({peer: spots[peer] for peer in sources[host]}, f"crossmesh-{token}-{host}")
                for host in hosts
            ],
        )
        self._folders |= {
            Path(address.removeprefix("ipc://")).parent
            for answer in addresses
            for address in answer.values()
            if address.startswith("ipc://")
        }
        keys = [spot.key if spot else b"" for spot in spots]
        targets = {host: {target for source, target in pairs if source == host} for host in hosts}
        self.each(
            "connect",
            [({to: (addresses[to][host], keys[to]) for to in targets[host]},) for host in hosts],
        )
        self._await_peers()

    def _await_peers(self) -> None:
        futures = [actor.await_peers.remote(CONNECT_S) for actor in self._actors]
        try:
            answers(futures, self._timeout_s)
        except Failure as failure:
            host, error = next(iter(failure.errors.items()))
            cause = getattr(error, "cause", None)
            there = self.spots[cause.peer] if isinstance(cause, ChannelLost) else None
            here = self.spots[host]
            if failure.is_symptom and cause and there and here:
                raise Unreachable(
                    f"{there.ip} could not open a channel to {here.ip} within {CONNECT_S:g} s: "
                    "a firewall or a broken link may be between them",
                    (cause.peer, host),
                ) from None
            raise failure.reason(self.name) from None

    # Asking

    def all(self, method: str, *arguments: Any, **options: Any) -> list[Any]:
        """Call a method of every actor with the same arguments, and wait for all answers."""
        return self.each(method, [arguments] * len(self._actors), **options)

    def each(self, method: str, arguments: list[tuple[Any, ...]], **options: Any) -> list[Any]:
        """Call a method of every actor, each with its own arguments, and wait for all answers."""
        calls = zip(self._actors, arguments, strict=True)
        return self.answers([getattr(actor, method).remote(*own) for actor, own in calls],
                            **options)  # fmt: skip

    def answers(
        self, futures: list[Any], timeout_s: float | None = None, **options: Any
    ) -> list[Any]:
        """Answers to one call of every actor; see ``calls.answers``."""
        timeout_s = timeout_s or self._timeout_s
        try:
            return answers(futures, timeout_s, **options)
        except Failure as failure:
            self.stop()
            raise failure.reason(self.name) from None
        except TimeoutError as error:
            raise HostLost(
                f"{error} within engine.timeout_s ({timeout_s:g} s): the cluster may lack CPUs "
                "or memory"
            ) from None

    def heard(self, method: str, wait_s: float) -> Mapping[int, Any]:
        """Answers of those actors that answer at once, by host."""
        futures = [getattr(actor, method).remote() for actor in self._actors]
        done, _ = ray.wait(futures, num_returns=len(futures), timeout=wait_s)
        found = {}
        for host, future in enumerate(futures):
            if future in set(done):
                with contextlib.suppress(RayError):  # ``run`` meets the failure and names it
                    found[host] = ray.get(future)
        return found

    def name(self, host: int) -> str:
        """What to call an actor."""
        tiles = [tile for tile, there in enumerate(self._placement.host_of) if there == host]
        name = f"tile {tiles[0]}" if len(tiles) == 1 else f"tiles {tiles[0]} to {tiles[-1]}"
        spot = self.spots[host]
        return f"the actor of {name}" + (f" on {spot.ip}" if spot else "")

    # Ending

    def stop(self) -> None:
        """Make running spans end soon."""
        for actor in filter(None, self._actors):
            with contextlib.suppress(Exception):
                actor.stop.remote()

    def close(self) -> None:
        """End all actors."""
        actors, self._actors = [actor for actor in self._actors if actor is not None], []
        try:
            if actors and ray.is_initialized():
                _end(actors)
        finally:
            for folder in self._folders:  # what an actor that was killed has left
                shutil.rmtree(folder, ignore_errors=True)


def _end(actors: list[Any]) -> None:
    for actor in actors:
        with contextlib.suppress(Exception):
            actor.stop.remote()
    closing = [actor.close.remote() for actor in actors]
    with contextlib.suppress(Exception):
        ray.wait(closing, num_returns=len(closing), timeout=CLOSE_S)
    for actor in actors:
        with contextlib.suppress(Exception):
            ray.kill(actor)

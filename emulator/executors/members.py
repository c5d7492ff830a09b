"""The actors of one run: made, connected, asked, replaced and ended."""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from crossmesh.common.errors import HostLost
from crossmesh.common.storage import NotRead, NotWritten
from crossmesh.common.supervision.reports import RAY_S, made, within
from crossmesh.emulator.executors.calls import Failure, answers
from crossmesh.emulator.executors.heart import Heart
from crossmesh.emulator.executors.placement import Placement
from crossmesh.interconnect.transport import unix
from crossmesh.interconnect.transport.channels import ChannelLost
from crossmesh.tiles.runtime.actor import Spot
from crossmesh.tiles.runtime.measure import HostReport, Progress
from crossmesh.tiles.runtime.tile_file import Damaged

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

    Attributes:
        spots: Node of each; None while it is not known.
        statuses: What each last said of its progress and its time, while others waited for it.
    """

    def __init__(self, placement: Placement, timeout_s: float) -> None:
        self._placement = placement
        self._timeout_s = timeout_s
        self._actors: list[Any] = [None] * placement.n_hosts
        self.spots: list[Spot | None] = [None] * placement.n_hosts
        self._generation = 0
        self._patience_s = 0.0
        self.statuses: dict[int, tuple[Progress, HostReport]] = {}
        self._folders: set[Path] = set()  # of sockets within this node

    def make(self, hosts: list[int], create: Callable[[int], Any]) -> None:
        """Make actors for some hosts; an old one is ended, whether it hears or not."""
        for host in hosts:
            with within(RAY_S, "making an actor"):
                if self._actors[host] is not None:
                    with contextlib.suppress(Exception):
                        ray.kill(self._actors[host])
                self._actors[host], self.spots[host] = create(host), None

    def join(self, generation: int, capacity: int) -> None:
        """Have new actors leave their constructor, and all of them get ready for channels.

        Raises:
            HostLost: If one of them dies or does not answer.
        """
        self._generation = generation
        # An actor that is not made yet cannot be asked whether it lives.
        self.spots = list(self.all("join", generation, capacity, beats=False))

    def states(self, tiles: Iterable[int]) -> dict[int, Any]:
        """References to the states of tiles, which other actors fetch from where they lie."""
        host_of = self._placement.host_of
        return {tile: self._actors[host_of[tile]].state.remote(tile) for tile in tiles}

    def take_over(
        self, placement: Placement, kept: Mapping[int, int], come: Mapping[int, Any]
    ) -> list[Any]:
        """Number the actors as another placement does; those that it has no place for.

        Args:
            placement: The placement, whose tiles the actors do not hold yet.
            kept: Present number of each actor that stays, by its new one.
            come: Actors that come, by number.
        """
        before, self._placement = self._actors, placement
        stay = {host: before[old] for host, old in kept.items()}
        self._actors = [{**stay, **come}[host] for host in range(placement.n_hosts)]
        self.spots = [None] * placement.n_hosts
        self.statuses.clear()
        return [actor for old, actor in enumerate(before) if old not in kept.values()]

    def assign(self, feeds: Callable[[int], list[Any]], states: Mapping[int, Any]) -> None:
        """Have every actor hold the tiles of the placement.

        Args:
            feeds: Examples that a host needs, by its number.
            states: States of some of the tiles; the others must be loaded or written.
        """
        host_of, calls = self._placement.host_of, []
        for host in range(len(self._actors)):
            mine = [tile for tile in states if host_of[tile] == host]
            calls.append((host, host_of, mine, *feeds(host), *(states[tile] for tile in mine)))
        self.each("assign", calls)

    def leave(self, generation: int, capacity: int) -> tuple[list[int], list[int]]:
        """Have all actors leave what they do; hosts that are lost, and those that are just silent.

        Silent ones may lie on a node that is gone, or frozen, without Ray's knowing it yet.
        """
        with within(RAY_S, "an answer of Ray"):
            return self._left(generation, capacity)

    def _left(self, generation: int, capacity: int) -> tuple[list[int], list[int]]:
        self.stop()
        self._generation = generation
        futures = [actor.join.remote(generation, capacity) for actor in self._actors]
        done, _ = ray.wait(futures, num_returns=len(futures), timeout=REPLY_S)
        answered = set(done)
        for host, future in enumerate(futures):
            self.spots[host] = None
            if future in answered:
                with contextlib.suppress(RayError):
                    self.spots[host] = ray.get(future)
        lost = [host for host, spot in enumerate(self.spots) if spot is None]
        return lost, [host for host in lost if futures[host] not in answered]

    def connect(self, pairs: set[tuple[int, int]]) -> None:
        """Open a channel for every pair of source and target.

        Raises:
            Unreachable: If a channel cannot be opened.
            HostLost: If an actor is lost meanwhile.
        """
        spots, hosts = self.spots, range(len(self._actors))
        sources = {host: {source for source, target in pairs if target == host} for host in hosts}
        addresses: list[dict[int, str]] = self.each(
            "listen",
            [({peer: spots[peer] for peer in sources[host]},) for host in hosts],
        )
        self._folders |= {
            Path(address.removeprefix(unix.SCHEME)).parent
            for answer in addresses
            for address in answer.values()
            if address.startswith(unix.SCHEME)
        }
        for folder in self._folders:
            made(folder)
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
            answers(futures, CONNECT_S + REPLY_S, patience_s=self._patience_s)
        except TimeoutError as late:
            raise HostLost(f"{late} while channels were opened") from None
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
        self,
        futures: list[Any],
        timeout_s: float | None = None,
        *,
        meanwhile: Callable[[], None] = lambda: None,
        patience_s: float | None = None,
        beats: bool = True,
    ) -> list[Any]:
        """Answers to one call of every actor; see ``calls.answers``.

        Args:
            futures: The calls.
            timeout_s: Longest wait, by default that of all calls.
            meanwhile: Called now and then.
            patience_s: Seconds for which a signal waits for them, by default see ``patient``.
            beats: Whether actors are asked meanwhile if they live, which updates ``statuses``.

        Raises:
            HostLost: If an actor dies, or does not answer, or a channel is lost.
            RunError: If a call fails for another reason.
        """
        timeout_s = timeout_s or self._timeout_s
        heart = Heart(self._actors, futures, self.statuses, self.name)

        def look() -> None:
            if beats:
                heart.beat()
            meanwhile()

        try:
            patience_s = self._patience_s if patience_s is None else patience_s
            return answers(futures, timeout_s, look, patience_s)
        except HostLost:
            self.stop()
            raise
        except Failure as failure:
            reason = failure.reason(self.name)
            if not isinstance(reason, Damaged | NotRead | NotWritten):  # hosts are as they were
                self.stop()
            raise reason from None
        except TimeoutError as error:
            raise HostLost(
                f"{error} within engine.timeout_s ({timeout_s:g} s): the cluster may lack CPUs "
                "or memory"
            ) from None

    def name(self, host: int) -> str:
        """What to call an actor."""
        tiles = [tile for tile, there in enumerate(self._placement.host_of) if there == host]
        name = f"tile {tiles[0]}" if len(tiles) == 1 else f"tiles {tiles[0]} to {tiles[-1]}"
        spot = self.spots[host]
        return f"the actor of {name}" + (f" on {spot.ip}" if spot else "")

    @contextlib.contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """Have a signal wait so long for each answer within the block."""
        self._patience_s = seconds
        try:
            yield
        finally:
            self._patience_s = 0.0

    # Ending

    def stop(self) -> None:
        """Make running spans end soon."""
        for actor in filter(None, self._actors):
            with contextlib.suppress(Exception):
                actor.stop.remote(self._generation)

    def close(self) -> None:
        """End all actors."""
        actors, self._actors = [actor for actor in self._actors if actor is not None], []
        try:
            if ray.is_initialized():
                self.end(actors)
        finally:
            for folder in self._folders:  # what an actor that was killed has left
                shutil.rmtree(folder, ignore_errors=True)

    def end(self, actors: list[Any]) -> None:
        """End some actors, after they have closed their channels."""
        if not actors:
            return
        with within(RAY_S, "the end of the actors"):
            for actor in actors:
                with contextlib.suppress(Exception):
                    actor.stop.remote(self._generation)
            closing = [actor.close.remote() for actor in actors]
            with contextlib.suppress(Exception):
                ray.wait(closing, num_returns=len(closing), timeout=CLOSE_S)
            for actor in actors:
                with contextlib.suppress(Exception):
                    ray.kill(actor)

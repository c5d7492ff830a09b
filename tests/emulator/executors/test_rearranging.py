"""Even shares: what is measured, when tiles move, and when they rather stay."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.executors import nodes, rearranging
from crossmesh.emulator.executors.arrangement import Arranger, staying
from crossmesh.emulator.executors.balance import (
    UNEVEN,
    Busy,
    by_host,
    excess,
    load_between,
    work_of_tiles,
)
from crossmesh.emulator.executors.placement import Machine, Placement, balanced, packed
from crossmesh.emulator.executors.rearranging import TrainingRate
from crossmesh.tiles.runtime.measure import HostReport
from tests.jobs import small_job

LONG_S = 1000.0  # so long is left of a run for which a move pays


def report(host, run_s, wait_s):
    return HostReport(host, "", "", 1, run_s, 0.0, wait_s, 0, 0, 0)


@given(st.lists(st.integers(80, 120), min_size=40, max_size=200), st.integers(1, 4))
def test_shares_are_even_where_tiles_are_small_enough(work, n_hosts):
    shares = by_host(work, balanced(work, n_hosts))

    assert len(shares) == n_hosts
    assert excess(shares) <= UNEVEN


@pytest.mark.parametrize("slow", [1.5, 2.0, 4.0])
def test_a_slow_host_gets_less_until_shares_are_even(slow):
    """Its tiles seem to be more work while they are there, so it takes some rounds."""
    n, speeds = 60, (1.0, slow)
    of_tile = balanced([1] * n, 2)
    for _ in range(6):
        seconds = [{tile: speeds[h] for tile in range(n) if of_tile[tile] == h} for h in (0, 1)]
        busy_s = [sum(each.values()) for each in seconds]
        of_tile = balanced(work_of_tiles(seconds, busy_s, range(n)), 2)

    assert excess(busy_s) <= UNEVEN


def test_busy_seconds_are_those_since_the_report_before():
    load = load_between({0: report(0, 5.0, 1.0)}, {0: report(0, 15.0, 3.0), 1: report(1, 9.5, 4.5)})

    assert load == Busy(run_s=10.0, busy_s=(8.0, 5.0))
    assert load.excess == pytest.approx(8 / 6.5 - 1)


def test_messages_are_shared_by_the_tiles_of_their_host_and_memories_count_for_their_tile():
    work = work_of_tiles([{0: 1.0, 2: 1.0}, {1: 2.0}], [4.0, 1.0], units=[0, 1, 0])

    assert work == [4_000_000, 1_000_000]


@pytest.mark.parametrize(
    ("run_s", "busy_s", "after", "saved"),
    [
        (10, (10, 2), (6, 6), 0.4),  # a pipeline is as fast as its slowest host
        (12, (10, 2), (6, 6), 0.0),  # one after the other
        (11, (10, 2), (6, 6), 2 / 11),  # in between
        (10, (10, 2), (10, 2), 0.0),
        (10, (0, 0), (0, 0), 0.0),
    ],
)
def test_what_even_shares_save_depends_on_how_hosts_overlap(run_s, busy_s, after, saved):
    assert Busy(run_s=run_s, busy_s=busy_s).saved(after) == pytest.approx(saved)


def test_actors_stay_where_they_have_most_in_common_with_what_they_become():
    blocks = [SimpleNamespace(shape=(8, 8))] * 4
    before = Placement(host_of=(0, 0, 1, 1), node_of=("b", "b"))
    after = Placement(host_of=(0, 1, 2, 2), node_of=("a", "b", "b"))

    assert staying(before, after, blocks) == {1: 0, 2: 1}
    elsewhere = Placement(host_of=(0, 0, 1, 1), node_of=("c", "b"))
    assert staying(before, elsewhere, blocks) == {1: 1}
    assert staying(before, Placement(host_of=(0,) * 4, node_of=("b",)), blocks) == {0: 0}


def test_what_others_hold_of_a_node_is_no_room_to_grow(monkeypatch):
    there = [Machine(node=n, ip=n, cpus=4, memory_bytes=100) for n in "abc"]
    free = {"a": {"CPU": 1.0, "memory": 50.0}, "b": {"CPU": 4.0, "memory": 100.0}}
    monkeypatch.setattr(nodes, "machines", lambda: there)
    monkeypatch.setattr(nodes, "free_resources", lambda: free)
    ours = {"a": {"CPU": 2.0, "memory": 20.0}}
    found = nodes.free_machines(lambda node: ours.get(node, {}))

    assert [(each.node, each.cpus, each.memory_bytes) for each in found] == [
        ("a", 3, 70),
        ("b", 4, 100),
    ]


def test_growing_actors_are_one_per_cpu_and_at_most_as_many_as_wanted():
    sizes = [1] * 8
    assert [packed(sizes, Engine(grow=True), n)[0][-1] + 1 for n in (1, 3, 99)] == [1, 3, 8]
    assert packed(sizes, Engine(grow=True, actors=2), 5)[0][-1] + 1 == 2
    with pytest.raises(ValueError, match=r"grow must come without tiles_per_actor \(2\), got true"):
        Engine(grow=True, tiles_per_actor=2)


class Hosts:
    """Members of a run whose tiles take known seconds, on a clock of the test's."""

    def __init__(self, monkeypatch, seconds, n_cpus=2, **engine):
        self.now, self.seconds, self.timed = 0.0, seconds, []
        there = [Machine(node="here", ip="10.0.0.1", cpus=n_cpus, memory_bytes=1 << 40)]
        monkeypatch.setattr(rearranging, "machines", lambda: there)
        monkeypatch.setattr(rearranging.time, "monotonic", lambda: self.now)
        job = small_job(engine={"kind": "ray", "actors": 2, **engine})
        self.arranger = Arranger(job)
        self.arranged = self.arranger.fresh(there)
        self.rearranger = rearranging.Rearranger(job, self.arranger, None, None)
        self._busy_s = [0.0, 0.0]

    def all(self, method, on):
        assert method == "time_tiles"
        self.timed.append(on)
        host_of = self.arranged.placement.host_of
        return [{b: self.seconds[self.arranger.units[b]] for b, h in enumerate(host_of) if h == n}
                for n in (0, 1)]  # fmt: skip

    def span(self, left_s=LONG_S, run_s=11.0):
        """Run one, and look."""
        self.now += run_s
        work = [*by_host([round(1e6 * s) for s in self.seconds], self._of_tile), 0.0][:2]
        scale = run_s / max(work)
        self._busy_s = [b + scale * w for b, w in zip(self._busy_s, work, strict=True)]
        reports = {h: report(h, self.now, self.now - b) for h, b in enumerate(self._busy_s)}
        span = TrainingRate(examples=1000, seconds=run_s)
        return self.rearranger.look(self.arranged, self, reports, int(left_s * span.per_s), span)

    @property
    def _of_tile(self):
        host_of = self.arranged.placement.host_of
        return [host_of[self.arranger.units.index(unit)] for unit in range(len(self.seconds))]

    def excess(self, arranged):
        self.arranged = arranged
        return excess(by_host([round(1e6 * s) for s in self.seconds], self._of_tile))


def uneven(n=16):
    """The first tile takes as long as all others together would."""
    return [1.0] * (n - 4) + [9.0, 1.0, 1.0, 1.0]


@pytest.fixture
def hosts(monkeypatch):
    n = len(small_job().program.crossbars)
    return lambda seconds=None, **more: Hosts(monkeypatch, seconds or uneven(n), **more)


def test_uneven_hosts_are_timed_and_get_even_shares(hosts):
    members = hosts()
    assert members.excess(members.arranged) > UNEVEN
    assert members.span() is None
    assert members.timed == [True]
    move = members.span()

    assert members.timed == [True, False]
    assert (move.kept, move.come) == ({0: 0, 1: 1}, {})
    assert "rebalanced 2 tile hosts: the busiest had " in move.what
    before = members.excess(members.arranged)
    assert members.excess(move.arranged) < before
    members.rearranger.taken(0.1)
    assert [members.span() for _ in range(2)] == [None, None]  # it rests


@pytest.mark.parametrize("why", ["even", "at its end", "crowded", "switched off"])
def test_tiles_stay_where_a_move_does_not_pay(hosts, why):
    n = len(small_job().program.crossbars)
    more = {"crowded": {"n_cpus": 1}, "switched off": {"rebalance": False}}.get(why, {})
    members = hosts([1.0] * n if why == "even" else None, **more)
    left_s = 0.1 if why == "at its end" else LONG_S

    assert [members.span(left_s) for _ in range(4)] == [None] * 4


def test_looks_in_vain_become_rare(hosts):
    members = hosts(n_cpus=1)
    looks = []
    for _ in range(400):
        before = len(members.timed)
        members.span()
        looks.append(len(members.timed) > before)
    times = [i for i, look in enumerate(looks) if look and members.timed]

    assert 0 < len(times) < 30
    assert math.isclose(members.rearranger._rest_s, 600.0)


class Came:
    """Actors that are ready at once."""

    def __init__(self, arranged, kept):
        self.arranged, self.kept = arranged, kept

    def arrived(self):
        return {1: "an actor"}


@pytest.mark.parametrize(("faster", "goes_back"), [(1.8, False), (0.5, True)])
def test_a_run_that_is_slower_since_it_grew_goes_back(hosts, faster, goes_back):
    members = hosts(grow=True, rebalance=False)
    rearranger, grown = members.rearranger, members.arranged
    one_cpu = [replace(machine, cpus=1) for machine in rearranging.machines()]
    members.arranged = alone = members.arranger.fresh(one_cpu)
    rearranger._looks_at = math.inf
    members.span()
    rearranger._coming = Came(grown, {0: 0})
    move = members.span()
    assert move.come == {1: "an actor"}
    rearranger.taken(0.1)
    members.arranged = grown
    back = members.span(run_s=11.0 / faster) or members.span(run_s=11.0 / faster)

    assert (back is not None) is goes_back
    if back:
        assert back.arranged is alone
        assert (back.kept, back.come) == ({0: 0}, {})
        assert "went back from 2 to 1 tile hosts, which trained " in back.what

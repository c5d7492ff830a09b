"""What makes a measurement doubtful is said, and what is projected from it is not trusted."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from crossmesh.cluster.scaling import doubts as module
from crossmesh.cluster.scaling.doubts import doubts, others_busy
from crossmesh.cluster.scaling.explain import explain
from crossmesh.cluster.scaling.measured import Measured
from crossmesh.cluster.scaling.plan import ScalingPlan
from crossmesh.cluster.scaling.printing import print_scaling
from crossmesh.cluster.scaling.spans import spans
from crossmesh.cluster.scaling.tables import summary
from crossmesh.cluster.scaling.turns import Contestant, Turn
from crossmesh.tiles.runtime.measure import HostReport
from tests.jobs import small_config


def measured(*, seconds=(2.0, 1.1), repeats=3, busy=0.0):
    """A measurement of this process, one actor and two, that take so many seconds."""
    plan = ScalingPlan(config=small_config(), actors=(1, 2), repeats=repeats, examples=32)
    jobs = plan.jobs((0, 1, 2))
    who = [Contestant(kind="local", actors=0, job=jobs[0])]
    who += [Contestant(kind="ray", actors=n, job=jobs[n]) for n in (1, 2)]
    turns = []
    for repeat in range(repeats):
        for contestant, took in zip(who, (seconds[0], *seconds), strict=True):
            n = max(1, contestant.actors)
            hosts = [host(i, took, tiles=16 // n, messages=8 * (n - 1)) for i in range(n)]
            turns.append(
                Turn(contestant=contestant, repeat=repeat, span=spans(jobs[0], 32)[1],
                     seconds=took, hosts=tuple(hosts), others_busy=busy)
            )  # fmt: skip
    return Measured(plan=plan, contestants=who, turns=turns, cpus=2, nodes=1)


def host(number, took, *, tiles, messages):
    known = {
        "host": number, "tiles": tiles, "run_s": took, "wait_s": took / 10,
        "message_s": took / 20 if messages else 0.0, "messages": messages, "bytes": 64 * messages,
        "operations": 100, "node": "", "ip": "",
    }  # fmt: skip
    return HostReport(**{name: known.get(name, 0) for name in HostReport._fields})


def test_a_quiet_measurement_of_several_rounds_raises_no_doubt():
    assert list(doubts(measured())) == []


def test_a_busy_machine_is_named_with_its_load(monkeypatch):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(module.os, "getloadavg", lambda: (45.0, 40.0, 30.0))

    assert list(doubts(measured(busy=1.9))) == [
        "this machine was busy: other processes kept up to 1.9 of its 2 processors at work before "
        "turns (load average 45.0)"
    ]
    assert list(doubts(measured(busy=0.2))) == []


def test_an_efficiency_above_all_and_a_single_round_are_doubted():
    found = list(doubts(measured(seconds=(2.0, 0.65), repeats=1)))

    assert [line.partition(":")[0] for line in found] == [
        "the efficiency of 2 actors is 154 %",
        "one round is all there was",
    ]


@pytest.mark.parametrize("busy", [0.0, 2.0])
def test_what_is_projected_from_doubtful_figures_is_not_trusted(busy, monkeypatch):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: {0, 1})
    found = measured(busy=busy)
    explained = explain(found, found.plan.jobs((4,)))
    console = Console(width=110, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as said:
        print_scaling(found, explained, console)

    assert ("doubt: this machine was busy" in said.get()) == bool(busy)
    assert ("not to be trusted" in said.get()) == bool(busy)
    assert len(json.loads(json.dumps(summary(found, explained)))["doubts"]) == bool(busy)


def test_our_own_work_is_not_that_of_others(monkeypatch):
    """Of two processors, one is busy for us all the time, the other half of it for others."""
    ticks, sleeps = [0], []
    monkeypatch.setattr(
        module.time, "sleep", lambda s: (sleeps.append(s), ticks.__setitem__(0, 50))
    )
    monkeypatch.setattr(
        module, "_times", lambda: {0: (ticks[0], ticks[0]), 1: (ticks[0] // 2, ticks[0])}
    )
    monkeypatch.setattr(module, "_our_ticks", lambda: 1000 + ticks[0])

    assert others_busy() == pytest.approx(0.5)
    assert len(sleeps) == 1


def test_the_ticks_of_this_machine_are_read():
    before = module._our_ticks()
    assert sum(range(10_000_000)) > 0  # some work
    assert module._our_ticks() > before
    assert 0 <= others_busy() <= len(module._times())
    assert replace(measured().turns[0], others_busy=1.5).others_busy == 1.5

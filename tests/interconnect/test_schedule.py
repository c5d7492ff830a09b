import csv
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.interconnect.schedule import (
    SCHEDULES,
    Asynchronous,
    ForwardOnly,
    GPipe,
    OneForwardOneBackward,
    Phase,
    Schedule,
    Sequential,
    Synchronous,
    schedule,
)
from crossmesh.testing import ScheduleTests

EXAMPLES = [
    *(kind.for_batch(1) for kind in SCHEDULES.values()),
    *(kind(micro_batches_per_update=4) for kind in (Synchronous, GPipe, OneForwardOneBackward)),
]
sizes = st.tuples(st.integers(1, 6), st.integers(1, 13))


def versions(plan: Schedule, n_stages: int, n: int) -> dict[tuple[Phase, int, int], int]:
    """Updates that a stage has seen at each of its slots."""
    updates = Counter()
    seen = {}
    for slot in plan.slots(n_stages, n):
        seen[slot.phase, slot.stage, slot.micro_batch] = (
            updates[slot.stage] // plan.micro_batches_per_update
        )
        updates[slot.stage] += slot.phase is Phase.UPDATE
    return seen


class TestSchedules(ScheduleTests):
    @pytest.fixture(autouse=True, params=EXAMPLES, ids=repr)
    def example(self, request):
        self.schedule = request.param


@given(size=sizes)
def test_a_forward_pass_alone_ends_with_the_loss(size):
    n_stages, n = size
    slots = list(ForwardOnly().slots(n_stages, n))
    at = {(s.phase, s.stage, s.micro_batch): i for i, s in enumerate(slots)}
    last = n_stages - 1

    assert slots[-1].tick + 1 == ForwardOnly().ticks(n_stages, n)
    for m in range(n):
        for stage in range(last):
            assert at[Phase.FORWARD, stage, m] < at[Phase.FORWARD, stage + 1, m]
        assert at[Phase.FORWARD, last, m] < at[Phase.LOSS, last, m]


@given(layers=st.integers(1, 20), batch=st.integers(1, 20), batches=st.integers(1, 5))
def test_ticks_equal_the_closed_forms_of_pipelayer(layers, batch, batches):
    n = batch * batches

    assert Synchronous(micro_batches_per_update=batch).ticks(layers, n) == batches * (
        2 * layers + batch + 1
    )
    assert Sequential().ticks(layers, n) == (2 * layers + 1) * n + n


def test_ticks_equal_the_published_rows(shared):
    path = shared / "reference" / "noc" / "schedule_anchors.csv"
    rows = [
        row
        for row in csv.DictReader(path.read_text().splitlines())
        if row["schedule"] == "pipelayer"
    ]
    assert rows
    for row in rows:
        layers, batch, n = (
            int(row[key]) for key in ("stages_or_layers", "batch_or_microbatches", "images")
        )
        plan = Synchronous(micro_batches_per_update=batch)
        assert plan.ticks(layers, n) == int(row["cycles_pipelined"])


@given(size=sizes)
def test_sequential_updates_are_never_stale(size):
    seen = versions(Sequential(), *size)

    assert all(version == m for (_, _, m), version in seen.items())


@pytest.mark.parametrize("kind", [GPipe, OneForwardOneBackward])
def test_ticks_equal_the_anchors_and_one_for_the_updates(kind, shared):
    path = shared / "reference" / "noc" / "schedule_anchors.csv"
    rows = [
        row
        for row in csv.DictReader(path.read_text().splitlines())
        if row["schedule"] == "gpipe/1f1b f=1 b=1"
    ]
    assert rows
    for row in rows:
        p, m = int(row["stages_or_layers"]), int(row["batch_or_microbatches"])
        ticks = kind(micro_batches_per_update=m).ticks(p, m) - 1
        assert ticks == int(row["cycles_pipelined"])
        assert 1 - 2 * m / ticks == pytest.approx(float(row["bubble"]), abs=1e-6)


def kept(plan: Schedule, n_stages: int, n: int) -> list[int]:
    """Most micro-batches whose activations each stage keeps for their backward pass."""
    now, most = Counter(), Counter()
    for slot in plan.slots(n_stages, n):
        now[slot.stage] += (slot.phase is Phase.FORWARD) - (slot.phase is Phase.BACKWARD)
        most[slot.stage] = max(most[slot.stage], now[slot.stage])
    return [most[stage] for stage in range(n_stages)]


@given(p=st.integers(1, 6), m=st.integers(1, 12))
def test_schedules_differ_in_what_a_stage_keeps(p, m):
    batch = {"micro_batches_per_update": m}

    assert kept(GPipe(**batch), p, m) == [m] * p
    assert kept(OneForwardOneBackward(**batch), p, m) == [min(p - s, m) for s in range(p)]
    assert kept(Synchronous(**batch), p, m) == [min(2 * (p - s) + 1, m) for s in range(p)]


@pytest.mark.parametrize("kind", [Synchronous, GPipe, OneForwardOneBackward])
@given(size=sizes, per_update=st.integers(1, 5))
def test_micro_batches_see_the_weights_of_their_batch(kind, size, per_update):
    seen = versions(kind(micro_batches_per_update=per_update), *size)

    assert all(version == m // per_update for (_, _, m), version in seen.items())


@given(size=sizes)
def test_asynchronous_updates_are_as_stale_as_the_stages_after_them_are_many(size):
    n_stages, n = size
    seen = versions(Asynchronous(), n_stages, n)
    for stage in range(n_stages):
        delay = 2 * (n_stages - 1 - stage)
        for m in range(n):
            assert seen[Phase.FORWARD, stage, m] == max(0, m - delay)
            assert seen[Phase.BACKWARD, stage, m] == m  # an array cannot stash old weights
            assert seen[Phase.UPDATE, stage, m] == m


def test_names_make_schedules():
    assert schedule("sequential", 3) == Sequential()
    assert schedule("synchronous", 3) == Synchronous(micro_batches_per_update=3)
    assert schedule("gpipe", 3) == GPipe(micro_batches_per_update=3)
    assert schedule("1f1b", 3) == OneForwardOneBackward(micro_batches_per_update=3)
    assert schedule("asynchronous", 1) == Asynchronous()

"""Memory of activations: what is predicted against what hosts really store, and a slow count."""

import time
from collections import Counter
from dataclasses import replace

import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.activations import (
    Activations,
    activations_of,
    bytes_text,
    notice,
    stored_bytes,
    under_way,
)
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.executors import local
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.executors.placement import Machine, place
from crossmesh.emulator.runs.callbacks import NoCallbacks
from crossmesh.emulator.training.training import train
from crossmesh.interconnect.schedule import (
    Asynchronous,
    ForwardOnly,
    GPipe,
    OneForwardOneBackward,
    Sequential,
    Synchronous,
)
from crossmesh.tiles.runtime.plan import Receive, in_order, plans, uses
from crossmesh.tiles.runtime.program import Operation
from crossmesh.tiles.runtime.steps import Binder
from tests.emulator.executors.test_executors import ignore, in_threads
from tests.jobs import SCHEDULES, small_config, small_job
from tests.zoo import ZOO, zoo_job


@pytest.fixture
def really(monkeypatch):
    """Most bytes that each host has really stored at once, by the tiles that it holds."""
    most = Counter()
    bind = Binder.steps

    def steps(binder, operations, plan):
        stores, tiles = binder._stores, tuple(sorted(binder._tiles))

        def watched(step):
            def watch(m, first, span):
                before = {(value, k) for value, store in stores.items() for k in store}
                stored = sum(array.nbytes for store in stores.values() for array in store.values())
                step(m, first, span)
                made = sum(
                    array.nbytes
                    for value, store in stores.items()
                    for k, array in store.items()
                    if (value, k) not in before
                )
                most[tiles] = max(most[tiles], stored + made)

            return watch

        bound = bind(binder, operations, plan)
        return [[[(action, watched(step)) for action, step in steps] for steps in stages]
                for stages in bound]  # fmt: skip

    monkeypatch.setattr(Binder, "steps", steps)
    return most


def slowly(program, span, host_of):
    """The same by counting every value of every micro-batch, one step after the other."""
    plan_of = plans(in_order(program, span.schedule), host_of, set(host_of))
    return tuple(most_of(plan_of[host], program, span) for host in range(max(host_of) + 1))


def most_of(plan, program, span):
    heights = {op.gives: op.positions for op in program.operations}
    n_uses = Counter(value for _, action in plan for value in uses(action))
    stored, most = {}, 0  # bytes of a value of a micro-batch, and uses that are to come
    for _, phase, stage, m in span.schedule.slots(program.n_stages, span.n_micro_batches):
        start, stop = span.examples(m)
        for action in (action for at, action in plan if at == (phase, stage)):
            for value, width in widths(action).items():
                if n_uses[value]:
                    n_bytes = 4 * (stop - start) * heights[value] * width
                    stored[value, m] = [n_bytes, n_uses[value]]
            most = max(most, sum(n_bytes for n_bytes, _ in stored.values()))
            for value in uses(action):
                stored[value, m][1] -= 1
                if not stored[value, m][1]:
                    del stored[value, m]
    assert not stored
    return most


def widths(action):
    """Columns of what an action makes."""
    if isinstance(action, Receive):
        return {take.value: take.stop - take.start for take in action.edge.parts}
    return {action.gives: action.columns} if isinstance(action, Operation) else {}


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ZOO)
def test_what_is_predicted_is_what_a_host_stores(name, schedule, really):
    job = zoo_job(name, schedule=schedule)
    predicted = activations_of(job)
    executor = LocalExecutor(job)
    executor.write_initial_weights()

    for span, bytes_by_host in (
        (job.epoch(0), predicted.training),
        (job.evaluation(0), predicted.evaluation),
    ):
        really.clear()
        executor.run(span, ignore)
        assert (*really.values(),) == bytes_by_host
    executor.close()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["lenet", "transformer"])
def test_what_is_predicted_is_what_each_of_several_hosts_stores(name, schedule, really, tmp_path):
    job = zoo_job(name, schedule=schedule)
    n_tiles = len(job.program.blocks)
    host_of = tuple((3 * tile + tile // 3) % 4 for tile in range(n_tiles))

    in_threads(job, host_of, tmp_path)

    held = [tuple(t for t in range(n_tiles) if host_of[t] == host) for host in range(4)]
    assert activations_of(job, host_of).most == tuple(really[tiles] for tiles in held)


SPANS = [
    (Sequential(), 3, 12),
    (Sequential(), 7, 5),
    (Synchronous(micro_batches_per_update=3), 4, 24),
    (Synchronous(micro_batches_per_update=3), 4, 7),
    (GPipe(micro_batches_per_update=3), 4, 7),
    (OneForwardOneBackward(micro_batches_per_update=3), 4, 24),
    (Asynchronous(), 2, 60),
    (Asynchronous(), 2, 5),
    (ForwardOnly(), 5, 100),
    (ForwardOnly(), 5, 14),
]


@pytest.mark.parametrize(("schedule", "micro_batch", "n_examples"), SPANS)
@pytest.mark.parametrize("name", ["residual", "gru"])
@pytest.mark.parametrize("n_hosts", [1, 3])
def test_closed_form_is_the_slow_count(name, schedule, micro_batch, n_examples, n_hosts):
    job = zoo_job(name)
    span = replace(job.epoch(0), schedule=schedule, micro_batch=micro_batch, n_examples=n_examples)
    host_of = tuple(tile % n_hosts for tile in range(len(job.program.blocks)))

    assert stored_bytes(job.program, span, host_of) == slowly(job.program, span, host_of)


def test_memory_grows_with_batch_and_stages_as_the_schedule_says():
    job = small_job()
    span = job.epoch(0)

    def most(schedule, micro_batch=1):
        changed = replace(span, schedule=schedule, micro_batch=micro_batch)
        return stored_bytes(job.program, changed, (0,) * len(job.program.blocks))[0]

    assert most(Sequential(), 8) == 8 * most(Sequential())
    assert most(Synchronous(micro_batches_per_update=1)) == most(Sequential())
    rounds = [most(Synchronous(micro_batches_per_update=n)) for n in (10, 20, 40)]
    assert rounds[2] - rounds[1] == 2 * (rounds[1] - rounds[0])  # all wait for the update
    assert most(Sequential()) < most(Asynchronous()) < rounds[0]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Sequential(), 1),
        (Synchronous(micro_batches_per_update=7), 7),
        (Asynchronous(), 2 * (3 - 1) + 1),
        (ForwardOnly(), 3),
    ],
)
def test_micro_batches_under_way(schedule, expected):
    job = small_job()
    span = replace(job.epoch(0), schedule=schedule, micro_batch=1)

    assert job.program.n_stages == 3
    assert under_way(job.program, span) == expected


def test_much_is_told_in_one_line_and_little_is_not():
    job = small_job()

    assert notice(job, activations_of(job)) == ""
    much = Activations(training=(100 << 20,), evaluation=(0,))
    assert notice(job, much) == (
        "activations take up to 100.0 MiB in training: 4 examples at once in 3 stages; a smaller "
        "training.batch takes less"
    )
    much = Activations(training=(0, 0), evaluation=(1 << 30, 1 << 29))
    assert notice(job, much) == (
        "activations take up to 1.5 GiB in tests: 24 examples at once in 3 stages; a smaller "
        "training.evaluation_batch takes less"
    )


def test_a_run_states_it_before_it_starts(monkeypatch):
    monkeypatch.setattr("crossmesh.emulator.compiler.activations.NOTED_BYTES", 0)
    heard = []

    class Notes(NoCallbacks):
        def note(self, text):
            heard.append(text)

        def progress(self, progress):
            heard.append("progress")

    train(small_config(training={"epochs": 1}), callbacks=Notes())

    assert heard[0].startswith("activations take up to ")
    assert heard.count(heard[0]) == 1


def test_nodes_must_have_room_for_activations_too():
    gib = 1 << 30
    machines = [Machine(node=n, ip=n, cpus=1, memory_bytes=3 * gib) for n in ("a", "b")]

    def measured(host_of):
        each = tuple(gib * host_of.count(host) for host in range(max(host_of) + 1))
        return Activations(training=each, evaluation=(0,) * len(each))

    placed = place([gib // 2] * 4, Engine(), machines, 0, measured)
    assert placed.activations == measured(placed.host_of)
    rule = (
        r"node a must have 4\.0 GiB of memory for its tiles \(2\.0\), activations \(2\.0\) and 2 "
        r"processes, got 3\.0"
    )
    with pytest.raises(ConfigError, match=rule):
        place([gib] * 4, Engine(), machines, 0, measured)


def test_one_machine_must_have_room_for_activations_too(monkeypatch):
    monkeypatch.setattr(local.free_memory, "free_bytes", lambda: 1 << 30)
    LocalExecutor(small_job()).close()
    much = Activations(training=(1 << 30,), evaluation=(3 << 30,))
    monkeypatch.setattr(local, "activations_of", lambda job: much)

    rule = (
        r"must have 3\.0 GiB of memory free for the tiles \(0\.0\) and activations \(3\.0\), got 1"
    )
    with pytest.raises(ConfigError, match=rule):
        LocalExecutor(small_job())


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 29, "1.5 GiB")]
)
def test_bytes_in_words(n, text):
    assert bytes_text(n) == text


@pytest.mark.slow
def test_ten_thousand_tiles_take_seconds():
    layers = [{"kind": "linear", "outputs": 500, "bias": False}] * 4
    job = small_job(
        network=[*layers, {"kind": "linear", "outputs": 10, "activation": "softmax"}],
        tile={"rows": 9, "cols": 10},
    )
    n_tiles = len(job.program.blocks)
    started = time.perf_counter()
    activations_of(job, tuple(tile * 64 // n_tiles for tile in range(n_tiles)))

    assert n_tiles > 8_000
    assert time.perf_counter() - started < 30

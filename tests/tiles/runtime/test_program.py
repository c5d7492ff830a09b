import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.mapping import cut, initial_weights
from crossmesh.emulator.compiler.records import records
from crossmesh.emulator.config.layers import LinearLayer
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.network.assembly import Settings
from crossmesh.emulator.network.building import build_network
from crossmesh.emulator.network.task import LearningTask
from crossmesh.interconnect.schedule import Asynchronous, Phase
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.runtime.plan import (
    Receive,
    SendMessage,
    edges,
    in_order,
    messages_in_flight,
    plans,
    takes_of,
)
from crossmesh.tiles.runtime.program import Kind
from tests.jobs import SCHEDULES, small_job


def network(*widths, n_inputs=11, bias=True, tile=None):
    layers = [
        LinearLayer(
            outputs=width, bias=bias, activation="tanh" if width != widths[-1] else "softmax"
        )
        for width in widths
    ]
    task = LearningTask(source="test", shape=(n_inputs,), n_outputs=widths[-1])
    return build_network(layers, task, Settings(tile=tile or TileConfig()))


@given(
    widths=st.lists(st.integers(2, 20), min_size=1, max_size=3),
    rows=st.integers(1, 9),
    cols=st.integers(1, 9),
    bias=st.booleans(),
    where=st.sampled_from(["line", "digital"]),
)
def test_blocks_tile_each_weight_matrix_exactly_once(widths, rows, cols, bias, where):
    net = network(*widths, bias=bias, tile=TileConfig(rows=rows, cols=cols, bias=where))
    blocks = cut(net)

    assert [block.tile for block in blocks] == list(range(len(blocks)))
    covered = [
        (block.layer, i, j)
        for block in blocks
        for i in range(*block.row_range)
        for j in range(*block.col_range)
    ]
    expected = [
        (matrix.name, i, j)
        for matrix in net.matrices.values()
        for i in range(matrix.inputs + bias)
        for j in range(matrix.outputs)
    ]
    assert sorted(covered) == sorted(expected)
    on_tiles = [block for block in blocks if block.home is None]
    assert all(b.shape[0] <= rows and b.shape[1] <= cols for b in on_tiles)
    assert len(blocks) - len(on_tiles) == (len(widths) if bias and where == "digital" else 0)


def test_initial_weights_do_not_depend_on_who_asks():
    net = network(8, 5)
    layer = list(net.matrices)[1]
    whole = initial_weights(net, 7, {}, layer, (0, 0), (9, 5))

    assert (whole[3:8, 2:4] == initial_weights(net, 7, {}, layer, (3, 2), (5, 2))).all()
    assert abs(whole).max() <= 8**-0.5
    assert (whole != initial_weights(net, 8, {}, layer, (0, 0), (9, 5))).any()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_the_executor_performs_is_what_the_program_says(schedule):
    job = small_job("constant_step", schedule)
    executor = LocalExecutor(job)
    executor.write_initial_weights()
    executor.host.trace = []
    span = job.epoch(0)
    executor.run(span, lambda progress: None)
    executor.close()

    said = records(job.program, span.schedule, span.n_micro_batches)
    assert executor.host.trace == [
        (r.operation.kind, r.operation.tile, r.micro_batch, r.version) for r in said
    ]


def test_asynchronous_versions_equal_the_closed_form():
    job = small_job("ideal", "asynchronous")
    n_stages = job.program.n_stages
    for record in records(job.program, Asynchronous(), 12):
        operation, m = record.operation, record.micro_batch
        if operation.kind is Kind.READ:
            assert record.version == max(0, m - 2 * (n_stages - 1 - operation.stage))
        elif operation.kind in {Kind.READ_BACK, Kind.PULSE}:
            assert record.version == m


@given(hosts=st.lists(st.integers(0, 3), min_size=20, max_size=20))
def test_both_ends_of_every_message_agree_and_nothing_needed_is_missing(hosts):
    job = small_job()
    operations = in_order(job.program, Asynchronous())
    host_of = tuple(hosts[: len(job.program.blocks)])
    sent, received = [], []
    for plan in plans(operations, host_of, set(host_of)).values():
        there = set()
        for _, action in plan:
            assert all(take.value in there for take in takes_of(action))
            if isinstance(action, SendMessage):
                sent.append(action.edge)
            elif isinstance(action, Receive):
                received.append(action.edge)
                there |= {take.value for take in action.edge.parts}
            else:
                there.add(action.gives)

    def number(edge):
        return edge.number

    every = list(edges(operations, host_of))
    assert sorted(sent, key=number) == sorted(received, key=number) == every


def test_messages_are_found_once_however_many_hosts_there_are(monkeypatch):
    job, calls = small_job(), []
    monkeypatch.setattr(
        "crossmesh.tiles.runtime.plan.edges", lambda *a: calls.append(a) or edges(*a)
    )

    messages_in_flight(job.program, Asynchronous(), tuple(range(len(job.program.blocks))))

    assert len(calls) == 1


def test_the_first_layer_reads_nothing_back():
    job = small_job()
    kinds = {(op.kind, op.stage) for op in job.program.operations}

    assert (Kind.READ_BACK, 1) in kinds
    assert (Kind.READ_BACK, 0) not in kinds
    assert all(op.phase is Phase.UPDATE for op in job.program.operations if op.kind is Kind.PULSE)


def test_messages_name_the_tiles_that_take_a_value():
    job = small_job()
    first = next(r for r in records(job.program, Asynchronous(), 1) if r.operation.kind == "input")
    readers = {op.tile for op in job.program.operations if op.kind == "read" and op.stage == 0}

    assert {tile for tile, _ in first.messages} == readers - {first.operation.tile}


def layers(*specs):
    return [LinearLayer(**spec) for spec in specs]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([{"outputs": 3}], r"network\.0\.activation must be softmax .*, got identity"),
        ([{"outputs": 4, "activation": "softmax"}], r"network\.0\.outputs must be 3 .*, got 4"),
        (
            [{"outputs": 3, "name": "a"}, {"outputs": 3, "name": "a"}],
            r"network\.1\.name must be unique, got a",
        ),
        (
            [{"outputs": 3, "input": "b"}],
            r"network\.0\.input must be a layer before it \(input\), got b",
        ),
        (
            [
                {"outputs": 3, "name": "a"},
                {"outputs": 3, "input": "input", "activation": "softmax"},
            ],
            r"network must have one output: layer a feeds no other layer",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(specs, message):
    task = LearningTask(source="test", shape=(5,), n_outputs=3, has_classes=False)
    with pytest.raises(ConfigError, match=message):
        build_network(layers(*specs), task, Settings())

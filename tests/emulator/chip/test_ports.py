"""Ports and input buffers: when examples come to a chip, and over which links."""

import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.chip.shared import share_chip
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.interconnect.noc.pipeline_timing import time_flow

ONE_LAYER = "network=[{kind: linear, outputs: 10, activation: softmax}]"


def report(*overrides, inference=False):
    job = prepare(load_config("digits", ["training.examples=16", *overrides]))
    return chip_of(job, inference=inference)


def tasks(time, kind):
    return [k for k, step in enumerate(time.pipeline.steps) if step.kind == kind]


@pytest.mark.parametrize("lanes", [1, 16])
def test_double_buffers_take_the_next_input_while_the_array_is_busy(lanes):
    chip = (ONE_LAYER, "tile.rows=80", f"chip.phases.digital_lanes={lanes}")
    one, two = (
        report(*chip, f"chip.phases.input_buffers={n}", inference=True).time for n in (1, 2)
    )
    busy = {part: two.pipeline.flow.busy_cycles[i] for i, part in enumerate(TileResource)}

    # Array, ADCs and digital unit work on examples of their own: the busiest sets the interval.
    assert two.steady.interval_cycles == max(busy.values())
    held = busy[TileResource.ARRAY] + busy[TileResource.PORT]
    assert one.steady.interval_cycles == max(held, *busy.values())


@pytest.mark.parametrize("schedule", ["synchronous", "asynchronous"])
@pytest.mark.parametrize("buffers", [1, 2, 3])
def test_no_more_inputs_wait_than_there_are_buffers(schedule, buffers):
    time = report(
        f"training.schedule={schedule}", "training.batch=8", "training.micro_batch=8"
        if schedule == "asynchronous" else "training.micro_batch=2",
        f"chip.phases.input_buffers={buffers}",
    ).time  # fmt: skip
    timing, (brings,) = time.steady.timing, tasks(time, "input")
    of_first = time.pipeline.flow.stages[time.pipeline.flow.tasks[brings].resource]
    reads = [
        k for k in tasks(time, "read")
        if time.pipeline.flow.stages[time.pipeline.flow.tasks[k].resource] == of_first
    ]  # fmt: skip
    freed = timing.ended[:-buffers, reads].max(axis=1)

    assert (timing.started[buffers:, brings] >= freed).all()
    assert (timing.started[buffers:, brings] == freed).any()


@pytest.mark.parametrize("model", ["analytic", "packet", "flit"])
@pytest.mark.parametrize("ports", [1, 2, 5])
def test_every_port_brings_its_share_of_examples_and_targets(model, ports):
    time = report(
        f"chip.io_ports={ports}", "tile.rows=16", "tile.cols=16", f"chip.model={model}"
    ).time
    flow, steps = time.pipeline.flow, time.pipeline.steps
    brings, targets = tasks(time, "input"), tasks(time, "target")
    width, height = time.chip.grid(len(time.program.crossbars))
    at = [time.pipeline.place[steps[k].tile] for k in brings]

    assert len(brings) == len(targets) == len(set(at)) == ports
    assert all(k % width in {0, width - 1} or k // width in {0, height - 1} for k in at)
    assert {flow.tasks[k].cycles for k in brings} == {
        -(-64 * 8 * time.micro_batch // (ports * 128))
    }
    (loss,) = tasks(time, "loss")
    first = [k for k in tasks(time, "read") if flow.stages[flow.tasks[k].resource] == 0]
    for port, waiting in [*((k, {*first}) for k in brings), *((k, {loss}) for k in targets)]:
        sent = [k for send in flow.sends if send.task == port for k in send.takers.values()]
        near = {k for k, task in enumerate(flow.tasks) if port in task.needs}
        assert waiting <= near.union(*sent)


def test_more_ports_bring_more():
    starved = (
        "training.schedule=asynchronous", "training.batch=1", "chip.flit_bits=1",
        "chip.activation_bits=16", "tile.rows=32", "tile.cols=32", "chip.placement=snake",
    )  # fmt: skip
    one, four = (report(*starved, f"chip.io_ports={n}").time for n in (1, 4))

    assert one.steady.interval_cycles > 64 * 16  # bits of an example, one per cycle
    assert four.interval_s < one.interval_s


def test_ports_that_find_no_place_are_refused():
    with pytest.raises(ConfigError, match=r"chip\.io_ports must be at most the \d+ tiles at the "):
        report("chip.io_ports=400")
    spread = report("chip.io_ports=2", "chip.topology=tree", "tile.rows=16").time
    assert len(tasks(spread, "input")) == 2


def test_networks_on_one_chip_have_ports_of_their_own_at_its_edge(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("components:\n  port: {per: bit, area_um2: 2.0e+5, source: mine}\n")
    overrides = ("training.examples=16", "chip.io_ports=2", f"chip.table={own}")
    shared = share_chip([prepare(load_config("digits", overrides))] * 3)  # rows of four places

    for time in (each.time for each in shared.together):
        ports = {time.pipeline.steps[k].tile for k in tasks(time, "input")}
        x, y = zip(*((node % 4, node // 4) for node in time.pipeline.place), strict=True)
        assert len(ports) == 2
        assert all(x[tile] in {0, 3} or y[tile] in {0, 2} for tile in ports)
        assert time.topology.n_nodes == 12
    assert shared.together[0].area.by_component_mm2["port"] == pytest.approx(3 * 2 * 0.2)


def test_a_run_of_any_length_is_timed_behind_free_buffers():
    time = report("training.schedule=asynchronous", "training.batch=1").time
    for n in (1, 2, 3):
        timing = time_flow(
            time.topology, time.chip.router.router, time.pipeline.flow, time.schedule, n
        )
        assert (timing.started >= 0).all()


def test_bits_that_ports_bring_cost_what_a_link_off_the_chip_does(tmp_path):
    none, two, three = (
        report(*ports) for ports in ((), ("chip.io_ports=2",), ("chip.io_ports=3",))
    )
    bits = (64 + 1) * 8  # of inputs and the target

    assert "port" not in none.energy.events
    assert two.energy.events["port"] == three.energy.events["port"] == bits
    found = two.energy.by_component_j["port"]
    assert found.value == pytest.approx(bits * 10.4 / (4 * 6.4e9 * 8))
    assert found.low == pytest.approx(bits * 3.9e-12)
    own = tmp_path / "mine.yaml"
    own.write_text(
        "components:\n  port: {per: bit, energy_pj: 5.0, area_um2: 2.0e+5, source: mine}\n"
    )
    mine = report("chip.io_ports=2", f"chip.table={own}")
    assert mine.energy.by_component_j["port"].value == pytest.approx(bits * 5e-12)
    assert mine.area.by_component_mm2["port"] == pytest.approx(2 * 0.2)

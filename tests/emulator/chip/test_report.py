"""The chip report: its order, its counts, its timeline, and what it refuses."""

import dataclasses
import itertools
import json
import math
from collections import Counter, defaultdict

import pytest
from typer.testing import CliRunner

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.messages import flits_of
from crossmesh.emulator.chip.placement import place_tiles
from crossmesh.emulator.chip.report import chip_of, report_chip
from crossmesh.emulator.chip.trace import trace
from crossmesh.emulator.cli.main import app
from crossmesh.emulator.compiler.ir_drop import wires_notice
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.chip import Chip
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.training.training import train
from crossmesh.interconnect.noc import TOPOLOGIES
from crossmesh.interconnect.noc.pipeline_timing import time_flow
from crossmesh.tiles.runtime.plan import edges, in_order
from crossmesh.tiles.runtime.program import Kind
from tests.jobs import SCHEDULES, small_job


def job(*overrides, name="digits"):
    return prepare(load_config(name, ["training.examples=16", *overrides]))


def report(*overrides, name="digits"):
    return chip_of(job(*overrides, name=name))


# Order


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_is_timed_is_done_in_the_order_in_which_the_executor_did_it(schedule):
    small = small_job("constant_step", schedule)
    span = small.epoch(0)
    executor = LocalExecutor(small)
    executor.write_initial_weights()
    executor.host.trace = []
    executor.run(span, lambda progress: None)
    executor.close()
    performed = defaultdict(list)
    for step in executor.host.trace:
        if step.kind is Kind.INPUT:  # by a port, as soon as a buffer is free
            continue
        is_array = step.kind in {Kind.READ, Kind.READ_BACK, Kind.PULSE}
        part = TileResource.ARRAY if is_array else TileResource.DIGITAL
        performed[step.tile, part].append((step.kind, step.micro_batch))

    timed = chip_of(small).time
    timing = time_flow(
        timed.topology, small.config.chip.router.router, timed.pipeline.flow, span.schedule,
        span.n_micro_batches,
    )  # fmt: skip
    steps, found = timed.pipeline.steps, defaultdict(list)
    for _, _, k, m in sorted(
        (int(timing.started[m, k]), int(timing.ended[m, k]), k, m)
        for m in range(span.n_micro_batches)
        for k in range(len(steps))
    ):
        is_compared = steps[k].part in {TileResource.ARRAY, TileResource.DIGITAL}
        if is_compared and steps[k].kind != "transfer":
            found[steps[k].tile, steps[k].part].append((steps[k].kind, m))
    assert found == performed


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("model", ["analytic", "packet", "flit"])
def test_no_resource_does_two_things_at_once(schedule, model):
    timed = report(f"training.schedule={schedule}", "training.batch=4", f"chip.model={model}").time
    timing, flow = timed.steady.timing, timed.pipeline.flow
    busy = defaultdict(list)
    for k, task in enumerate(flow.tasks):
        for m in range(len(timing.started)):
            busy[task.resource].append((timing.started[m, k], timing.ended[m, k]))
    for slots in busy.values():
        slots.sort()
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(slots))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("model", ["analytic", "packet", "flit"])
def test_nothing_starts_before_what_it_needs_is_there(schedule, model):
    timed = report(f"training.schedule={schedule}", "training.batch=4", f"chip.model={model}").time
    timing, flow = timed.steady.timing, timed.pipeline.flow
    for k, task in enumerate(flow.tasks):
        for need in task.needs:
            assert (timing.started[:, k] >= timing.ended[:, need]).all()
    delivery = 0
    for send in flow.sends:
        for _ in send.flits if model != "analytic" else (send,):
            for takers in send.takers.values():
                assert (timing.arrivals[:, delivery] > timing.ended[:, send.task]).all()
                for taker in takers:
                    assert (timing.started[:, taker] >= timing.arrivals[:, delivery]).all()
                delivery += 1


# Time


def test_quicker_schedules_are_quicker_and_no_interval_is_below_its_bounds():
    intervals = {}
    for schedule in ("sequential", "asynchronous"):
        timed = report(f"training.schedule={schedule}", "training.batch=1").time
        intervals[schedule] = timed.interval_s
        assert float(timed.steady.interval_cycles) >= max(timed.bounds.values())
        assert timed.latency_s >= timed.interval_s
    assert intervals["asynchronous"] < intervals["sequential"]


def test_a_starved_link_sets_the_interval_and_is_named():
    widths = ((120, "tanh"), (16, "tanh"), (16, "tanh"), (16, "tanh"), (10, "softmax"))
    layers = ", ".join(f"{{kind: linear, outputs: {n}, activation: {f}}}" for n, f in widths)
    starved = report(
        f"network=[{layers}]", "tile.rows=128", "tile.cols=128", "training.batch=1",
        "training.schedule=asynchronous", "chip.placement=row_major",
        "chip={width: 5, height: 1, flit_bits: 2, activation_bits: 16, partial_sum_bits: 8}",
    ).time  # fmt: skip
    name, cycles = next(iter(starved.bounds.items()))

    # Its activations come in by it, and its errors: more than any link between routers carries.
    assert starved.bound_by == name == "link router 1 -> tile"
    assert starved.steady.recurs
    assert float(starved.steady.interval_cycles) == pytest.approx(cycles, rel=1e-3)


def test_an_interval_that_cannot_be_sustained_is_refused_with_the_smallest_that_can():
    smallest = report().time.interval_s
    assert report(f"chip.interval_s={smallest}").time.interval_s == smallest
    with pytest.raises(ConfigError, match=rf"at least {smallest:.6g}, the smallest .*bound by"):
        report(f"chip.interval_s={smallest / 2}")
    assert report(f"chip.interval_s={smallest:.6g}").time.interval_s >= smallest


def test_a_chip_that_waits_for_its_examples_leaks_while_it_waits():
    quick = report()
    slow = report(f"chip.interval_s={10 * quick.time.interval_s}")
    before, after = quick.summary, slow.summary

    assert after["interval_s"] == pytest.approx(10 * before["interval_s"])
    assert after["shortest_interval_s"] == before["shortest_interval_s"] == before["interval_s"]
    assert after["examples_per_s"] == pytest.approx(before["examples_per_s"] / 10)
    assert after["ops_per_s_per_mm2"] == pytest.approx(before["ops_per_s_per_mm2"] / 10)
    for busy in ("mean_tile_busy", "max_link_load"):
        assert after[busy] == pytest.approx(before[busy] / 10)
    parts = [each.energy.by_component_j for each in (quick, slow)]
    leaks = [each["leakage"].value for each in parts]
    assert leaks[1] == pytest.approx(10 * leaks[0])
    assert leaks[1] == pytest.approx(slow.area.leakage_w * slow.time.interval_s)
    assert parts[1]["adc"] == parts[0]["adc"]
    assert after["bound_by"] == f"chip.interval_s; {next(iter(slow.time.bounds))} comes nearest"


def test_the_tile_that_takes_the_most_area_sets_the_size_of_all():
    """Two layers with tiles of one size: cells of the first or of the second are the larger."""
    tile = {"cell": {"extends": "pcm-3t1c-ambrogio-2018"}}
    layers = [
        {"kind": "linear", "outputs": 48, "activation": "tanh"},
        {"kind": "linear", "outputs": 10, "activation": "softmax"},
    ]
    areas = []
    for dear in (None, 0, 1):
        network = [{**each, "tile": tile} if i == dear else each for i, each in enumerate(layers)]
        areas.append(report(f"network={json.dumps(network)}").area)

    assert areas[1].by_component_mm2["cell"] == areas[2].by_component_mm2["cell"]
    assert areas[1].by_component_mm2["cell"] > 5 * areas[0].by_component_mm2["cell"]
    few, many = (
        report(f"network={json.dumps([{**layers[0]}, {**layers[1], 'tile': converters}])}").area
        for converters in ({}, {"read": {"adc": {"bits": 12, "range": 12.0}}})
    )
    assert many.by_component_mm2["adc"] > few.by_component_mm2["adc"]


def counted(time):
    """What the tiles of a chip do for an example."""
    return [(each.counts, each.pulsing, each.rewriting) for each in time.pipeline.events]


def test_units_serve_more_stages_than_their_arrays():
    """The last array of a narrow network sums for the stage before its own, or one lies idle."""
    layers = [f"{{kind: linear, outputs: {n}, activation: tanh}}" for n in (12, 24, 25)]
    network = f"network=[{', '.join(layers)}, {{kind: linear, outputs: 10, activation: softmax}}]"
    for schedule in SCHEDULES:
        chip = report(
            network, "tile.rows=65", "tile.cols=13", f"training.schedule={schedule}",
            "chip.model=analytic",
        )  # fmt: skip
        assert chip.time.pipeline.flow.n_stages == 4


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_topology_times_a_program_and_counts_the_same_work(topology):
    mesh, other = report().time, report(f"chip.topology={topology}").time

    assert counted(other) == counted(mesh)
    assert other.ops_per_example == mesh.ops_per_example
    assert other.interval_s > 0


# Places


def test_placement_by_traffic_makes_ways_shorter_than_the_others():
    large = job("tile.rows=12", "tile.cols=12")
    operations, n_tiles = (
        in_order(large.program, large.epoch(0).schedule),
        len(large.program.blocks),
    )
    values = {}
    for placement in ("row_major", "snake", "traffic"):
        chip = Chip(placement=placement)
        place = place_tiles(chip, operations, tuple(range(n_tiles)))
        mesh = chip.interconnect(n_tiles)
        assert len(set(place)) == n_tiles
        values[placement] = sum(
            len(mesh.route(place[edge.source], place[edge.target]))
            * sum(take.stop - take.start for take in edge.parts)
            for edge in edges(operations, tuple(range(n_tiles)))
        )
    assert values["traffic"] < 0.9 * min(values["row_major"], values["snake"])


# The timeline


KEYS = {"X": {"ts", "dur", "cat"}, "M": {"args"}, "s": {"ts", "id"}, "f": {"ts", "id", "bp"}}


def problems(timeline):
    """What a reader of Chrome's trace format would stumble over."""
    events = timeline["traceEvents"]
    for event in events:
        missing = ({"name", "ph", "pid", "tid"} | KEYS[event["ph"]]) - set(event)
        if missing:
            yield f"{event} lacks {missing}"
            return
        if event.get("ts", 0) < 0 or event.get("dur", 0) < 0:
            yield f"{event} is in negative time"
    tracks = defaultdict(list)
    for event in (event for event in events if event["ph"] == "X"):
        tracks[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for track, slices in tracks.items():
        for (_, end), (start, _) in itertools.pairwise(sorted(slices)):
            if start < end - 1e-9:
                yield f"slices of {track} overlap at {start}"
    yield from arrow_problems(events, tracks)


def arrow_problems(events, tracks):
    """Arrows that lack an end, go back in time, or end beside every slice."""
    arrows = [event for event in events if event["ph"] in "sf"]
    counts = Counter((event["id"], event["ph"]) for event in arrows)
    for number in {event["id"] for event in arrows}:
        if counts[number, "s"] != 1 or counts[number, "f"] != 1:
            yield f"arrow {number} does not have two ends"
            continue
        start, end = (e for e in sorted(arrows, key=lambda e: e["ph"] == "f") if e["id"] == number)
        if end["ts"] < start["ts"]:
            yield f"arrow {number} goes back in time"
        for event in (start, end):
            inside = tracks[event["pid"], event["tid"]]
            if not any(a <= event["ts"] <= b for a, b in inside):
                yield f"arrow {number} ends beside every slice"


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_timeline_is_sound_and_as_busy_as_the_report(schedule):
    timed = report(f"training.schedule={schedule}", "training.batch=2").time
    timeline = json.loads(json.dumps(trace(timed)))

    assert list(problems(timeline)) == []
    assert timeline["otherData"]["whole_periods"]
    window = timeline["otherData"]["window_us"]
    spent = defaultdict(float)
    for event in timeline["traceEvents"]:
        if event["ph"] == "X":
            spent[event["pid"], event["tid"]] += event["dur"]
    for tile in range(len(timed.program.crossbars)):
        for part in range(len(TileResource)):
            busy = float(timed.resource_busy[tile, part])
            assert spent[tile, part] / window == pytest.approx(busy, abs=1e-6)
    assert {event["cat"] for event in timeline["traceEvents"] if "cat" in event} >= {
        "forward", "loss", "backward", "update", "message",
    }  # fmt: skip


def test_the_checker_sees_what_is_wrong():
    track = {"pid": 0, "tid": 0, "name": "a"}
    one = {**track, "ph": "X", "ts": 0, "dur": 2, "cat": "c"}
    arrow = {**track, "ph": "s", "ts": 1, "id": 1}

    assert list(problems({"traceEvents": [one, {**one, "ts": 1}]}))
    assert list(problems({"traceEvents": [one, arrow]}))
    assert list(problems({"traceEvents": [{**track, "ph": "X", "ts": 0, "cat": "c"}]}))
    assert list(problems({"traceEvents": [{**one, "dur": -1}]}))
    assert not list(problems({"traceEvents": [one, arrow, {**arrow, "ph": "f", "bp": "e"}]}))


# Messages, commands, refusals


def test_messages_are_cut_into_packets_with_a_head_each():
    chip = Chip(flit_bits=100, packet_flits=8)

    assert flits_of(chip, 1) == (2,)
    assert flits_of(chip, 700) == (8,)
    assert flits_of(chip, 701) == (8, 2)
    for bits in (1, 99, 100, 101, 5_000):
        packets = flits_of(chip, bits)
        assert sum(packets) - len(packets) == math.ceil(bits / 100)
        assert max(packets) <= 8


def test_the_command_prints_draws_and_writes(tmp_path):
    picture, timeline = tmp_path / "chip.png", tmp_path / "trace.json"
    options = ["--schedule", "asynchronous", "--plot", str(picture), "--trace", str(timeline)]
    done = CliRunner().invoke(app, ["chip", "digits", "--json", *options])

    assert done.exit_code == 0
    summary = json.loads(done.stdout)
    assert summary["schedule"] == "asynchronous"
    assert summary["energy_j_per_example_low"] < summary["energy_j_per_example"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert list(problems(json.loads(timeline.read_text()))) == []
    table = CliRunner().invoke(app, ["chip", "digits"])
    assert summary["bound_by"].split()[0] in done.stdout
    assert "interval per example" in table.stdout


def test_what_wires_take_to_compute_is_a_whole_line():
    wired = ["--set", "tile.read.wire_resistance=1e-4"]
    lines = CliRunner().invoke(app, ["chip", "digits", *wired]).stdout.splitlines()
    notice = wires_notice(job("tile.read.wire_resistance=1e-4").program)

    assert "; a read takes" in notice
    assert notice in lines
    assert any("exact on 4 tiles" in line and "wires" in line for line in lines if line != notice)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("chip={width: 1, height: 2}", r"chip\.width \* chip\.height must be at least the 4 tiles"),
        ("chip.flit_bits=0", r"chip\.flit_bits must be .*, got 0"),
        ("chip.packet_flits=9", r"chip.*router\.buffer_flits must be at least packet_flits \(9\)"),
        ("chip={topology: torus, router: {virtual_channels: 1}}", "at least 2 in a torus, got 1"),
        ("chip.topology=ring", r"chip\.topology must be .*, got 'ring'"),
        ("chip.table=nowhere", r"chip\.table must be a YAML file, got nowhere"),
        ("chip={topology: point_to_point, width: 100, model: flit}", "at most 62 ports per router"),
        ("chip.clock_hz=-1", r"chip\.clock_hz must be .*, got -1"),
    ],
)
def test_impossible_chips_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        report(override)


@pytest.mark.parametrize(
    "override",
    ["chip={width: 1, height: 2}", "chip.table=nowhere", "chip.interval_s=1e-12",
     "chip={topology: point_to_point, width: 100, model: flit}"],
)  # fmt: skip
def test_an_impossible_chip_is_refused_before_anything_is_trained(override, tmp_path):
    directory = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"chip|ports"):
        train(load_config("digits", ["engine.kind=local", override]), directory)
    assert not directory.exists()


def test_a_timeline_is_bounded_however_late_the_pattern_recurs():
    timed = report("training.schedule=asynchronous", "training.batch=1").time
    late = dataclasses.replace(timed.steady, recurs=False, cycles=10 * timed.steady.cycles,
                               micro_batches=10 * timed.steady.micro_batches)  # fmt: skip
    timeline = trace(dataclasses.replace(timed, steady=late))
    slices = [event for event in timeline["traceEvents"] if event["ph"] == "X"]

    assert not timeline["otherData"]["whole_periods"]
    assert 0 < len(slices) <= 5 * len(timed.pipeline.flow.tasks)
    assert list(problems(timeline)) == []


def test_transfers_have_a_color_of_their_own():
    cell = "tile.cell={kind: pcm_3t1c, transfer: {every: 40, examples_per_row: 1}}"
    timed = report(cell, "training.batch=1").time
    categories = {e.get("cat") for e in trace(timed)["traceEvents"]}

    assert "transfer" in categories


def test_a_chip_never_changes_what_is_learnt():
    small = job("chip.flit_bits=16")
    again = report_chip(
        small.program,
        Chip(),
        small.epoch(0).schedule,
        small.config.training.batch,
    )
    assert again.time.program == job().program

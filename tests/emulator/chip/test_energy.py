"""Energy and area of a chip: what is counted, what it costs, and that parts make the whole."""

from collections import Counter

import pytest

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.chip.breakdown import rungs
from crossmesh.emulator.chip.components import load_table
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.chip.rows import links_table, tile_columns
from crossmesh.emulator.chip.use import TileUse
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.tiles.analog.costs import IDEAL
from crossmesh.tiles.runtime.program import Kind


def job(*overrides, name="digits"):
    return prepare(load_config(name, ["training.examples=16", *overrides]))


def report(*overrides, name="digits"):
    return chip_of(job(*overrides, name=name))


def pulsing_of(counted):
    """Pulses of each tile, which has one array."""
    return [each for events in counted.time.pipeline.events for each in events.pulsing.values()]


def test_events_are_those_of_the_program():
    counted = report("training.batch=1")
    reads, cells = Counter(), 0
    for operation in counted.time.program.operations:
        rows, cols = counted.time.program.blocks[operation.tile].shape
        if operation.kind is Kind.READ:
            reads.update(dac=rows, adc=cols)
            cells += rows * cols
        elif operation.kind is Kind.READ_BACK:
            reads.update(dac=cols, adc=rows)
            cells += rows * cols

    assert {name: counted.energy.events[name] for name in ("dac", "adc")} == reads
    assert counted.energy.events["cell_read"] == cells
    slots = counted.area.tile.update.length
    lines = sum(sum(block.shape) for block in counted.time.program.crossbars)
    assert (
        sum(each.lines for e in counted.time.pipeline.events for each in e.pulsing.values())
        == slots * lines
    )
    flits = counted.time.steady.timing.link_flits.sum()
    into = sum(sum(s.flits) * len(s.takers) for s in counted.time.pipeline.flow.sends)
    assert counted.energy.events["router"] == (flits + into) * counted.time.chip.flit_bits


def test_the_whole_is_the_sum_of_tiles_links_and_what_they_share():
    counted = report()
    tiles = sum(tile_columns(counted)["energy_j_per_example"].drop_null().to_pylist())
    links = sum(links_table(counted)["energy_j_per_example"].to_pylist())
    into = sum(sum(s.flits) * len(s.takers) for s in counted.time.pipeline.flow.sends)
    bits = into * counted.time.chip.flit_bits / counted.time.micro_batch
    own_ports = bits * counted.energy.prices.router.energy_j
    total, parts = counted.energy.per_example_j, counted.energy.by_component_j

    shared = sum(parts[name].value for name in ("leakage", "clock", "supply"))
    assert tiles + links + own_ports + shared == pytest.approx(total.value, rel=1e-4)
    assert total.low < total.value < total.high


def test_a_chip_is_exactly_the_sum_of_its_components():
    counted = report()
    area, energy = counted.area, counted.energy

    assert area.chip_mm2 == sum(area.by_component_mm2.values())
    assert area.leakage_w == sum(area.leakage_by_component_w.values())
    assert energy.per_example_j.value == sum(b.value for b in energy.by_component_j.values())
    assert energy.per_example_j.low == sum(b.low for b in energy.by_component_j.values())
    assert energy.per_example_j.high == sum(b.high for b in energy.by_component_j.values())
    rungs_of = rungs(energy)
    assert sum(rung.joules for rung in rungs_of) == pytest.approx(energy.per_example_j.value)
    assert rungs_of[-1].ops_per_j == pytest.approx(counted.summary["ops_per_s_per_w"])


def test_a_user_may_replace_one_component(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text(
        "components:\n  adc: {per: conversion, energy_pj: {8: 2.0, 10: 4.0}, source: mine}\n"
    )
    adc = load_table(str(own)).components["adc"]

    assert [adc.price(bits).energy_j for bits in (3, 9, 11)] == pytest.approx([2e-12, 3e-12, 8e-12])
    ours, theirs = report().energy, report(f"chip.table={own}").energy
    bits = job().config.tile.read.adc.bits
    assert theirs.by_component_j["adc"].value == pytest.approx(
        theirs.events["adc"] * adc.price(bits).energy_j
    )
    assert theirs.by_component_j["adc"] != ours.by_component_j["adc"]
    assert theirs.by_component_j["dac"] == ours.by_component_j["dac"]


def test_a_table_extends_another(tmp_path):
    (tmp_path / "one.yaml").write_text(
        "components:\n  adc: {per: conversion, source: one}\n  dac: {per: line, source: one}\n"
    )
    own = tmp_path / "two.yaml"
    own.write_text("extends: one.yaml\ncomponents:\n  adc: {per: conversion, source: two}\n")

    sources = {name: each.source for name, each in load_table(str(own)).components.items()}
    assert sources == {"adc": "two", "dac": "one"}
    own.write_text("extends: two.yaml\ncomponents: {}\n")
    with pytest.raises(ConfigError, match=r"^chip\.table must extend at most 8 files, got more"):
        load_table(str(own))


def test_what_a_run_has_counted_replaces_estimates():
    small = job("training.batch=1")
    estimated = chip_of(small).energy
    n_tiles = len(small.program.crossbars)
    pulsing = pulsing_of(chip_of(small))

    none, all_ = (
        chip_of(small, tuple(TileUse(pulses=share * each.lines) for each in pulsing)).energy
        for share in (0, 1)
    )
    assert none.events["line_pulse"] == none.events["cell_pulse"] == 0
    assert all_.events["line_pulse"] == sum(each.passed for each in pulsing)
    assert all_.events["cell_pulse"] == sum(each.crossed for each in pulsing)
    assert 0 < estimated.events["line_pulse"] < all_.events["line_pulse"]
    low, high = (
        chip_of(small, (TileUse(pulses=0.0, conductance=share),) * n_tiles).energy
        for share in (0.1, 0.9)
    )
    ratio = high.by_component_j["cell_read"].value / low.by_component_j["cell_read"].value
    assert ratio == pytest.approx(IDEAL.siemens(0.9) / IDEAL.siemens(0.1))


def test_a_table_of_unknown_components_is_refused(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("components:\n  adcs: {per: conversion, source: mine}\n")
    with pytest.raises(ConfigError, match=r"components must be of .*, got adcs; did you mean adc"):
        report(f"chip.table={own}")
    own.write_text("components:\n  adc: {per: conversion, energy_pj: 1}\n")
    with pytest.raises(ConfigError, match=r"components\.adc\.source"):
        report(f"chip.table={own}")


def test_a_table_s_cell_sets_the_length_of_lines_and_counts_what_it_says(tmp_path):
    own, base = tmp_path / "mine.yaml", report()
    own.write_text("components:\n  cell: {per: cell, area_um2: 16.0, source: mine}\n")
    large = report(f"chip.table={own}")

    pitch = (16 / IDEAL.area_at(32)) ** 0.5
    for name in ("line_read", "line_pulse"):  # of bare crosspoints: a line is nothing but wire
        joules = large.energy.by_component_j[name].value
        assert joules == pytest.approx(pitch * base.energy.by_component_j[name].value)
    own.write_text("components:\n  cell: {per: cell, leakage_uw: 0.001, source: mine}\n")
    leaky = report(f"chip.table={own}")
    for name in ("line_read", "line_pulse"):  # no area of a cell of one's own: ours
        assert leaky.energy.by_component_j[name] == base.energy.by_component_j[name]


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ("driver: {per: charge, energy_pj: 0.5",
         r"driver\.energy_pj must .* out, as that of line_read and line_pulse counts, got 0\.5"),
        ("cell: {per: cell, energy_pj: 1.0",
         r"cell\.energy_pj must be left out, as that of cell_read"),
        ("cell_read: {per: cell, area_um2: 2.0",
         r"cell_read\.area_um2 must be left out, as that of cell counts, got 2"),
        ("line_read: {per: cell, leakage_uw: 2.0", r"line_read\.leakage_uw must be left out"),
    ],
)  # fmt: skip
def test_figures_of_a_table_that_nothing_counts_are_refused(tmp_path, component, message):
    own = tmp_path / "mine.yaml"
    own.write_text(f"components:\n  {component}, source: mine}}\n")
    with pytest.raises(ConfigError, match=rf"^chip\.table: {message}"):
        report(f"chip.table={own}")


def test_inference_after_training_reads_the_conductances_that_were_trained():
    small = job("training.batch=1")
    n_tiles = len(small.program.crossbars)
    low, high = (
        chip_of(
            small, (TileUse(pulses=5.0, writes=3.0, repeats=2.0, conductance=share),) * n_tiles,
            inference=True,
        )
        for share in (0.1, 0.9)
    )  # fmt: skip

    joules = [each.energy.by_component_j["cell_read"].value for each in (low, high)]
    assert joules[1] / joules[0] == pytest.approx(IDEAL.siemens(0.9) / IDEAL.siemens(0.1))
    assert low.repeats == 2 * n_tiles
    assert not {"line_pulse", "cell_write"} & low.energy.by_component_j.keys()
    assert "line_pulse" in chip_of(small).energy.by_component_j


# What costs depend on


def joules(name, *overrides, config="mnist-ideal"):
    counted = report(*SYNTHETIC, *overrides, name=config)
    return counted.energy.by_component_j[name].value / counted.energy.events[name]


SYNTHETIC = (
    "data={source: synthetic, inputs: 528, classes: 10, examples: 64, test_examples: 16,"
    " crop: null}",
    "chip.model=analytic",
)
SINGLE = "tile.cell={kind: constant_step}"
PAIR = "tile.cell={kind: pair, device: {kind: constant_step}}"


def test_a_pulse_costs_as_its_line_is_long():
    """Of tiles of 64 and 512 lines, whose layers fill them."""
    of_cell = [joules("line_pulse", SINGLE, f"tile={{rows: {n}, cols: {n}}}") for n in (64, 512)]
    passed = [
        pulsing_of(
            report(*SYNTHETIC, SINGLE, f"tile={{rows: {n}, cols: {n}}}", name="mnist-ideal")
        )[0]
        for n in (64, 512)
    ]

    assert of_cell[0] == pytest.approx(of_cell[1])
    per_line = [each.passed / each.lines for each in passed]
    assert per_line == [64, 512]


@pytest.mark.parametrize("name", ["cell_read", "cell_half", "cell_pulse"])
def test_a_pair_is_twice_a_device(name):
    assert joules(name, PAIR) == pytest.approx(2 * joules(name, SINGLE))
    one, two = (report(*SYNTHETIC, each, name="mnist-ideal").area for each in (SINGLE, PAIR))
    for part in ("cell", "driver"):
        assert two.by_component_mm2[part] == pytest.approx(2 * one.by_component_mm2[part])


def test_cells_differ_by_what_they_are_made_of():
    """An ideal cell, ReRAM, ECRAM, phase-change memory, and the cell of two of these and 3T1C."""
    names = ("reram-es-gong-2018", "ecram-li-tang-2018", "pcm-nandakumar-2018",
             "pcm-3t1c-ambrogio-2018")  # fmt: skip
    cells = [[], *([f"tile.cell={{extends: {name}}}"] for name in names)]
    reports = [report(*SYNTHETIC, *each, name="mnist-ideal") for each in cells]

    assert len({each.energy.per_example_j.value for each in reports}) == len(reports)
    assert len({each.area.chip_mm2 for each in reports}) == len(reports)
    writes = [each.energy.events["cell_write"] for each in reports]
    assert [bool(n) for n in writes] == [False, False, False, True, True]


@pytest.mark.parametrize(("part", "field"), [("adc", "read.adc"), ("dac", "read.dac")])
def test_converters_cost_more_with_every_bit(part, field):
    found = []
    for bits in range(4, 12):
        width = f"tile.{field}={{bits: {bits}, range: 1.0}}"
        counted = report(*SYNTHETIC, width, name="mnist-ideal")
        as_fast = report(*SYNTHETIC, width, "chip.phases.conversion_s=5e-9", name="mnist-ideal")
        found.append((
            counted.energy.by_component_j[part].value,
            as_fast.area.by_component_mm2[part],
            counted.time.interval_s,
        ))  # fmt: skip
    for figures in zip(*found, strict=True):
        assert list(figures) == sorted(figures)
    assert len({energy for energy, _, _ in found}) == len(found)
    assert len({area for _, area, _ in found}) == len(found)


@pytest.mark.parametrize("part", ["adc", "digital", "memory", "router", "link", "line_read"])
def test_parts_cost_more_at_larger_nodes(part):
    found = [joules(part, f"chip.node_nm={node}") for node in (7, 14, 22, 32, 45, 65)]

    assert found == sorted(found)
    areas = [
        report(*SYNTHETIC, f"chip.node_nm={node}", name="mnist-ideal").area.chip_mm2
        for node in (7, 14, 22, 32, 45, 65)
    ]
    assert areas == sorted(areas)


def test_what_flows_through_cells_does_not_follow_the_node():
    assert joules("cell_read", "chip.node_nm=7") == joules("cell_read", "chip.node_nm=65")


def test_stored_values_are_what_a_batch_keeps_in_flight():
    """A batch of eight keeps eight times the inputs of updates, and little else.

    The pipeline of three stages keeps as many as are on their way to the loss and back.
    """
    one, eight, pipelined = (
        report(*SYNTHETIC, f"training.schedule={name}", f"training.batch={batch}",
               "training.micro_batch=1", name="mnist-ideal").area.held.stored
        for name, batch in (("sequential", 1), ("synchronous", 8), ("asynchronous", 1))
    )  # fmt: skip

    assert all(7 * a < b <= 8 * a for a, b in zip(one, eight, strict=True))
    assert all(a < b < 5 * a for a, b in zip(one, pipelined, strict=True))


def test_a_memory_that_is_too_small_says_so():
    needed = max(report(*SYNTHETIC, name="mnist-ideal").area.held.total)
    with pytest.raises(
        ConfigError, match=rf"^chip\.memory_bits must be at least {needed:,}, which tile \d+ has"
    ):
        report(*SYNTHETIC, f"chip.memory_bits={needed - 1}", name="mnist-ideal")
    report(*SYNTHETIC, f"chip.memory_bits={needed}", name="mnist-ideal")

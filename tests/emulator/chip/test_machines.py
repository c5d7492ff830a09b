"""Published machines: sums of their own tables, their components at our prices, the seed's chip."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from crossmesh.emulator.chip.machines import own_tables
from crossmesh.emulator.chip.machines.machine import PublishedMachine, figures, machines
from crossmesh.emulator.chip.machines.nature import moves, nature, ratios
from crossmesh.emulator.chip.machines.page import page, prices

PAGE = Path(__file__).parents[3] / "docs/validation/chips.md"
ROWS = [row for machine in machines().values() for row in figures(machine)]
PARTS = [row for row in ROWS if not row.is_total]


def name_of(row):
    return f"{row.machine} {row.part} {row.figure}"


def ratio_of(machine, part, figure):
    found = [row for row in ROWS if (row.machine, row.part, row.figure) == (machine, part, figure)]
    return found[0].ratio


@pytest.mark.parametrize(
    "row", list(own_tables.rows()), ids=lambda row: f"{row.machine} {row.figure}"
)
def test_what_a_table_determines_is_within_five_percent(row):
    assert row.missing or row.difference == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_figure_is_inside_its_bounds_or_says_why_not(row):
    assert bool(row.remark) == (not row.is_inside)


def test_changes_of_prices_bring_no_more_figures_outside():
    known = [row for row in PARTS if row.ours is not None]
    others = [row for row in known if not row.is_same_source]
    totals = [row for row in ROWS if row.is_total]

    assert (len(PARTS), len(known), len(others), len(totals)) == (120, 67, 45, 18)
    assert sum(row.is_inside for row in known) >= 42
    assert sum(row.is_inside for row in others) >= 21
    assert sum(row.is_inside for row in totals) >= 7


@pytest.mark.parametrize(
    ("machine", "part", "figure", "ratio"),
    [
        ("ISAAC", "ADC", "area_um2", 1.0),
        ("ISAAC", "shift and add, unit", "area_um2", 1.0),
        ("PUMA", "vector lane", "area_um2", 1.0),
        ("TIMELY", "number to time", "energy_pj", 1.0),
        # 128 x 128 cells of 48 F² at 22 nm, 4,770 times, over 1.81 mm²
        ("NeuroSim VGG-8, flash", "arrays", "area_mm2", 16384 * 48 * 0.022**2 * 4770e-6 / 1.81),
        # 16,384 cells at 0.2 V and 401 uS for 1 ns, half of them driven, over 30 pJ
        ("ISAAC", "crossbar", "power_mw", 16384 * 0.04 * 401e-6 * 1e-9 * 0.5 / 30e-12),
    ],
)
def test_ratios_that_can_be_computed_by_hand(machine, part, figure, ratio):
    assert ratio_of(machine, part, figure) == pytest.approx(ratio, rel=2e-3)


def test_a_total_is_the_sum_of_the_parts_that_both_have():
    isaac = machines()["isaac"]
    known = [row for row in figures(isaac) if row.figure == "power_mw" and row.ours is not None]
    *parts, total = known
    counts = [isaac.parts[row.part].count for row in parts]

    assert total.is_total
    assert total.ours == pytest.approx(
        sum(count * row.ours for count, row in zip(counts, parts, strict=True))
    )
    assert total.published == pytest.approx(
        sum(count * row.published for count, row in zip(counts, parts, strict=True))
    )


def test_a_description_names_kinds_and_fields_that_there_are():
    tree = machines()["isaac"].model_dump(mode="json")
    tree["parts"]["ADC"]["adc"] = {"kind": "guess"}

    with pytest.raises(ValidationError, match="ADC"):
        PublishedMachine.model_validate(tree)


def test_the_page_has_our_prices_of_today():
    written = PAGE.read_text("utf-8")

    assert "\n".join(prices()) in written


def test_the_chip_of_the_seed_paper_is_of_its_order_of_magnitude():
    per_w, per_mm2 = ratios(nature())

    assert 0.05 < per_w < 20
    assert 0.02 < per_mm2 < 20


def test_each_assumption_of_the_seed_paper_s_chip_can_be_moved():
    names = {each.name for each in moves()}
    assert {"model of the ADC", "node, nm", "read voltage", "conductances"} < names

    halved, doubled = (
        ratios(nature(each.overrides))[0] for each in moves() if each.name == "read voltage"
    )
    assert halved > ratios(nature())[0] > doubled


@pytest.mark.slow
def test_the_page_is_what_the_command_writes():
    assert PAGE.read_text("utf-8") == page()

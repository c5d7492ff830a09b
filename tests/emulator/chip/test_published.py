"""Published machines from their own tables, and our reading of the seed paper's chip."""

import pytest

from crossmesh.emulator.chip.published import markdown, nature, ratios, rows


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: f"{row.machine} {row.figure}")
def test_what_a_table_determines_is_within_five_percent(row):
    if row.missing:
        pytest.skip(f"not determined: {row.missing}")
    assert row.difference == pytest.approx(0, abs=0.05)


def test_the_page_says_what_is_missing_wherever_we_are_further_off():
    assert all(row.missing for row in rows() if abs(row.difference) > 0.05)


def test_the_chip_of_the_seed_paper_is_of_its_order_of_magnitude():
    per_w, per_mm2 = ratios(nature())

    assert 0.05 < per_w < 20
    assert 0.05 < per_mm2 < 20


@pytest.mark.slow
def test_the_page_is_made_of_every_row():
    page = markdown()

    assert all(f"| {row.figure} |" in page for row in rows())
    assert "GOP/s/W" in page

"""Lines of an array against the figures of their sources."""

from itertools import pairwise

import pytest

from crossmesh.common.technology import area_factor, wiring
from crossmesh.tiles.circuits import Line


@pytest.mark.parametrize(
    ("node_nm", "ohm", "femtofarad"),
    [
        (90, 0.66, 0.088), (65, 0.60, 0.084), (45, 0.83, 0.064), (32, 1.28, 0.045),
        (22, 1.86, 0.032), (14, 2.5, 0.026), (7, 5.6, 0.016),
    ],
)  # fmt: skip
def test_a_cell_four_wires_wide_has_the_resistance_and_capacitance_of_neurosim(
    node_nm, ohm, femtofarad
):
    line = Line(n_cells=1, pitch_um=4e-3 * wiring(node_nm).width_nm, node_nm=node_nm)

    assert line.ohm == pytest.approx(ohm, rel=0.01)
    assert 1e15 * line.capacitance_f == pytest.approx(femtofarad, abs=0.0005)


def test_word_lines_of_512_cells_hold_less_than_a_tenth_of_a_picofarad():
    gated = Line(n_cells=512, pitch_um=12 * 0.022, load="gate", node_nm=22)
    wide = Line(n_cells=512, pitch_um=0.4, node_nm=22)

    assert 1e15 * gated.capacitance_f == pytest.approx(43, rel=0.01)
    price = gated.price()
    assert price.low * price.energy_j == pytest.approx(0.031e-12, rel=0.01)
    assert 1e15 * wide.capacitance_f == pytest.approx(41, rel=0.01)
    assert gated.tau_s == pytest.approx(512 * 12 * 0.022 * 11.6 * gated.capacitance_f / 2)


def test_bit_lines_carry_drains_and_wider_transistors_more():
    lines = [
        Line(n_cells=100, pitch_um=0.2, load=load, load_widths=widths, node_nm=32)
        for load, widths in (("none", 1), ("drain", 1), ("gate", 1), ("gate", 8))
    ]

    assert [1e15 * line.capacitance_f for line in lines] == pytest.approx(
        [4, 4 + 4.5, 4 + 5.4, 4 + 8 * 5.4]
    )


def test_an_eighth_of_the_cells_takes_an_eighth_of_the_energy_and_the_driver():
    short, long = (
        Line(n_cells=n, pitch_um=0.1, load="gate", node_nm=22).price(1.0) for n in (64, 512)
    )

    assert long.energy_j / short.energy_j == pytest.approx(8)
    assert long.area_um2 / short.area_um2 == pytest.approx(8)


def test_energy_goes_with_the_square_of_the_voltage_and_drivers_shift_levels_above_1_5_v():
    line = Line(n_cells=128, pitch_um=0.1, node_nm=65)

    assert line.price(3.0).energy_j == pytest.approx(9 * line.price(1.0).energy_j)
    assert line.price(1.5).area_um2 == pytest.approx(0.166 * area_factor(32, 65))
    assert line.price(1.6).area_um2 == pytest.approx(1.44 * line.price(1.5).area_um2)
    assert line.price().energy_j == line.price(1.1).energy_j


def test_lines_rise_with_length_pitch_and_node():
    for lines in (
        [Line(n_cells=n, pitch_um=0.1, load="drain", node_nm=32) for n in (1, 64, 512)],
        [Line(n_cells=64, pitch_um=um, load="drain", node_nm=32) for um in (0.05, 0.1, 0.4)],
        [
            Line(n_cells=64, pitch_um=6e-3 * nm, load="gate", node_nm=nm)
            for nm in (7, 14, 22, 28, 45, 90, 130)
        ],
    ):
        for here, more in pairwise(lines):
            assert more.capacitance_f > here.capacitance_f
            assert more.price(1.0).energy_j > here.price(1.0).energy_j


def test_transistors_that_no_source_covers_are_said():
    assert Line(n_cells=1, pitch_um=1, load="gate", node_nm=14).price().beyond == (
        "transistors on lines at 14 nm"
    )
    assert Line(n_cells=1, pitch_um=1, node_nm=14).price().beyond == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_cells": 0}, r"Line\.n_cells must be above 0, got 0"),
        ({"pitch_um": -1.0}, r"Line\.pitch_um must be above 0, got -1\.0"),
        ({"load_widths": 0}, r"Line\.load_widths must be above 0, got 0"),
        ({"node_nm": 5}, r"node_nm must be in \[7, 130\], got 5"),
    ],
)
def test_wrong_lines_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Line(**{"n_cells": 64, "pitch_um": 0.1, "node_nm": 32, **wrong})


def test_a_voltage_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"volts must be above 0, got 0"):
        Line(n_cells=64, pitch_um=0.1, node_nm=32).price(0)

"""Scaling of logic between nodes, wires of a node, and prices of logic at another node."""

import pytest

from crossmesh.common.price import Price
from crossmesh.common.technology import (
    LOGIC,
    area_factor,
    delay_factor,
    energy_factor,
    leakage_factor,
    voltage,
    wiring,
)

ADDITION = Price(
    energy_j=1e-12, area_um2=60, leakage_w=1e-6, low=0.5, high=2, node_nm=32, source="a paper"
)


@pytest.mark.parametrize(
    ("node_nm", "volts", "energy", "delay", "area"),
    [
        (130, 1.3, 13.8, 3.82, 14),
        (90, 1.2, 7.03, 2.82, 6.1),
        (65, 1.1, 3.68, 2.29, 3.3),
        (45, 1.0, 1.88, 1.50, 2.2),
        (32, 0.9, 1, 1, 1),
        (20, 0.9, 0.44, 1.13, 0.46),
        (16, 0.85, 0.303, 0.77, 0.41),
        (14, 0.8, 0.210, 0.54, 0.38),
        (10, 0.75, 0.154, 0.46, 0.22),
        (7, 0.7, 0.105, 0.39, 0.13),
    ],
)
def test_logic_scales_as_stillmaker_and_baas_tabulate(node_nm, volts, energy, delay, area):
    assert voltage(node_nm) == pytest.approx(volts)
    assert energy_factor(32, node_nm) == pytest.approx(energy, rel=0.01)
    assert delay_factor(32, node_nm) == pytest.approx(delay, rel=0.02)
    assert area_factor(32, node_nm) == pytest.approx(area)


@pytest.mark.parametrize(("volts", "factor"), [(0.6, 0.461), (0.7, 0.604), (0.9, 1), (1.1, 1.54)])
def test_energy_at_another_supply(volts, factor):
    assert energy_factor(32, 32, volts) == pytest.approx(factor, rel=0.005)


def test_between_two_rows_the_logarithm_of_a_value_is_interpolated():
    middle = (32 * 45) ** 0.5

    assert area_factor(32, middle) == pytest.approx(2.2**0.5)
    assert energy_factor(32, middle) == pytest.approx(energy_factor(32, 45) ** 0.5)
    assert voltage(middle) == pytest.approx((0.9 * 1.0) ** 0.5)


def test_factors_undo_each_other_and_rise_with_the_node():
    nodes = [7, 8, 10, 12, 14, 16, 20, 22, 28, 32, 40, 45, 65, 90, 110, 130]
    for factor in (energy_factor, delay_factor, area_factor, leakage_factor):
        assert factor(28, 65) * factor(65, 28) == pytest.approx(1)
    for factor in (energy_factor, area_factor, leakage_factor):
        from_the_finest = [factor(7, node) for node in nodes]
        assert from_the_finest == sorted(set(from_the_finest))


@pytest.mark.parametrize(
    ("node_nm", "expected"),
    [
        (90, (1.2, 110, 1.49, 0.253e-15, 0.131e-15, 0.030e-9)),
        (65, (1.1, 105, 1.43, 0.156e-15, 0.093e-15, 0.019e-9)),
        (45, (1.0, 80, 2.60, 0.088e-15, 0.064e-15, 0.012e-9)),
        (32, (0.9, 56, 5.70, 0.054e-15, 0.045e-15, 0.0072e-9)),
        (22, (0.85, 40, 11.6, 0.031e-15, 0.031e-15, 0.0043e-9)),
        (14, (0.8, 32, 19.7)),
        (7, (0.7, 20, 69.5)),
    ],
)
def test_wires_are_those_of_neurosim(node_nm, expected):
    assert wiring(node_nm)[: len(expected)] == pytest.approx(expected, rel=1e-9)


def test_wires_say_where_transistors_are_not_known():
    assert wiring(28).beyond == ""
    assert wiring(14).beyond == "transistors on lines at 14 nm"
    assert wiring(130).beyond == "transistors on lines at 130 nm"
    assert 0 < wiring(7).gate_f < wiring(14).gate_f < wiring(22).gate_f


@pytest.mark.parametrize("node_nm", [6.9, 131])
@pytest.mark.parametrize("asked", [voltage, wiring, lambda node: energy_factor(32, node)])
def test_a_node_outside_the_tables_is_refused(asked, node_nm):
    with pytest.raises(ValueError, match=rf"node_nm must be in \[7, 130\], got {node_nm}"):
        asked(node_nm)


def test_a_supply_outside_the_fits_is_refused():
    with pytest.raises(ValueError, match=r"volts must be in \[0.6, 1.3\], got 0.4"):
        energy_factor(32, 32, 0.4)


@pytest.mark.parametrize("node_nm", LOGIC)
def test_a_price_of_logic_scales_energy_area_and_leakage(node_nm):
    there = ADDITION.at(node_nm)

    assert there.energy_j == pytest.approx(1e-12 * energy_factor(32, node_nm))
    assert there.area_um2 == pytest.approx(60 * area_factor(32, node_nm))
    assert there.leakage_w == pytest.approx(1e-6 * leakage_factor(32, node_nm))
    assert (there.low, there.high, there.node_nm) == (0.5, 2, node_nm)


def test_a_scaled_price_says_so_and_one_at_its_own_node_is_itself():
    assert ADDITION.at(32) is ADDITION
    assert ADDITION.at(65).source == "a paper; from 32 to 65 nm, Stillmaker & Baas"


def test_a_price_of_no_node_cannot_be_scaled():
    with pytest.raises(ValueError, match=r"Price\.node_nm must be given to scale it, got None: 3"):
        Price(energy_j=1e-12, source="3").at(32)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"energy_j": -1.0}, r"Price\.energy_j must be at least 0, got -1\.0"),
        ({"energy_j": float("nan")}, r"Price\.energy_j must be at least 0, got nan"),
        ({"area_um2": -2}, r"Price\.area_um2 must be at least 0, got -2"),
        ({"low": 1.2}, r"Price\.low must be in \(0, 1\], Price\.high at least 1, got 1\.2 and 1"),
        ({"high": 0.5}, r"Price\.low must .* got 1\.0 and 0\.5"),
    ],
)
def test_wrong_prices_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Price(**{"energy_j": 1e-12, "source": "a paper", **wrong})

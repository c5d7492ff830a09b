"""Digital operations against the figures of their sources."""

from functools import partial
from itertools import pairwise

import pytest

from crossmesh.common.technology import area_factor, energy_factor
from crossmesh.tiles.circuits import OPERATIONS, lane_price, operation_price


@pytest.mark.parametrize(
    ("name", "bits", "node_nm", "pj", "um2"),
    [
        ("add", 32, 40, 0.21, 278),
        ("multiply", 16, 32, 0.57, None),
        ("multiply", 32, 40, None, 6350),
        ("transcendental", 16, 32, 0.234, 300),
        ("shift_add", 16, 32, 0.021, 60),
        ("requantise", 16, 40, 0.25, None),
        ("float_add", 32, 45, 0.9, None),
        ("float_multiply", 32, 45, 3.7, None),
        ("register", 1, 40, 0.009, 6),
        ("compare", 32, 40, 0.029, 71),
        ("count", 32, 40, 0.25, 496),
    ],
)
def test_operations_are_those_of_their_sources(name, bits, node_nm, pj, um2):
    price = operation_price(name, bits, node_nm)

    if pj is not None:
        assert price.energy_j == pytest.approx(1e-12 * pj)
        assert price.beyond == ""
    if um2 is not None:
        assert price.area_um2 == pytest.approx(um2)


@pytest.mark.parametrize(
    ("name", "bits", "node_nm", "pj"),
    [
        ("add", 8, 45, 0.03), ("add", 16, 45, 0.05), ("add", 32, 45, 0.1), ("add", 16, 32, 0.27),
        ("add", 8, 7, 0.007), ("add", 32, 7, 0.03),
        ("multiply", 8, 45, 0.2), ("multiply", 32, 45, 3.1), ("multiply", 32, 40, 12.7),
        ("multiply", 8, 7, 0.07), ("multiply", 32, 7, 1.48),
        ("float_add", 16, 45, 0.4), ("float_add", 16, 7, 0.16), ("float_add", 32, 7, 0.38),
        ("float_multiply", 16, 45, 1.1), ("float_multiply", 16, 7, 0.34),
        ("float_multiply", 32, 7, 1.31),
        ("requantise", 16, 32, 0.285), ("shift_add", 16, 32, 0.045),
    ],
)  # fmt: skip
def test_other_sources_lie_within_the_ends(name, bits, node_nm, pj):
    price = operation_price(name, bits, node_nm)

    assert price.low <= 1.000001e-12 * pj / price.energy_j
    assert 0.999999e-12 * pj / price.energy_j <= price.high
    assert price.low < 1 or price.high > 1


def test_a_lane_is_that_of_puma():
    lane = lane_price(32)

    assert (lane.energy_j, lane.area_um2, lane.leakage_w) == (1.71e-12, 4030, 0.19e-3)
    assert lane_price(14).energy_j == pytest.approx(1.71e-12 * energy_factor(32, 14))
    assert lane_price(14).area_um2 == pytest.approx(4030 * area_factor(32, 14))


def test_leakage_is_that_of_the_adder_by_area_or_the_source_s_own():
    assert operation_price("add", 32, 40).leakage_w == pytest.approx(2.4e-6)
    assert operation_price("multiply", 32, 40).leakage_w == pytest.approx(2.4e-6 * 6350 / 278)
    assert operation_price("transcendental", 16, 32).leakage_w == pytest.approx(26e-6)


@pytest.mark.parametrize(
    "price_of", [partial(operation_price, "add", 16), lane_price], ids=["adder", "lane"]
)
def test_transistors_of_low_standby_power_leak_2000_times_less(price_of):
    price, calm = (price_of(32, transistors=each) for each in ("low_threshold", "low_standby"))

    assert calm.leakage_w == pytest.approx(price.leakage_w / 2000)
    assert (calm.energy_j, calm.area_um2) == (price.energy_j, price.area_um2)


@pytest.mark.parametrize("name", OPERATIONS)
def test_everything_rises_with_bits_and_node(name):
    for prices in (
        [operation_price(name, bits, 32) for bits in (1, 4, 8, 16, 32, 64)],
        [operation_price(name, 16, node_nm) for node_nm in (7, 10, 14, 22, 28, 45, 90, 130)],
    ):
        for here, more in pairwise(prices):
            assert more.energy_j > here.energy_j
            assert more.area_um2 > here.area_um2
            assert more.leakage_w > here.leakage_w


def test_bits_that_no_source_covers_are_said():
    assert operation_price("add", 64, 32).beyond == "64 bits, known from 8 to 32"
    assert operation_price("transcendental", 8, 32).beyond == "8 bits, known at 16"
    assert operation_price("register", 4096, 32).beyond == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("divide", 8, 32), "operation must be one of add, multiply, .*, got divide"),
        (("add", 0, 32), "bits must be at least 1, got 0"),
        (("add", 8, 180), r"node_nm must be in \[7, 130\], got 180"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        operation_price(*arguments)

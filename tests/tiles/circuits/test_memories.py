"""Memories against CACTI's and other figures."""

import pytest

from crossmesh.common.technology import area_factor, delay_factor, energy_factor
from crossmesh.tiles.circuits import (
    Edram,
    LowLeakageSram,
    MeasuredMemory,
    Registers,
    Sram,
)

KB = 8 * 1024


@pytest.mark.parametrize(
    ("kb", "read_pj", "write_pj", "hp_w", "lstp_w", "um2", "hp_ns", "lstp_ns"),
    [
        (2, 0.022, 0.033, 1.6e-3, 0.8e-6, 0.26, 0.16, 0.65),
        (8, 0.052, 0.061, 5.9e-3, 3e-6, 0.23, 0.21, 0.85),
        (32, 0.056, 0.101, 22e-3, 11e-6, 0.23, 0.32, 1.17),
        (64, 0.109, 0.128, 40e-3, 20e-6, 0.22, 0.42, 1.32),
        (128, 0.145, 0.165, 80e-3, 40e-6, 0.26, 0.57, 1.65),
        (512, 0.321, 0.290, 304e-3, 152e-6, 0.25, 1.10, 2.51),
    ],
)
def test_static_memory_is_that_of_cacti(kb, read_pj, write_pj, hp_w, lstp_w, um2, hp_ns, lstp_ns):
    for memory, watts, ns, factor in (
        (Sram(), hp_w, hp_ns, 1), (LowLeakageSram(), lstp_w, lstp_ns, 1.275),
    ):  # fmt: skip
        read, write = memory.read_price(kb * KB, 32), memory.write_price(kb * KB, 32)
        assert read.energy_j == pytest.approx(factor * 1e-12 * read_pj)
        assert write.energy_j == pytest.approx(factor * 1e-12 * write_pj)
        assert kb * KB * read.leakage_w == pytest.approx(watts)
        assert read.area_um2 == pytest.approx(um2)
        assert memory.access_s(kb * KB, 32) == pytest.approx(1e-9 * ns)
        assert read.beyond == ""


@pytest.mark.parametrize(
    ("kb", "read_pj", "watts", "um2", "ns"),
    [(64, 0.092, 5.9e-3, 0.18, 0.71), (512, 0.30, 19e-3, 0.10, 1.09)],
)
def test_embedded_dynamic_memory_is_that_of_cacti(kb, read_pj, watts, um2, ns):
    price = Edram().read_price(kb * KB, 32)

    assert price.energy_j == pytest.approx(1e-12 * read_pj)
    assert Edram().write_price(kb * KB, 32) == price
    assert kb * KB * price.leakage_w == pytest.approx(watts)
    assert price.area_um2 == pytest.approx(um2)
    assert Edram().access_s(kb * KB, 32) == pytest.approx(1e-9 * ns)


@pytest.mark.parametrize("kb", [2, 4, 8, 16, 32, 64, 128, 256, 512])
def test_energy_goes_with_the_root_of_the_capacity(kb):
    rule = 0.11e-12 * (kb / 64) ** 0.5

    assert Sram().read_price(kb * KB, 32).energy_j == pytest.approx(rule, rel=0.4)


@pytest.mark.parametrize(
    ("node_nm", "pj", "um2"), [(45, 0.142, 0.41), (65, 0.334, 0.90), (90, 0.418, 1.64)]
)
def test_nodes_agree_with_cacti_within_the_price_s_ends(node_nm, pj, um2):
    price = Sram().read_price(64 * KB, node_nm)

    assert 0.99 * price.low <= 1e-12 * pj / price.energy_j <= price.high
    assert price.area_um2 == pytest.approx(um2, rel=0.25)


def test_isaac_s_and_puma_s_memories_lie_within_the_ends():
    price = Edram().read_price(64 * KB, 32)

    for pj in (20.45 / 256, 17.2 / 256):
        assert 0.99 * price.low <= 1e-12 * pj / price.energy_j <= price.high
    assert price.area_um2 * 64 * KB == pytest.approx(83_000, rel=0.15)


def test_memory_scales_as_logic():
    for memory in (Sram(), LowLeakageSram(), Edram()):
        here, there = memory.read_price(64 * KB, 32), memory.read_price(64 * KB, 14)
        assert there.energy_j / here.energy_j == pytest.approx(energy_factor(32, 14))
        assert there.area_um2 / here.area_um2 == pytest.approx(area_factor(32, 14))
        assert memory.access_s(64 * KB, 14) / memory.access_s(64 * KB, 32) == pytest.approx(
            delay_factor(32, 14)
        )


def test_registers_are_those_of_the_accelergy_library():
    price = Registers().read_price(1e6, 40)

    assert price.energy_j == pytest.approx(0.009e-12)
    assert price.area_um2 == pytest.approx(6)


def test_capacities_that_are_not_known_say_so_and_leave_area_and_leakage_per_bit():
    small, least = Sram().read_price(KB, 32), Sram().read_price(2 * KB, 32)
    most, large = Sram().read_price(512 * KB, 32), Sram().read_price(4096 * KB, 32)

    assert small.beyond == "1 KB, known from 2 to 512"
    assert large.beyond == "4096 KB, known from 2 to 512"
    assert small.energy_j == least.energy_j
    assert large.energy_j == pytest.approx(most.energy_j * (0.321 / 0.145) ** 1.5)
    assert (small.area_um2, large.leakage_w) == (least.area_um2, most.leakage_w)


def test_low_standby_power_leaks_2_000_times_less():
    hot, cool = Sram().read_price(64 * KB, 32), LowLeakageSram().read_price(64 * KB, 32)

    assert hot.leakage_w / cool.leakage_w == pytest.approx(2000)


def test_measured_memories_are_as_the_config_says():
    memory = MeasuredMemory(
        read_pj=0.1, write_pj=0.2, area_um2=0.3, leakage_nw=5, time_s=2e-9, source="a paper"
    )
    price = memory.write_price(1, 7)

    assert price.energy_j == pytest.approx(0.2e-12)
    assert (price.area_um2, price.leakage_w) == (0.3, pytest.approx(5e-9))
    assert (memory.access_s(1, 7), price.source) == (2e-9, "a paper")


@pytest.mark.parametrize("memory", [Sram(), LowLeakageSram(), Edram()])
def test_a_memory_of_nothing_is_refused(memory):
    with pytest.raises(ValueError, match="capacity_bits must be above 0, got 0"):
        memory.read_price(0, 32)

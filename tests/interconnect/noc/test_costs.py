"""Routers and links against DSENT and others."""

from functools import partial
from itertools import pairwise

import pytest

from crossmesh.interconnect.noc.costs import link_price, router_price


@pytest.mark.parametrize(
    ("node_nm", "flit_bits", "buffer_flits", "pj", "milliwatts", "um2"),
    [
        (45, 32, 32, 0.154, 14, 47_200), (45, 128, 32, 0.141, 53, 194_000),
        (45, 32, 8, 0.076, 4.7, 15_700), (45, 128, 8, 0.068, 17, 72_000),
        (32, 32, 32, 0.085, 12, 26_300), (32, 128, 32, 0.078, 45, 116_000),
        (32, 32, 8, 0.042, 4.0, 9_000), (32, 128, 8, 0.038, 15, 48_600),
        (22, 32, 32, 0.040, 10, 11_300), (22, 128, 32, 0.036, 39, 46_800),
        (22, 32, 8, 0.020, 3.4, 3_800), (22, 128, 8, 0.018, 13, 17_500),
    ],
)  # fmt: skip
def test_routers_are_those_of_dsent(node_nm, flit_bits, buffer_flits, pj, milliwatts, um2):
    price = router_price(5, flit_bits, buffer_flits, node_nm)

    assert 1e12 * price.energy_j == pytest.approx(pj, rel=0.05)
    assert 1e3 * price.leakage_w == pytest.approx(milliwatts, rel=0.1)
    assert price.area_um2 == pytest.approx(um2, rel=0.15)
    assert price.beyond == ""


@pytest.mark.parametrize("buffer_flits", [1, 8, 20, 32])
def test_the_energy_of_a_router_is_linear_in_its_buffers(buffer_flits):
    price = router_price(5, 128, buffer_flits, 32)

    assert 1e12 * price.energy_j == pytest.approx(0.0245 + 0.00166 * buffer_flits)


def test_noxim_s_and_isaac_s_routers_lie_within_the_ends_and_booksim_s_outside():
    noxim, isaac = router_price(5, 32, 8, 32), router_price(8, 32, 8, 32)

    assert noxim.high * noxim.energy_j == pytest.approx(0.068e-12, rel=0.02)
    assert isaac.energy_j < 0.081e-12 < isaac.high * isaac.energy_j
    assert noxim.high * noxim.energy_j < 0.135e-12


@pytest.mark.parametrize(
    ("node_nm", "pj", "dsent_pj", "ho_pj"),
    [
        (45, 0.050, 0.0404, 0.156),
        (32, 0.0405, 0.0324, 0.117),
        (22, 0.036, 0.0236, 0.095),
        (14, 0.032, None, 0.075),
        (7, 0.0245, None, 0.057),
    ],
)
def test_links_are_those_of_neurosim_between_dsent_s_and_ho_s(node_nm, pj, dsent_pj, ho_pj):
    price = link_price(node_nm)

    assert 1e12 * price.energy_j == pytest.approx(pj, rel=0.005)
    assert 1e12 * price.high * price.energy_j == pytest.approx(ho_pj)
    if dsent_pj:
        assert 1e12 * price.low * price.energy_j == pytest.approx(dsent_pj)
    assert price.low < 1 < price.high


def test_other_links_lie_within_the_ends_and_booksim_s_outside():
    price = link_price(32)

    for pj in (0.0488, 0.0963 / 2, 0.062):
        assert price.low < 1e-12 * pj / price.energy_j < price.high
    assert price.high * price.energy_j < 0.44e-12


def test_a_link_costs_what_its_bits_toggle_and_leaks_as_dsent_s():
    assert link_price(32, 0.18).energy_j == pytest.approx(0.18 * 4 * link_price(32).energy_j)
    assert link_price(32).leakage_w == pytest.approx(0.34e-6, rel=0.02)


@pytest.mark.parametrize("price_of", [partial(router_price, 5, 128, 8), link_price])
def test_low_standby_power_leaks_less_and_changes_nothing_else(price_of):
    hot, cool = price_of(32), price_of(32, transistors="low_standby")

    assert hot.leakage_w == pytest.approx(2000 * cool.leakage_w)
    assert (hot.energy_j, hot.area_um2) == (cool.energy_j, cool.area_um2)


@pytest.mark.parametrize(
    "prices",
    [
        [router_price(5, bits, 8, 32) for bits in (16, 32, 64, 128, 256)],
        [router_price(5, 128, buffers, 32) for buffers in (1, 2, 8, 32)],
        [router_price(ports, 128, 8, 32) for ports in (3, 5, 8)],
        [router_price(5, 128, 8, node) for node in (7, 14, 21, 22, 28, 32, 45, 46, 65, 130)],
        [link_price(node) for node in (7, 11, 14, 22, 28, 32, 45, 65, 90, 130)],
    ],
    ids=["bits", "buffers", "ports", "router node", "link node"],
)
def test_area_and_leakage_rise_and_so_does_the_energy_of_a_flit(prices, request):
    bits = (16, 32, 64, 128, 256) if "bits" in request.node.name else [1] * len(prices)
    energies = [price.energy_j * n for price, n in zip(prices, bits, strict=True)]

    for values in (energies, [p.area_um2 for p in prices], [p.leakage_w for p in prices]):
        assert all(here < more for here, more in pairwise(values))


def test_what_dsent_does_not_cover_is_said():
    assert router_price(8, 32, 8, 14).beyond == (
        "8 ports, known for 5; 14 nm, known from 22 to 45 nm"
    )
    assert link_price(130).beyond == "130 nm, known from 7 to 90 nm"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: router_price(0, 32, 8, 32), "ports must be at least 1, got 0"),
        (lambda: router_price(5, 0, 8, 32), "flit_bits must be at least 1, got 0"),
        (lambda: router_price(5, 32, 0, 32), "buffer_flits must be at least 1, got 0"),
        (lambda: router_price(5, 32, 8, 180), r"node_nm must be in \[7, 130\], got 180"),
        (lambda: link_price(32, 0), r"activity must be in \(0, 1\], got 0"),
        (lambda: link_price(3), r"node_nm must be in \[7, 130\], got 3"),
    ],
)
def test_wrong_arguments_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()

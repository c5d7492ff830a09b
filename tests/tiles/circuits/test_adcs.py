"""Converters of lines against the figures of their sources."""

import pytest

from crossmesh.tiles.circuits import (
    ADCS,
    IsaacAdc,
    MeasuredAdc,
    NeurosimFlashAdc,
    NeurosimSarAdc,
    PumaAdc,
    RampAdc,
    SurveyAdc,
)
from crossmesh.tiles.circuits.published_adcs import corner_hz

EVERY = [
    *(ADCS[name]() for name in ADCS if name != "measured"),
    SurveyAdc(leakage_share=0.2),
    NeurosimSarAdc(flavour="low_standby", column_ohm=1e4),
    MeasuredAdc(energy_pj={4: 1.0, 8: 2.0}, time_s=1e-9, node_nm=65, source="a paper"),
]


def pj(adc, bits, rate_hz=1e8, node_nm=32.0):
    return 1e12 * adc.price(bits, rate_hz, node_nm).energy_j


@pytest.mark.parametrize(
    ("bits", "pj_32", "pj_65", "um2_32", "um2_65", "corner", "walden_fj"),
    [
        (4, 0.923, 3.50, (2159, 3273, 4963), (6502, 9858, 14945), 95e9, 58),
        (5, 0.935, 3.54, (2168, 3286, 4982), (6528, 9897, 15004), 31e9, 29),
        (6, 1.06, 4.03, (2253, 3416, 5178), (6784, 10286, 15594), 10e9, 16.6),
        (7, 1.31, 4.97, (2398, 3635, 5511), (7221, 10947, 16597), 3.3e9, 10.2),
        (8, 1.71, 6.49, (2597, 3937, 5969), (7821, 11857, 17976), 1.07e9, 6.7),
        (9, 2.34, 8.86, (2851, 4322, 8070), (8584, 13015, 24303), 349e6, 4.6),
        (10, 3.30, 12.5, (3162, 4794, 11175), (9522, 14436, 33652), 114e6, 3.2),
        (11, 4.81, 18.2, (3537, 6528, 15606), (10652, 19658, 46995), 37e6, 2.4),
        (12, 7.16, 27.1, (3985, 9180, 21947), (12001, 27646, 66092), 12e6, 1.8),
    ],
)
def test_the_survey_fit(bits, pj_32, pj_65, um2_32, um2_65, corner, walden_fj):
    adc, rates = SurveyAdc(), (1e7, 1e8, 1e9)

    assert pj(adc, bits, 1e7) == pytest.approx(pj_32, rel=0.005)
    assert pj(adc, bits, 1e7, 65) == pytest.approx(pj_65, rel=0.005)
    assert 1e3 * pj(adc, bits, 1e7) / 2**bits == pytest.approx(walden_fj, rel=0.03)
    for node_nm, areas in ((32, um2_32), (65, um2_65)):
        found = [adc.price(bits, rate, node_nm).area_um2 for rate in rates]
        assert found == pytest.approx(areas, rel=0.001)
    assert corner_hz(bits) == pytest.approx(corner, rel=0.05)


@pytest.mark.parametrize(
    ("bits", "rate_hz", "node_nm", "expected"),
    [
        (9, 1e9, 32, 4.69), (9, 1e9, 65, 17.8),
        (10, 3e8, 32, 6.28), (10, 1e9, 32, 13.9), (10, 3e8, 65, 23.8), (10, 1e9, 65, 52.8),
        (11, 1e8, 32, 9.28), (11, 1e9, 32, 42.5), (11, 1e8, 65, 35.2), (11, 1e9, 65, 161),
        (12, 3e7, 32, 13.1), (12, 1e8, 32, 29), (12, 1e9, 32, 133),
        (12, 3e7, 65, 49.6), (12, 1e8, 65, 110), (12, 1e9, 65, 504),
    ],
)  # fmt: skip
def test_the_survey_above_its_corner(bits, rate_hz, node_nm, expected):
    price = SurveyAdc().price(bits, rate_hz, node_nm)

    assert 1e12 * price.energy_j == pytest.approx(expected, rel=0.005)
    assert "above the corner of" in price.beyond


@pytest.mark.parametrize(("node_nm", "ratio"), [(65, 3.790), (22, 0.494), (14, 0.211), (45, 1.898)])
@pytest.mark.parametrize("bits", [4, 8, 12])
def test_the_survey_scales_by_its_own_exponent(node_nm, ratio, bits):
    adc = SurveyAdc()

    assert pj(adc, bits, 1e6, node_nm) / pj(adc, bits, 1e6) == pytest.approx(ratio, rel=0.003)


def test_the_survey_says_which_bits_it_does_not_cover():
    adc = SurveyAdc()

    assert [adc.price(bits, 1e6, 32).beyond for bits in (4, 8, 12)] == ["", "", ""]
    assert adc.price(3, 1e6, 32).beyond == "3 bits, known from 4 to 12"
    assert adc.price(13, 1e6, 32).beyond == "13 bits, known from 4 to 12"
    assert pj(adc, 2) / pj(adc, 4) == pytest.approx(pj(IsaacAdc(), 2) / pj(IsaacAdc(), 4))


@pytest.mark.parametrize(
    ("bits", "expected_pj", "um2"),
    [
        (4, 0.79, 361), (5, 0.99, 477), (6, 1.20, 627), (7, 1.42, 845), (8, 1.67, 1200),
        (9, 1.97, 1828), (10, 2.38, 3002),
    ],
)  # fmt: skip
def test_isaac_s_rows(bits, expected_pj, um2):
    price = IsaacAdc().price(bits, 1.2e9, 32)

    assert 1e12 * price.energy_j == pytest.approx(expected_pj, rel=0.01)
    assert price.area_um2 == pytest.approx(um2, rel=0.01)
    assert price.beyond == ""


def test_isaac_converts_8_bits_at_1_2_ghz_and_reaches_kull_s_silicon():
    assert 1 / IsaacAdc().conversion_s(8) == pytest.approx(1.2e9)
    price = IsaacAdc().price(8, 1.2e9, 32)
    assert 1e12 * price.high * price.energy_j == pytest.approx(2.58, rel=0.01)


@pytest.mark.parametrize("kind", [IsaacAdc, PumaAdc])
def test_converters_of_one_node_scale_as_the_survey_and_say_so(kind):
    here, there = kind().price(8, 1e8, 32), kind().price(8, 1e8, 65)

    assert there.energy_j / here.energy_j == pytest.approx((65 / 32) ** 1.88)
    assert there.area_um2 / here.area_um2 == pytest.approx((65 / 32) ** 1.56)
    assert there.beyond == "65 nm, scaled from 32 nm as in the survey of converters"


@pytest.mark.parametrize(
    ("node_nm", "sar_fj", "um2", "flash_fj"),
    [
        (65, (169, 278, 411, 567), (1248, 1575, 1902), (70, 309, 2539)),
        (45, (103, 175, 265, 372), (598, 755, 912), (54, 239, 1964)),
        (32, (58, 96, 142, 196), (302, 382, 461), (28, 123, 1011)),
        (22, (31, 53, 82, 116), (143, 180, 218), (13, 59, 483)),
        (14, (19, 33, 51, 73), (), (8, 37, 306)),
        (7, (7, 13, 21, 30), (), (4, 16, 128)),
    ],
)
def test_neurosim_s_converters(node_nm, sar_fj, um2, flash_fj):
    sar, flash = NeurosimSarAdc(), NeurosimFlashAdc()

    found = [1e3 * pj(sar, bits, node_nm=node_nm) for bits in (4, 6, 8, 10)]
    assert found == pytest.approx(sar_fj, abs=0.6, rel=0.007)
    areas = [sar.price(bits, 1e8, node_nm).area_um2 for bits in (6, 8, 10)]
    assert areas[: len(um2)] == pytest.approx(um2, rel=0.005)
    found = [1e3 * pj(flash, bits, node_nm=node_nm) for bits in (3, 5, 8)]
    assert found == pytest.approx(flash_fj, abs=0.6, rel=0.007)
    assert (sar.price(8, 1e8, node_nm).beyond == "") is bool(um2)


@pytest.mark.parametrize(
    ("kind", "node_nm", "bits", "expected_fj"),
    [
        (NeurosimSarAdc, 65, 8, (8 * 3.751 + 25.84) * 9),
        (NeurosimSarAdc, 7, 4, (4 * 0.106 + 0.885) * 5),
        (NeurosimFlashAdc, 65, 3, 8.41 * 7),
        (NeurosimFlashAdc, 7, 5, 0.35 * 31),
    ],
)
def test_neurosim_s_converters_of_low_standby_power(kind, node_nm, bits, expected_fj):
    adc = kind(flavour="low_standby")

    assert 1e3 * pj(adc, bits, node_nm=node_nm) == pytest.approx(expected_fj)


@pytest.mark.parametrize(("ohm", "uw"), [(1e3, 81), (1e4, 8.0), (1e5, 0.79), (1e6, 0.08)])
def test_the_column_draws_through_neurosim_s_converter(ohm, uw):
    more = pj(NeurosimSarAdc(column_ohm=ohm), 8) - pj(NeurosimSarAdc(), 8)

    assert more / 9e-3 == pytest.approx(uw, rel=0.03)


def test_neurosim_s_nodes_are_interpolated_in_the_logarithm():
    middle = (32 * 45) ** 0.5

    assert pj(NeurosimFlashAdc(), 5, node_nm=middle) == pytest.approx(
        (pj(NeurosimFlashAdc(), 5) * pj(NeurosimFlashAdc(), 5, node_nm=45)) ** 0.5
    )
    assert NeurosimFlashAdc().price(5, 1e8, 90).beyond == "90 nm, known from 7 to 65 nm"


def test_puma_s_converter_grows_with_the_square_of_the_bits():
    adc = PumaAdc()
    price = adc.price(8, 1e9, 32)

    busy_j = price.energy_j + price.leakage_w * adc.conversion_s(8)
    assert 1e12 * busy_j == pytest.approx(1.56, rel=0.005)
    assert 128 * adc.conversion_s(8) == pytest.approx(100e-9)
    assert price.leakage_w == pytest.approx(0.2e-3)
    assert pj(adc, 4) == pytest.approx(pj(adc, 8) / 4)
    assert {adc.price(bits, 1e9, 32).area_um2 for bits in (4, 6, 8)} == {1200}


def test_a_ramp_takes_what_marinella_s_column_does_and_spans_timely_to_hermes():
    adc = RampAdc(tick_s=1.5e-9)
    price = adc.price(8, 1e6, 14)

    assert adc.conversion_s(8) == pytest.approx(384e-9)
    assert 1024 * price.energy_j == pytest.approx(12.8e-9, rel=0.02)
    assert price.low * price.energy_j == pytest.approx(1.25e-6 * 384e-9, rel=0.02)
    assert price.high * price.energy_j == pytest.approx(375e-6 * 384e-9, rel=0.02)


def test_a_ramp_shared_by_more_lines_costs_each_less():
    few, many = (RampAdc(lines=n).price(8, 1e6, 40) for n in (16, 512))

    shared = 16 * (few.energy_j - many.energy_j) / (1 - 16 / 512)
    assert shared == pytest.approx(256 * 0.25e-12 * 8 / 32 + 0.0375e-12 * 0.4, rel=0.01)
    assert few.area_um2 > many.area_um2


@pytest.mark.parametrize(
    ("adc", "periods"),
    [
        (SurveyAdc(clock_hz=2e9), [2.5e-9, 4.5e-9]),
        (NeurosimSarAdc(), [5e-9, 9e-9]),
        (NeurosimFlashAdc(), [1e-9, 1e-9]),
        (RampAdc(tick_s=0.3e-9), [4.8e-9, 76.8e-9]),
        (PumaAdc(), [0.390625e-9, 0.78125e-9]),
    ],
)
def test_bits_set_the_time_of_a_conversion(adc, periods):
    assert [adc.conversion_s(bits) for bits in (4, 8)] == pytest.approx(periods)


def test_a_share_of_the_power_can_flow_always():
    whole, split = SurveyAdc(), SurveyAdc(leakage_share=0.2)

    price = split.price(8, 1e8, 32)
    assert price.leakage_w == pytest.approx(0.2 * 1e8 * whole.price(8, 1e8, 32).energy_j)
    assert price.energy_j + price.leakage_w / 1e8 == pytest.approx(whole.price(8, 1e8, 32).energy_j)


def test_measured_converters_are_as_the_config_says():
    adc = MeasuredAdc(
        energy_pj={4: 1.0, 8: 2.0}, area_um2=300, leakage_uw=5, time_s={4: 1e-9, 8: 3e-9},
        node_nm=65, source="a paper",
    )  # fmt: skip
    price = adc.price(6, 1e8, 65)

    assert (price.energy_j, price.area_um2) == (pytest.approx(1.5e-12), 300)
    assert (price.leakage_w, price.source, price.beyond) == (pytest.approx(5e-6), "a paper", "")
    assert adc.conversion_s(6) == pytest.approx(2e-9)
    assert adc.price(9, 1e8, 65).beyond == "9 bits, known from 4 to 8"
    assert adc.price(6, 1e8, 32).energy_j == pytest.approx(1.5e-12 * (32 / 65) ** 1.88)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1e8, 32), r"bits must be in \[1, 24\], got 0"),
        ((8, 0, 32), r"rate_hz must be above 0, got 0"),
        ((8, 1e8, 180), r"node_nm must be in \[7, 130\], got 180"),
    ],
)
@pytest.mark.parametrize("adc", EVERY, ids=lambda adc: adc.kind)
def test_conversions_that_no_converter_does_are_refused(adc, arguments, message):
    with pytest.raises(ValueError, match=message):
        adc.price(*arguments)

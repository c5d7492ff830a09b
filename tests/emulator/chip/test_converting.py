"""Converters of a chip: what follows from the kind of the DACs, and from the bits of the ADCs."""

import pytest

from crossmesh.common.technology import energy_factor
from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import load_config
from crossmesh.tiles.circuits import (
    IsaacAdc,
    NeurosimFlashAdc,
    NeurosimSarAdc,
    PumaAdc,
    RampAdc,
    SurveyAdc,
)

BITS = 6
ONE_BLOCK = ("training.examples=16", "training.batch=1", "chip.model=analytic",
             f"tile.read.dac={{bits: {BITS}, range: 1.0}}")  # fmt: skip


def report(dac, *overrides):
    config = load_config("digits", [*ONE_BLOCK, f"chip.dac={dac}", *overrides])
    return chip_of(prepare(config))


@pytest.fixture(scope="module")
def by_dac():
    return {
        name: report(dac)
        for name, dac in {
            "voltage": "{kind: voltage}",
            "serial": "{kind: serial}",
            "half": "{kind: serial, activity: 0.5}",
        }.items()
    }


def test_a_serial_dac_makes_the_adc_convert_every_bit(by_dac):
    once, each_bit = (by_dac[name].energy.events for name in ("voltage", "serial"))

    for name in ("adc", "sample_hold", "shift_add"):
        assert each_bit[name] == BITS * once[name]
    assert each_bit["dac"] == once["dac"]  # an input with all its bits
    assert each_bit["line_read"] == BITS * once["line_read"]
    parts = list(TileResource)
    adcs = [by_dac[name].time.busy_cycles[:, parts.index("adc")] for name in ("voltage", "serial")]
    assert (adcs[1] == BITS * adcs[0]).all()


def test_lines_and_cells_work_for_the_bits_that_are_one(by_dac):
    whole, half = by_dac["serial"].energy, by_dac["half"].energy

    assert half.events["line_read"] == pytest.approx(0.5 * whole.events["line_read"], rel=1e-3)
    for name in ("line_read", "cell_read"):
        joules = half.by_component_j[name].value
        assert joules == pytest.approx(0.5 * whole.by_component_j[name].value, rel=1e-3)
    assert half.events["adc"] == whole.events["adc"]


def test_the_band_of_a_serial_chip_reaches_what_isaac_books(by_dac):
    """0.417 pJ for every bit of a line of 128 cells, by the node's law of logic."""
    for name in ("serial", "half"):
        energy = by_dac[name].energy
        cells = by_dac["voltage"].energy.events["line_read"]
        isaac_j = BITS * cells / 128 * 0.417e-12 * energy_factor(32, 32)
        assert energy.by_component_j["line_read"].high == pytest.approx(isaac_j, rel=1e-3)


@pytest.mark.parametrize(
    "adc",
    [SurveyAdc(), IsaacAdc(), NeurosimSarAdc(), NeurosimFlashAdc(), RampAdc(), PumaAdc()],
    ids=lambda adc: adc.kind,
)
@pytest.mark.parametrize("rate_hz", [1e6, 2e8, 2e9])
def test_energy_and_area_of_an_adc_rise_with_bits_at_a_fixed_rate(adc, rate_hz):
    prices = [adc.price(bits, rate_hz, 32) for bits in range(1, 15)]

    energies, areas = [p.energy_j for p in prices], [p.area_um2 for p in prices]
    assert energies == sorted(set(energies))
    assert areas == sorted(areas)
    assert len(set(areas)) == (1 if adc.kind == "puma" else len(areas))


def test_fewer_bits_at_one_clock_make_a_faster_and_by_the_survey_larger_converter():
    """Area goes with rate^0.18 and energy^0.30, and 4 and 5 bits differ in energy by 1.3 %."""
    adc = SurveyAdc(clock_hz=2e9)
    four, five = (adc.price(bits, 1 / adc.conversion_s(bits), 32) for bits in (4, 5))

    assert four.energy_j < five.energy_j
    assert four.area_um2 / five.area_um2 == pytest.approx(
        (6 / 5) ** 0.18072 * (four.energy_j / five.energy_j) ** 0.29912
    )
    assert four.area_um2 > five.area_um2

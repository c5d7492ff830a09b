"""Drivers of lines against the figures of their sources."""

import numpy as np
import pytest

from crossmesh.common.technology import area_factor, energy_factor, voltage
from crossmesh.tiles.circuits import DACS, DurationDac, MeasuredDac, SerialDac, VoltageDac
from crossmesh.tiles.circuits.dac import ladder_units

LINE_J = 0.03e-12
EVERY = [
    *(DACS[name]() for name in DACS if name != "measured"),
    VoltageDac(ladder="r2r"),
    MeasuredDac(energy_pj={4: 0.1, 8: 0.3}, node_nm=40, source="a paper"),
]


@pytest.mark.parametrize(
    ("kind", "charges", "seconds"),
    [
        (SerialDac, 8, 0),
        (DurationDac, 1, 150e-9),
        (VoltageDac, 1, 10e-9),
    ],
)
def test_bits_take_time_or_charges_by_kind(kind, charges, seconds):
    dac = kind()

    assert dac.charges(8) == charges
    assert dac.drive_s(8) == pytest.approx(seconds)
    assert dac.is_within_integration is (kind is DurationDac)


def test_a_serial_input_charges_the_line_for_every_bit_that_is_one():
    price = SerialDac(activity=0.5).price(8, LINE_J, 32)

    assert price.energy_j == pytest.approx(0.5 * 8 * LINE_J)
    assert price.area_um2 == pytest.approx(0.166)
    assert price.high * price.energy_j == pytest.approx(8 * 0.417e-12)
    assert SerialDac().price(4, LINE_J, 65).area_um2 == pytest.approx(0.166 * area_factor(32, 65))


def test_a_duration_charges_the_line_once_and_converts_as_timely_does():
    price = DurationDac().price(8, LINE_J, 65)

    assert price.energy_j == pytest.approx(LINE_J + 0.0375e-12)
    assert price.area_um2 == pytest.approx(240)
    assert price.beyond == ""
    assert DurationDac().drive_s(6) == pytest.approx(150e-9 / 4)
    at_9 = DurationDac().price(9, LINE_J, 65)
    assert at_9.energy_j == pytest.approx(LINE_J + 2 * 0.0375e-12)
    assert at_9.beyond == "9 bits, known at 8"
    at_32 = DurationDac().price(8, LINE_J, 32)
    assert at_32.energy_j == pytest.approx(LINE_J + 0.0375e-12 * energy_factor(65, 32))


@pytest.mark.parametrize(
    ("bits", "units"), [(2, 0.44), (4, 0.78), (6, 1.11), (8, 1.44), (10, 1.78)]
)
def test_the_charge_of_a_capacitor_ladder(bits, units):
    assert ladder_units(bits) == pytest.approx(units, abs=0.005)
    dac = VoltageDac(unit_f=100e-15, volts=1.0)
    charge = dac.price(bits, LINE_J, 22).energy_j - LINE_J
    latches = bits * 0.009e-12 * energy_factor(40, 22)
    assert charge == pytest.approx(units * 100e-15 + latches + bits * 0.04e-15, rel=0.01)


def test_the_charge_of_a_capacitor_ladder_is_the_mean_over_all_codes():
    """Charge from full scale: of every code, the capacitors that its bits switch on."""
    bits = 6
    energies = []
    for code in range(2**bits):
        on = [i for i in range(bits) if code >> i & 1]
        energies.append(_c2c_energy(bits, on))

    assert sum(energies) / len(energies) == pytest.approx(ladder_units(bits), rel=0.01)


def _c2c_energy(bits, on):
    """Energy in C V² of a C-2C ladder whose bits ``on`` are driven to V from zero, by nodes."""
    capacitance = np.zeros((bits, bits))
    source = np.zeros(bits)
    for i in range(bits):
        capacitance[i, i] += 1  # the bit's own capacitor
        if i in on:
            source[i] += 1
        if i + 1 < bits:  # a coupling capacitor of 2 C to the next node
            capacitance[i, i] += 2
            capacitance[i + 1, i + 1] += 2
            capacitance[i, i + 1] -= 2
            capacitance[i + 1, i] -= 2
    capacitance[0, 0] += 1  # termination
    nodes = np.linalg.solve(capacitance, source)
    return sum(1 - nodes[i] for i in on)


def test_a_resistor_ladder_draws_while_it_holds():
    dac = VoltageDac(ladder="r2r", unit_ohm=20e3, volts=0.5, hold_s=100e-9)
    held = dac.price(8, LINE_J, 22).energy_j - VoltageDac(volts=0.5).price(8, LINE_J, 22).energy_j
    charge = ladder_units(8) * 2e-15 * 0.5**2

    assert held + charge == pytest.approx(1.44 * 0.5**2 / (2 * 20e3) * 100e-9, rel=0.01)


def test_areas_of_ladders():
    latches_um2 = 8 * 6 * area_factor(40, 22)
    c2c = VoltageDac(unit_f=2.3e-15).price(8, 0, 22)
    r2r = VoltageDac(ladder="r2r", unit_ohm=1e3).price(8, 0, 22)

    assert c2c.area_um2 - latches_um2 == pytest.approx(3 * 8)
    assert r2r.area_um2 - latches_um2 == pytest.approx(2.35e-3 * 1e3 * 3 * 8)


def test_full_scale_is_the_supply_unless_it_is_given():
    dac = VoltageDac()
    given = VoltageDac(volts=voltage(65))

    assert dac.price(8, LINE_J, 65).energy_j == given.price(8, LINE_J, 65).energy_j


@pytest.mark.parametrize("dac", EVERY, ids=lambda dac: dac.kind)
def test_energy_rises_with_bits_and_line(dac):
    assert dac.price(12, LINE_J, 32).energy_j > dac.price(1, LINE_J, 32).energy_j
    assert dac.price(8, 2 * LINE_J, 32).energy_j > dac.price(8, LINE_J, 32).energy_j


def test_measured_drivers_add_the_charges_of_their_line():
    dac = MeasuredDac(
        energy_pj={4: 0.1, 8: 0.3}, area_um2=200, leakage_uw=2, time_s=1e-9, line_charges=3,
        node_nm=40, source="a paper",
    )  # fmt: skip
    price = dac.price(6, LINE_J, 40)

    assert price.energy_j == pytest.approx(0.2e-12 + 3 * LINE_J)
    assert (price.area_um2, price.leakage_w) == (200, pytest.approx(2e-6))
    assert (dac.drive_s(6), price.source) == (1e-9, "a paper")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, LINE_J, 32), r"bits must be in \[1, 24\], got 0"),
        ((8, -1.0, 32), r"line_j must be at least 0, got -1\.0"),
        ((8, LINE_J, 5), r"node_nm must be in \[7, 130\], got 5"),
    ],
)
@pytest.mark.parametrize("dac", EVERY, ids=lambda dac: dac.kind)
def test_what_no_driver_does_is_refused(dac, arguments, message):
    with pytest.raises(ValueError, match=message):
        dac.price(*arguments)

"""The suites that kinds of other packages must pass, over our own; and kinds that fail them."""

import pytest

from crossmesh.testing import AdcTests, DacTests, MemoryTests
from crossmesh.tiles.circuits import (
    ADCS,
    DACS,
    MEMORIES,
    IsaacAdc,
    MeasuredAdc,
    MeasuredDac,
    MeasuredMemory,
    NeurosimSarAdc,
    SerialDac,
    Sram,
    SurveyAdc,
    VoltageDac,
)


def shipped(registry):
    return [registry[name]() for name in registry if name != "measured"]


@pytest.fixture(
    params=[
        *shipped(ADCS),
        SurveyAdc(leakage_share=0.2),
        NeurosimSarAdc(flavour="low_standby", column_ohm=1e4),
        MeasuredAdc(energy_pj={4: 1.0, 8: 2.0}, time_s=1e-9, node_nm=65, source="a paper"),
    ],
    ids=lambda adc: adc.kind,
)
def adc(request):
    return request.param


@pytest.fixture(
    params=[
        *shipped(DACS),
        VoltageDac(ladder="r2r"),
        MeasuredDac(energy_pj={4: 0.1, 8: 0.3}, node_nm=40, source="a paper"),
    ],
    ids=lambda dac: dac.kind,
)
def dac(request):
    return request.param


@pytest.fixture(
    params=[
        *shipped(MEMORIES),
        MeasuredMemory(read_pj=0.1, write_pj=0.2, area_um2=0.3, node_nm=40, source="a paper"),
    ],
    ids=lambda memory: memory.kind,
)
def memory(request):
    return request.param


class TestAdcs(AdcTests):
    @pytest.fixture(autouse=True)
    def _each(self, adc):
        type(self).adc = adc


class TestDacs(DacTests):
    @pytest.fixture(autouse=True)
    def _each(self, dac):
        type(self).dac = dac


class TestMemories(MemoryTests):
    @pytest.fixture(autouse=True)
    def _each(self, memory):
        type(self).memory = memory


class _Cheaper(IsaacAdc):
    def price(self, bits, rate_hz, node_nm):
        return super().price(25 - bits, rate_hz, node_nm)


class _Quicker(SerialDac):
    def charges(self, bits):
        return 30 - bits


class _Silent(SerialDac):
    def integrations(self, bits):
        return bits - 1


class _Shrinking(Sram):
    def read_price(self, capacity_bits, node_nm):
        return super().read_price(2**20 / capacity_bits, node_nm)


@pytest.mark.parametrize(
    ("suite", "test", "message"),
    [
        (
            type("OfAdc", (AdcTests,), {"adc": _Cheaper()}),
            "test_bits_never_make_a_conversion_quicker_or_cheaper",
            "energy_j must not fall with bits",
        ),
        (
            type("OfDac", (DacTests,), {"dac": _Quicker()}),
            "test_bits_never_make_an_input_quicker_or_cheaper",
            "charges must not fall with bits",
        ),
        (
            type("OfDac", (DacTests,), {"dac": _Silent()}),
            "test_bits_never_make_an_input_quicker_or_cheaper",
            "integrations must be at least 1, got .0, 1",
        ),
        (
            type("OfMemory", (MemoryTests,), {"memory": _Shrinking()}),
            "test_a_bit_of_a_larger_bank_is_never_quicker_or_cheaper",
            "energy must not fall",
        ),
    ],
)
def test_suites_refuse_what_breaks_their_rules(suite, test, message):
    with pytest.raises(AssertionError, match=message):
        getattr(suite(), test)()

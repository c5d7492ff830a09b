"""Suites for converters, drivers of lines and memories."""

import copy
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import ClassVar

from crossmesh.common.price import Price
from crossmesh.tiles.circuits import Adc, Dac, Memory

_BITS, _NODES_NM = range(1, 13), (14.0, 22.0, 32.0, 45.0, 65.0)
_SLACK = 1 - 1e-9  # of rounding


class AdcTests:
    """Rules of converters that read lines.

    Needs ``adc``.

    Attributes:
        adc: The converter, which costs no less with more bits, or at a coarser node.
    """

    adc: ClassVar[Adc]

    def test_it_can_be_a_part_of_a_config(self) -> None:
        """Loading what it is written as gives the same, with the same hash."""
        _check_config(self.adc)

    def test_bits_never_make_a_conversion_quicker_or_cheaper(self) -> None:
        """Time, energy and area; a price has a source."""
        times = [self.adc.conversion_s(bits) for bits in _BITS]
        assert times[0] > 0, f"conversion_s(1) must be above 0, got {times[0]!r}"
        assert times == sorted(times), f"conversion_s must not fall with bits, got {times}"
        _check_rising(lambda bits: self.adc.price(bits, 1e8, 32.0), _BITS, "bits")

    def test_a_coarser_node_never_makes_it_cheaper(self) -> None:
        """Energy and area."""
        _check_rising(lambda node_nm: self.adc.price(8, 1e8, node_nm), _NODES_NM, "the node")


class DacTests:
    """Rules of what drives lines.

    Needs ``dac``.

    Attributes:
        dac: The driver, which costs no less with more bits, a longer line or a coarser node.
    """

    dac: ClassVar[Dac]

    def test_it_can_be_a_part_of_a_config(self) -> None:
        """Loading what it is written as gives the same, with the same hash."""
        _check_config(self.dac)

    def test_bits_never_make_an_input_quicker_or_cheaper(self) -> None:
        """Time, charges, energy and area."""
        times = [self.dac.drive_s(bits) for bits in _BITS]
        charges = [self.dac.charges(bits) for bits in _BITS]
        assert times[0] >= 0, f"drive_s(1) must be at least 0, got {times[0]!r}"
        assert times == sorted(times), f"drive_s must not fall with bits, got {times}"
        assert charges == sorted(charges), f"charges must not fall with bits, got {charges}"
        counts = [self.dac.integrations(bits) for bits in _BITS]
        assert min(counts) >= 1, f"integrations must be at least 1, got {counts}"
        assert counts == sorted(counts), f"integrations must not fall with bits, got {counts}"
        _check_rising(lambda bits: self.dac.price(bits, 1e-14, 32.0), _BITS, "bits")

    def test_a_longer_line_or_a_coarser_node_never_makes_it_cheaper(self) -> None:
        """Energy and area."""
        _check_rising(lambda line_j: self.dac.price(8, line_j, 32.0), (1e-15, 1e-14), "the line")
        _check_rising(lambda node_nm: self.dac.price(8, 1e-14, node_nm), _NODES_NM, "the node")


class MemoryTests:
    """Rules of memories.

    Needs ``memory``.

    Attributes:
        memory: The memory; a bit costs no less in a larger bank, or at a coarser node.
    """

    memory: ClassVar[Memory]
    _capacities: ClassVar = [2.0**n for n in range(3, 27)]

    def test_it_can_be_a_part_of_a_config(self) -> None:
        """Loading what it is written as gives the same, with the same hash."""
        _check_config(self.memory)

    def test_a_bit_of_a_larger_bank_is_never_quicker_or_cheaper(self) -> None:
        """Time of an access, energy of a bit; and area and leakage of the bank."""
        times = [self.memory.access_s(bits, 32.0) for bits in self._capacities]
        assert times[0] > 0, f"access_s must be above 0, got {times[0]!r}"
        assert times == sorted(times), f"access_s must not fall with the capacity, got {times}"
        for name in ("read_price", "write_price"):
            prices = [getattr(self.memory, name)(bits, 32.0) for bits in self._capacities]
            banks = list(zip(self._capacities, prices, strict=True))
            for (few, here), (many, there) in pairwise(banks):
                where = f"{name} of {many:g} bits"
                assert there.energy_j >= _SLACK * here.energy_j, f"{where}: energy must not fall"
                for part in ("area_um2", "leakage_w"):
                    less, more = few * getattr(here, part), many * getattr(there, part)
                    assert more >= _SLACK * less, f"{where}: {part} of the bank must not fall"

    def test_a_coarser_node_never_makes_it_cheaper(self) -> None:
        """Energy and area."""
        for price in (self.memory.read_price, self.memory.write_price):
            _check_rising(lambda node_nm, price=price: price(2.0**16, node_nm), _NODES_NM, "node")


def _check_config(circuit: Adc | Dac | Memory) -> None:
    again = type(circuit).model_validate(circuit.model_dump(mode="json"))
    assert again == circuit, f"what {circuit!r} is written as must load as the same, got {again!r}"
    assert hash(copy.deepcopy(circuit)) == hash(again), "a circuit must be a frozen value"


def _check_rising(price_of: Callable[..., Price], values: Iterable[float], name: str) -> None:
    prices = [(value, price_of(value)) for value in values]
    for value, price in prices:
        assert price.source, f"the price at {value:g} must have a source"
    for (_, here), (value, there) in pairwise(prices):
        for part in ("energy_j", "area_um2"):
            less, more = getattr(here, part), getattr(there, part)
            assert more >= _SLACK * less, (
                f"{part} must not fall with {name}, got {more:g} at {value:g} after {less:g}"
            )

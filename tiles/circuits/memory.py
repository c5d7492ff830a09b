"""Memories beside the arrays: energy, area, leakage and access time, by capacity and node."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from crossmesh.common.frozen import Frozen
from crossmesh.common.price import Price
from crossmesh.common.technology import delay_factor, interpolated
from crossmesh.tiles.circuits.logic import operation_price

_KB = 8 * 1024  # bits


class Memory(Frozen):
    """One bank of digital memory.

    A kind defines ``read_price``, ``write_price`` and ``access_s``. Prices are per bit: energy of
    one bit that is read or written, area and leakage of one bit that is there.
    """

    if TYPE_CHECKING:
        kind: Any  # of every class, which narrows it

    def read_price(self, capacity_bits: float, node_nm: float) -> Price:
        """Price of a bit that is read from a bank of so many.

        Raises:
            ValueError: If an argument is out of range.
        """
        raise NotImplementedError

    def write_price(self, capacity_bits: float, node_nm: float) -> Price:
        """Price of a bit that is written; area and leakage are those of ``read_price``."""
        raise NotImplementedError

    def access_s(self, capacity_bits: float, node_nm: float) -> float:
        """Seconds of an access."""
        raise NotImplementedError


class Banks(NamedTuple):
    """Banks of one technology at 32 nm, by capacity in bits.

    Attributes:
        read_pj: Of a bit that is read.
        write_pj: Of a bit that is written.
        leakage_w: Of the bank.
        area_um2: Of a bit.
        access_s: Of an access.
        low: The optimistic end of energies.
        high: The pessimistic end of energies.
        source: Publication.
    """

    read_pj: Mapping[float, float]
    write_pj: Mapping[float, float]
    leakage_w: Mapping[float, float]
    area_um2: Mapping[float, float]
    access_s: Mapping[float, float]
    low: float
    high: float
    source: str

    def price(self, energies_pj: Mapping[float, float], bits: float, node_nm: float) -> Price:
        """The price of a bit; outside the capacities ``beyond`` says so.

        Energy rises above the largest capacity as between the last two; below 2 KB, where decoders
        and amplifiers do not shrink, it stays. Area and leakage per bit stay on both sides.
        """
        if not bits > 0:
            raise ValueError(f"capacity_bits must be above 0, got {bits!r}")
        least, most = min(energies_pj), max(energies_pj)
        within = min(max(bits, least), most)
        price = Price(
            energy_j=1e-12 * interpolated(max(bits, 2 * _KB), energies_pj),
            area_um2=interpolated(within, self.area_um2),
            leakage_w=interpolated(within, self.leakage_w) / within,
            low=self.low,
            high=self.high,
            node_nm=32,
            source=self.source,
            beyond="" if within == bits else _beyond(bits, least, most),
        )
        return price.at(node_nm)

    def access(self, bits: float, node_nm: float) -> float:
        """Seconds of an access, no less than the smallest capacity's."""
        least = min(self.access_s)
        return interpolated(max(bits, least), self.access_s) * delay_factor(32, node_nm)


def _beyond(bits: float, least: float, most: float) -> str:
    return f"{bits / _KB:.4g} KB, known from {least / _KB:g} to {most / _KB:g}"


def _by_kb(
    *figures: float, sizes: tuple[int, ...] = (2, 8, 32, 64, 128, 512)
) -> dict[float, float]:
    return {size * _KB: figure for size, figure in zip(sizes, figures, strict=True)}


_READ = _by_kb(0.022, 0.052, 0.056, 0.109, 0.145, 0.321)
_WRITE = _by_kb(0.033, 0.061, 0.101, 0.128, 0.165, 0.290)
_SRAM_UM2 = _by_kb(0.26, 0.23, 0.23, 0.22, 0.26, 0.25)
_LOW_STANDBY = 1.275  # energies against high performance: 1.2 to 1.35

_SRAM = Banks(
    read_pj=_READ,
    write_pj=_WRITE,
    leakage_w=_by_kb(1.6e-3, 5.9e-3, 22e-3, 40e-3, 80e-3, 304e-3),
    area_um2=_SRAM_UM2,
    access_s=_by_kb(0.16e-9, 0.21e-9, 0.32e-9, 0.42e-9, 0.57e-9, 1.10e-9),
    low=0.55,
    high=1.4,
    source="CACTI 7, 32 nm, 360 K; low: CACTI at 90 nm against the scaling; high: MNSIM's at 65",
)
_SRAM_LOW_LEAKAGE = Banks(
    read_pj={size: _LOW_STANDBY * each for size, each in _READ.items()},
    write_pj={size: _LOW_STANDBY * each for size, each in _WRITE.items()},
    leakage_w=_by_kb(0.8e-6, 3e-6, 11e-6, 20e-6, 40e-6, 152e-6),
    area_um2=_SRAM_UM2,
    access_s=_by_kb(0.65e-9, 0.85e-9, 1.17e-9, 1.32e-9, 1.65e-9, 2.51e-9),
    low=0.55,
    high=1.4,
    source="CACTI 7, 32 nm, 360 K, low standby power; ends as of high performance",
)
_EDRAM = Banks(
    read_pj=_by_kb(0.092, 0.30, sizes=(64, 512)),
    write_pj=_by_kb(0.092, 0.30, sizes=(64, 512)),
    leakage_w=_by_kb(5.9e-3, 19e-3, sizes=(64, 512)),
    area_um2=_by_kb(0.18, 0.10, sizes=(64, 512)),
    access_s=_by_kb(0.71e-9, 1.09e-9, sizes=(64, 512)),
    low=0.73,
    high=1.0,
    source="CACTI 7, 32 nm, low-power DRAM; writes as reads, ISAAC; low: 0.067 pJ at 64 KB, PUMA",
)


class _Cacti(Memory):
    """Banks of a technology, scaled as logic."""

    @property
    def _banks(self) -> Banks:
        raise NotImplementedError

    def read_price(self, capacity_bits: float, node_nm: float) -> Price:
        """From the banks' rows."""
        return self._banks.price(self._banks.read_pj, capacity_bits, node_nm)

    def write_price(self, capacity_bits: float, node_nm: float) -> Price:
        """From the banks' rows."""
        return self._banks.price(self._banks.write_pj, capacity_bits, node_nm)

    def access_s(self, capacity_bits: float, node_nm: float) -> float:
        """From the banks' rows."""
        return self._banks.access(capacity_bits, node_nm)


class Sram(_Cacti):
    """Static memory of high-performance transistors, which leak: 40 mW for 64 KB.

    Source: CACTI 7 at 32 nm, 360 K, one bank, ports of 64 bits to 8 KB and of 256 above.
    """

    kind: Literal["sram"] = "sram"

    @property
    def _banks(self) -> Banks:
        return _SRAM


class LowLeakageSram(_Cacti):
    """Static memory of low standby power: 2,000 times less leakage, three times slower.

    Source: CACTI 7 at 32 nm, 360 K; energies 1.2 to 1.35 times those of high performance.
    """

    kind: Literal["sram_low_leakage"] = "sram_low_leakage"

    @property
    def _banks(self) -> Banks:
        return _SRAM_LOW_LEAKAGE


class Edram(_Cacti):
    """Embedded dynamic memory; its refresh is left out.

    Source: CACTI 7 at 32 nm, 64 and 512 KB; a write costs as much as a read, as in ISAAC.
    """

    kind: Literal["edram"] = "edram"

    @property
    def _banks(self) -> Banks:
        return _EDRAM


class Registers(Memory):
    """Flip-flops: right for a latch of a few bits, too large for a buffer.

    Source: 0.009 pJ and 6 um² per bit at 40 nm, Accelergy library.
    """

    kind: Literal["register"] = "register"

    def read_price(self, capacity_bits: float, node_nm: float) -> Price:
        """Of any capacity."""
        return operation_price("register", 1, node_nm)

    def write_price(self, capacity_bits: float, node_nm: float) -> Price:
        """As a read."""
        return self.read_price(capacity_bits, node_nm)

    def access_s(self, capacity_bits: float, node_nm: float) -> float:
        """A delay of 0.1 ns at 32 nm. Source: assumed."""
        return 0.1e-9 * delay_factor(32, node_nm)

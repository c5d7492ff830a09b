"""What events and parts of a chip cost: each is asked, with the parameters that it has there."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, cached_property
from typing import Literal

from crossmesh.common.price import Price
from crossmesh.common.technology import Transistors
from crossmesh.emulator.chip.components import ComponentTable
from crossmesh.emulator.chip.conversions import conversion_s, converter_bits, integrations_s
from crossmesh.emulator.chip.pulsing import Event
from crossmesh.emulator.chip.use import USUAL_SHARE
from crossmesh.emulator.config.chip import Chip
from crossmesh.interconnect.noc import Topology
from crossmesh.interconnect.noc.costs import link_price, router_price
from crossmesh.tiles.analog.costs import CellCosts, CellDevices
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.circuits import Line, lane_price, operation_price

Load = Literal["gate", "drain", "none"]
_GATED: tuple[Load, ...] = ("gate", "drain")  # of word lines and bit lines, which count alike
_BARE: tuple[Load, ...] = ("none",)
LARGEST_BANK_BITS = 64 * 8 * 1024  # larger memories are several banks; source: ISAAC's and PUMA's
SAMPLE_HOLD = Price(
    energy_j=0.00001e-12, area_um2=0.039, node_nm=32, source="9.7 nW for 1 ns, 0.039 um², PUMA"
)
_LINK_W, _LINK_BITS_PER_S, _HBM2_J = 10.4, 4 * 6.4e9 * 8, 3.9e-12
PORT = Price(  # a bit from outside; no area is known for one as wide as a flit
    energy_j=_LINK_W / _LINK_BITS_PER_S,
    low=_HBM2_J * _LINK_BITS_PER_S / _LINK_W,
    source="HyperTransport, 10.4 W for 4 links of 6.4 GB/s, ISAAC; low: HBM2's 3.9 pJ, NeuroSim",
)


class Prices:
    """What events and parts cost on a chip; those of ``chip.table`` count instead of ours.

    Args:
        chip: The chip.
        table: The user's own components.
        topology: The interconnect.
    """

    def __init__(self, chip: Chip, table: ComponentTable, topology: Topology) -> None:
        self._chip, self._own, self._topology = chip, table.components, topology
        self._events: dict[str, Callable[[TileConfig, CellCosts, float], Price]] = {
            "cell_read": self._cell_read,
            "line_read": self._line_read,
            "line_pulse": self._line_pulse,
            "cell_half": self._cell_half,
            "cell_pulse": self._cell_pulse,
            "cell_write": self._cell_write,
        }
        node = chip.node_nm
        self._parts: dict[str, Callable[[TileConfig], Price]] = {
            "cell": self._cell,
            "driver": self._driver,
            "dac": self._dac,
            "adc": self._adc,
            "sample_hold": lambda tile: SAMPLE_HOLD,
            "shift_add": lambda tile: operation_price(
                "shift_add", chip.partial_sum_bits, node, chip.transistors
            ),
            "digital": lambda tile: _digital(node, chip.transistors),
            "router_add": lambda tile: operation_price(
                "add", chip.partial_sum_bits, node, chip.transistors
            ),
            "router": lambda tile: self.router,
            "port": lambda tile: PORT,
        }
        self.event = cache(self._event)
        self.part = cache(self._part)
        self._memory = cache(self._memory_of)

    # Events

    def _event(
        self, event: Event, tile: TileConfig, memory_bits: int, conductance: float | None
    ) -> Price:
        """What one event of a tile costs.

        Args:
            event: Its name is one of ``components.EVENTS``, or a component of ``chip.table``.
            tile: The tile.
            memory_bits: Bits that its memory holds.
            conductance: Mean conductance of its devices, as a share of their range; None: the
                usual one.
        """
        name = event.name
        if name == "memory":
            return self._memory(memory_bits)
        if (own := self._own.get(name)) is not None:
            return own.price(converter_bits(name, tile, self._chip))
        if event.cells is not None:
            share = USUAL_SHARE if conductance is None else conductance
            return self._events[name](tile, event.cells, share)
        return self._part(name, tile)

    def _part(self, name: str, tile: TileConfig) -> Price:
        """What one part of a tile takes, and what an event of it costs.

        Args:
            name: One of ``components.PARTS`` but ``memory``, or a component of ``chip.table``.
            tile: The tile.
        """
        if (own := self._own.get(name)) is not None:
            return own.price(converter_bits(name, tile, self._chip))
        return self._parts[name](tile)

    @cached_property
    def router(self) -> Price:
        """A bit through a router, and a router."""
        if (own := self._own.get("router")) is not None:
            price = own.price(self._chip.activation_bits)
        else:
            router, chip = self._chip.router, self._chip
            buffer = router.virtual_channels * router.buffer_flits
            price = router_price(
                self._topology.n_ports + 1, chip.flit_bits, buffer, chip.node_nm, chip.transistors
            )
        return replace(price, energy_j=self._topology.router_energy * price.energy_j)

    @cached_property
    def link(self) -> Price:
        """A bit over a millimetre, and the leakage of a wire of a millimetre."""
        own = self._own.get("link")
        if own is not None:
            return own.price(self._chip.activation_bits)
        return link_price(self._chip.node_nm, transistors=self._chip.transistors)

    # Memories

    def memory_um2(self, bits: int) -> float:
        """Area of a memory of so many bits."""
        return bits * self._memory(bits).area_um2

    def memory_leakage_w(self, bits: int) -> float:
        """Leakage of a memory of so many bits."""
        return bits * self._memory(bits).leakage_w

    def _memory_of(self, bits: int) -> Price:
        """A bit that is moved, in the mean of writes and reads, and one that is there."""
        if (own := self._own.get("memory")) is not None:
            return own.price(self._chip.activation_bits)
        bank, node = min(max(bits, 1), LARGEST_BANK_BITS), self._chip.node_nm
        read, write = (
            price(bank, node)
            for price in (self._chip.memory.read_price, self._chip.memory.write_price)
        )
        return replace(read, energy_j=(read.energy_j + write.energy_j) / 2)

    # Cells and lines

    def _cell_read(self, tile: TileConfig, cells: CellCosts, conductance: float) -> Price:
        share = self._chip.dac.driven_share(self._chip.phases.driven_share)
        seconds = share * integrations_s(tile, self._chip)
        return _sum(
            (each, each.electrical.read_j(conductance, seconds))
            for each in cells.devices
            if each.is_read
        )

    def _line_read(self, tile: TileConfig, cells: CellCosts, conductance: float) -> Price:
        read = [each for each in cells.devices if each.is_read]
        price = self._charges(tile, read, pulses=False)
        return self._chip.dac.charge_price(price, 1, self._chip.node_nm)

    def _line_pulse(self, tile: TileConfig, cells: CellCosts, conductance: float) -> Price:
        return self._charges(tile, [d for d in cells.devices if d.is_pulsed], pulses=True)

    def _charges(self, tile: TileConfig, devices: list[CellDevices], *, pulses: bool) -> Price:
        """A line that is charged along one cell: half of a pulse's voltage comes from each line."""
        return _sum((each, self._charge_j(tile, each, pulses=pulses)) for each in devices)

    def _charge_j(self, tile: TileConfig, each: CellDevices, *, pulses: bool) -> float:
        electrical = each.electrical
        volts = 0.5 * electrical.pulse_v if pulses else electrical.read_v
        loads = _GATED if electrical.gated else _BARE
        prices = [self._line(tile, 1, load).price(volts) for load in loads]
        return sum(price.energy_j for price in prices) / len(prices)

    def _line(self, tile: TileConfig, n_cells: int, load: Load) -> Line:
        return Line(
            n_cells=n_cells,
            pitch_um=self._crosspoint_um2(tile) ** 0.5,
            load=load,
            node_nm=self._chip.node_nm,
        )

    def _crosspoint_um2(self, tile: TileConfig) -> float:
        """Area of a cell with the components that it names; ours where a table has none for it."""
        cell = self.part("cell", tile).area_um2 or self._cell(tile).area_um2
        parts = tile.cell.costs.parts
        return cell + sum(n * self.part(name, tile).area_um2 for name, n in parts.items())

    def _driver(self, tile: TileConfig) -> Price:
        """What drives a line, at the highest voltage that a device of it takes."""
        volts = max((each.electrical.pulse_v for each in tile.cell.costs.devices), default=1.0)
        price = self._line(tile, max(tile.rows, tile.cols), "none").price(volts)
        return replace(price, energy_j=0.0)  # which charges of lines have

    def _cell_half(self, tile: TileConfig, cells: CellCosts, conductance: float) -> Price:
        return _sum(
            (each, each.electrical.half_pulse_j(conductance, self._slot_s(cells)))
            for each in cells.devices
            if each.is_pulsed
        )

    def _cell_pulse(self, tile: TileConfig, cells: CellCosts, conductance: float) -> Price:
        return _sum(
            (each, each.electrical.pulse_more_j(conductance, self._slot_s(cells)))
            for each in cells.devices
            if each.is_pulsed
        )

    @staticmethod
    def _cell_write(tile: TileConfig, cells: CellCosts, conductance: float) -> Price:
        written = [each for each in cells.devices if each.is_written]
        number = sum(each.number for each in written) or 1
        return _sum(
            (each._replace(number=each.number / number), each.electrical.write_j)
            for each in written
        )

    def _dac(self, tile: TileConfig) -> Price:
        chip = self._chip
        price = chip.dac.own_price(converter_bits("dac", tile, chip), chip.node_nm)
        return price.of(chip.transistors)

    def _adc(self, tile: TileConfig) -> Price:
        chip = self._chip
        rate_hz = 1 / conversion_s(tile, chip)
        return chip.adc.price(converter_bits("adc", tile, chip), rate_hz, chip.node_nm)

    def _cell(self, tile: TileConfig) -> Price:
        """The devices at a crosspoint: their area."""
        devices, node = tile.cell.costs.devices, self._chip.node_nm
        area = sum(each.number * each.electrical.area_at(node) for each in devices)
        return Price(energy_j=0.0, area_um2=area, node_nm=node, source=_sources(devices))

    def _slot_s(self, cells: CellCosts) -> float:
        return self._chip.phases.pulse_s * (cells.slots or 1)


def _digital(node_nm: float, transistors: Transistors) -> Price:
    """An operation, which is an addition or a multiplication, and a lane of a vector unit."""
    lane = lane_price(node_nm, transistors)
    add, multiply = (operation_price(name, 16, node_nm) for name in ("add", "multiply"))
    energy = (add.energy_j + multiply.energy_j) / 2
    return replace(
        lane,
        energy_j=energy,
        low=min(1, add.low * add.energy_j / energy),
        high=max(1, lane.energy_j / energy),
        source=f"mean of an addition and a multiplication; high: the whole lane; {lane.source}",
    )


def _sum(parts: Iterable[tuple[CellDevices, float]]) -> Price:
    """One price of the devices at a crosspoint, each with the joules of one of them."""
    low = value = high = 0.0
    devices = []
    for each, joules in parts:
        of_all = each.number * joules
        value += of_all
        low += each.electrical.low * of_all
        high += each.electrical.high * of_all
        devices.append(each)
    if not value:
        return Price(energy_j=0.0, source=_sources(devices))
    return Price(
        energy_j=value, low=min(low / value, 1), high=max(high / value, 1), source=_sources(devices)
    )


def _sources(devices: Iterable[CellDevices]) -> str:
    return "; ".join(dict.fromkeys(each.electrical.source for each in devices))

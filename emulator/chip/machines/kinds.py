"""Kinds of components of a machine, each priced by the function that prices it on our chips."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from crossmesh.common.price import Price
from crossmesh.common.technology import energy_factor
from crossmesh.emulator.chip.machines.parts import Figure, MachinePart
from crossmesh.emulator.config.chip import Chip, Phases
from crossmesh.interconnect.noc.costs import link_price, router_price
from crossmesh.tiles.analog.costs import Electrical
from crossmesh.tiles.circuits import (
    AnyAdc,
    AnyDac,
    AnyMemory,
    Line,
    lane_price,
    operation_price,
)

# As on our chips where a config does not say, and here where a source does not.
USUAL_ACTIVITY, TRANSISTORS = Phases().driven_share, Chip().transistors


class ConverterPart(MachinePart):
    """Analog-to-digital converters; an event is a conversion.

    Attributes:
        adc: The converter's model.
        bits: Bits of a conversion.
        rate_hz: Conversions per second.
        column_siemens: Conductance of the column that a conversion sees, where the published
            figure has its current; 0: it does not.
        column_v: Voltage on that column.
    """

    part: Literal["adc"]
    adc: AnyAdc
    bits: int
    rate_hz: float
    column_siemens: float = Field(0.0, ge=0)
    column_v: float = Field(0.5, gt=0)

    def price(self, node_nm: float) -> Price:
        """The model's, and V² g t of the column."""
        price = self.adc.price(self.bits, self.rate_hz, node_nm)
        column_w = self.column_v**2 * self.column_siemens
        column_j = column_w * self.adc.conversion_s(self.bits)
        return replace(price, energy_j=price.energy_j + column_j)


class DriverPart(MachinePart):
    """Drivers of lines; an event is an input of a line.

    Attributes:
        dac: The driver's model.
        bits: Bits of an input.
        n_cells: Cells on the line.
        pitch_um: From one to the next.
        load: What a cell puts on the line.
        cell_f: Further farads of each cell.
        volts: Voltage of the line; null: the supply.
    """

    part: Literal["dac"]
    dac: AnyDac
    bits: int
    n_cells: int
    pitch_um: float
    load: Literal["gate", "drain", "none"] = "none"
    cell_f: float = Field(0.0, ge=0)
    volts: float | None = None

    def price(self, node_nm: float) -> Price:
        """The driver with the charges of its line."""
        line = Line(
            n_cells=self.n_cells, pitch_um=self.pitch_um, load=self.load, node_nm=node_nm
        ).price(self.volts)
        cells_j = self.n_cells * self.cell_f * (self.volts or 0.0) ** 2
        return self.dac.price(self.bits, line.energy_j + cells_j, node_nm)


class ArrayPart(MachinePart):
    """Arrays of cells; an event is a read of the whole array.

    Attributes:
        device: A device at its terminals.
        devices: Devices of a cell.
        rows: Word lines.
        cols: Bit lines.
        share: Mean conductance of a device, as a share of its range.
        activity: Mean of the inputs, as a share of full scale.
        read_s: Seconds of a read at full scale.
    """

    part: Literal["cells"]
    device: Electrical
    devices: int = 1
    rows: int
    cols: int
    share: float = Field(0.5, ge=0, le=1)
    activity: float = Field(USUAL_ACTIVITY, gt=0, le=1)
    read_s: float = Field(0.0, ge=0)

    def price(self, node_nm: float) -> Price:
        """V² g t of all cells, and their area."""
        number = self.rows * self.cols * self.devices
        return Price(
            energy_j=number * self.activity * self.device.read_j(self.share, self.read_s),
            area_um2=number * self.device.area_at(node_nm),
            node_nm=node_nm,
            source=self.device.source,
        )


class MemoryPart(MachinePart):
    """Memories; an event is an access.

    Attributes:
        memory: The memory's model.
        capacity_bits: Bits of one.
        access_bits: Bits of an access.
        written: Share of accesses that write.
    """

    part: Literal["memory"]
    memory: AnyMemory
    capacity_bits: int
    access_bits: int
    written: float = Field(0.5, ge=0, le=1)

    def price(self, node_nm: float) -> Price:
        """Bits of an access; area and leakage of all bits."""
        read = self.memory.read_price(self.capacity_bits, node_nm)
        write = self.memory.write_price(self.capacity_bits, node_nm)
        per_bit = (1 - self.written) * read.energy_j + self.written * write.energy_j
        return replace(
            read,
            energy_j=self.access_bits * per_bit,
            area_um2=self.capacity_bits * read.area_um2,
            leakage_w=self.capacity_bits * read.leakage_w,
        )


class LogicPart(MachinePart):
    """Digital units; an event is an operation.

    Attributes:
        operation: One of ``OPERATIONS``, or ``lane``: a lane of a vector unit.
        bits: Bits of the operands.
        volts: Supply; null: the node's nominal one.
    """

    part: Literal["logic"]
    operation: str
    bits: int = 16
    volts: float | None = None

    def price(self, node_nm: float) -> Price:
        """That of the operation, at the supply."""
        is_lane = self.operation == "lane"
        price = (
            lane_price(node_nm, TRANSISTORS)
            if is_lane
            else operation_price(self.operation, self.bits, node_nm, TRANSISTORS)
        )
        supplied = energy_factor(node_nm, node_nm, self.volts) if self.volts else 1.0
        return replace(price, energy_j=price.energy_j * supplied)


class RouterPart(MachinePart):
    """Routers; an event is a flit.

    Attributes:
        ports: Ports of the router, the tile's own among them.
        flit_bits: Bits of a flit.
        buffer_flits: Flits of buffer per port.
    """

    part: Literal["router"]
    ports: int
    flit_bits: int
    buffer_flits: int

    def price(self, node_nm: float) -> Price:
        """Bits of a flit; area and leakage of a router."""
        price = router_price(self.ports, self.flit_bits, self.buffer_flits, node_nm, TRANSISTORS)
        return replace(price, energy_j=self.flit_bits * price.energy_j)


class BusPart(MachinePart):
    """Buses; an event is a bit over the whole length.

    Attributes:
        bits: Lines of the bus.
        length_mm: Length of those lines.
    """

    part: Literal["link"]
    bits: int
    length_mm: float = Field(gt=0)

    def price(self, node_nm: float) -> Price:
        """A bit over the length; area and leakage of the repeaters of all lines."""
        price = link_price(node_nm, transistors=TRANSISTORS)
        return replace(
            price,
            energy_j=self.length_mm * price.energy_j,
            area_um2=self.length_mm * self.bits * price.area_um2,
            leakage_w=self.length_mm * self.bits * price.leakage_w,
        )


class UndeterminedPart(MachinePart):
    """A component whose sources do not say enough to price it.

    Attributes:
        without: What is missing, in words.
    """

    part: Literal["undetermined"]
    without: str

    def price(self, node_nm: float) -> None:
        """None."""
        return

    def missing(self, figure: Figure) -> str:
        """Always the same."""
        return self.without


AnyPart = Annotated[
    ConverterPart
    | DriverPart
    | ArrayPart
    | MemoryPart
    | LogicPart
    | RouterPart
    | BusPart
    | UndeterminedPart,
    Field(discriminator="part"),
]

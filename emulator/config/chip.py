"""The chip of a config: interconnect, phases of a tile, and the table of its components."""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from crossmesh.common.frozen import Frozen
from crossmesh.common.registry import KindName
from crossmesh.common.technology import NODES_NM
from crossmesh.interconnect.noc import TOPOLOGIES, FloorPlan, Router, Topology
from crossmesh.tiles.circuits import (
    AnyAdc,
    AnyDac,
    AnyMemory,
    LowLeakageSram,
    SurveyAdc,
    VoltageDac,
)

TOPOLOGY = KindName(TOPOLOGIES, Topology, of_classes=True)


class RouterConfig(Frozen):
    """Routers, as in ``interconnect.Router``: four virtual channels, kept along the way.

    Attributes:
        virtual_channels: Virtual channels per link.
        buffer_flits: Flits that the buffer of a virtual channel holds.
        routing_cycles: Route computation; 0 with look-ahead.
        vc_allocation_cycles: Allocation of a virtual channel.
        switch_allocation_cycles: Allocation of the switch.
        switch_traversal_cycles: From the buffer to the link.
        credit_cycles: Handling of a credit.
        speculative: Whether both allocations are asked for at once.
    """

    virtual_channels: int = Field(4, ge=1, le=64)
    buffer_flits: int = Field(8, ge=1, le=4096)
    routing_cycles: int = Field(1, ge=0, le=64)
    vc_allocation_cycles: int = Field(1, ge=1, le=64)
    switch_allocation_cycles: int = Field(1, ge=1, le=64)
    switch_traversal_cycles: int = Field(1, ge=1, le=64)
    credit_cycles: int = Field(0, ge=0, le=64)
    speculative: bool = False

    @property
    def router(self) -> Router:
        """The router's parameters for the interconnect."""
        return Router(**self.model_dump(), rotates=False)


class Phases(Frozen):
    """Times of the phases of a tile.

    Attributes:
        dac_s: From a digital vector to driven lines; by default what ``chip.dac`` takes for its
            bits.
        integration_s: Lines driven and currents integrated. Source: 80 ns, Gokmen & Vlasov 2016.
        driven_share: Share of the integration for which an input drives its line, in the mean.
            Source: assumed.
        conversion_s: One conversion of an ADC; by default what ``chip.adc`` takes for its bits.
        lines_per_adc: Lines that share an ADC. Source: 16, Haensch et al. 2019.
        pulse_s: One slot of a pulse train. Source: 1 ns, Gokmen & Vlasov 2016.
        pulsed_share: Share of the slots in which a line is pulsed, where no run has counted pulses.
            Source: 0.02 to 5 % in runs of the shipped networks.
        transfer_row_s: Reading and writing one word line in a transfer. Source: assumed, one
            eight-step programming pulse of 4.4 us (Ambrogio et al. 2018, Extended Data Fig. 7).
        digital_lanes: Values that the digital unit of a tile takes in a clock cycle. Source:
            assumed.
        input_buffers: Micro-batches that the tiles which take a network's inputs hold before they
            have read them: 1 takes the next when the array is free, 2 (double buffers) while it is
            busy. Source: 2, the input registers of ISAAC.
    """

    dac_s: float | None = Field(None, ge=0)
    integration_s: float = Field(80e-9, gt=0)
    driven_share: float = Field(0.5, gt=0, le=1)
    conversion_s: float | None = Field(None, gt=0)
    lines_per_adc: int = Field(16, ge=1)
    pulse_s: float = Field(1e-9, gt=0)
    pulsed_share: float = Field(0.03, gt=0, le=1)
    transfer_row_s: float = Field(4.4e-6, ge=0)
    digital_lanes: int = Field(16, ge=1)
    input_buffers: int = Field(2, ge=1, le=1024)


class Overheads(Frozen):
    """What a chip takes beyond its components.

    Attributes:
        clock_share: Energy of the clock's network, as a share of that of what it drives: digital
            units, memories, adders; figures of routers have theirs. Source: assumed, 10 to 20 % of
            digital power; DSENT has 4 to 9 % of a router's.
        supply_efficiency: Share of the energy drawn that arrives. Source: assumed, 80 to 90 % of
            regulators on chips.
        area_use: Share of the area that components take. Source: assumed, 60 to 80 % of floor
            plans.
    """

    clock_share: float = Field(0.15, ge=0, le=10)
    supply_efficiency: float = Field(0.85, gt=0, le=1)
    area_use: float = Field(0.7, gt=0, le=1)


class Chip(Frozen):
    """The chip around the tiles; it never changes the values that are computed.

    Attributes:
        clock_hz: Clock of routers and digital units, which all times are counted in.
        topology: Topology of the interconnect: a name, or ``kind`` and fields of one.
        width: Tiles in a row of the floor plan; by default as square as can be.
        height: Rows of the floor plan.
        arity: Branches of a router of a tree.
        link_cycles: Cycles on a link; by default 2 in a torus, otherwise 1.
        flit_bits: Width of a link.
        packet_flits: Longest packet, its head among them; longer messages are several packets.
        multicast: Whether routers copy packets that go to several tiles.
        placement: Which tile lies where: ``row_major``; ``snake``; ``traffic``, swaps that make
            values times links fewer; ``annealed``, simulated annealing of flits times links,
            which also chooses the tile that each digital memory lies beside.
        activation_bits: Bits of an activation, in the forward pass.
        partial_sum_bits: Bits of a partial sum.
        error_bits: Bits of an error, in the backward pass.
        in_network_sums: Whether routers of tiles add the partial sums that meet on their way to the
            tile that wants them.
        io_ports: Ports at the edge of the floor plan, which share the examples and their targets
            and each take a flit per clock cycle; by default inputs have a port where they are
            taken, and targets come with them. Of several networks each has so many.
        router: Buffers, virtual channels and pipeline of the routers.
        phases: The phases of a tile.
        model: Timing model of the interconnect: ``analytic``, ``packet`` or ``flit``, or ``auto``:
            the most exact that takes at most about half a minute, by the hops of flits.
        interval_s: Seconds between examples that the chip is asked to sustain; by default it goes
            as fast as it can.
        node_nm: Process node of lines, logic, memories and routers, and of what follows it in
            converters and cells. Source: assumed.
        transistors: Transistors of logic, drivers, routers and links: ``low_threshold`` as in
            DSENT, or ``low_standby``, which leak 2,000 times less.
        adc: Which ADCs, by the model of their cost. Source of the clock: 200 MS/s at 9 bits,
            Haensch et al. 2019.
        dac: Which DACs, by the model of their cost.
        memory: Which memories hold messages, stored activations and digital parameters.
        memory_bits: Bits that the memory of a tile may hold; by default as many as are needed.
        overheads: Clock, supply, and what nothing fills.
        table: YAML file with components of your own, whose figures count instead.
    """

    clock_hz: float = Field(1e9, gt=0)
    topology: Annotated[str | type[Topology] | Topology, TOPOLOGY] = "mesh"
    width: int | None = Field(None, ge=1)
    height: int | None = Field(None, ge=1)
    arity: int = Field(4, ge=2, le=32)
    link_cycles: int | None = Field(None, ge=1, le=1000)
    flit_bits: int = Field(128, ge=1, le=65536)
    packet_flits: int = Field(8, ge=2, le=4096)
    multicast: bool = True
    placement: Literal["row_major", "snake", "traffic", "annealed"] = "annealed"
    activation_bits: int = Field(8, ge=1, le=64)
    partial_sum_bits: int = Field(16, ge=1, le=64)
    error_bits: int = Field(8, ge=1, le=64)
    in_network_sums: bool = False
    io_ports: int | None = Field(None, ge=1, le=4096)
    router: RouterConfig = RouterConfig()
    phases: Phases = Phases()
    model: Literal["auto", "analytic", "packet", "flit"] = "auto"
    interval_s: float | None = Field(None, gt=0)
    node_nm: float = Field(32.0, ge=NODES_NM[0], le=NODES_NM[1])
    transistors: Literal["low_threshold", "low_standby"] = "low_standby"
    adc: AnyAdc = SurveyAdc(clock_hz=2e9)
    dac: AnyDac = VoltageDac()
    memory: AnyMemory = LowLeakageSram()
    memory_bits: int | None = Field(None, ge=1)
    overheads: Overheads = Overheads()
    table: str | None = None

    @model_validator(mode="after")
    def _buffers_hold_packets(self) -> Self:
        if self.multicast and self.router.buffer_flits < self.packet_flits:
            raise ValueError(
                f"router.buffer_flits must be at least packet_flits ({self.packet_flits}) for "
                f"multicast, got {self.router.buffer_flits}"
            )
        return self

    @model_validator(mode="after")
    def _rings_have_two_channels(self) -> Self:
        least = self.topology_kind.least_virtual_channels
        if self.router.virtual_channels < least:
            raise ValueError(
                f"router.virtual_channels must be at least {least} in a "
                f"{self.topology_kind.name}, got {self.router.virtual_channels}"
            )
        return self

    @model_validator(mode="after")
    def _ways_meet_at_tiles(self) -> Self:
        kind = self.topology_kind
        if self.in_network_sums and (kind.reserves_paths or not kind.is_grid):
            raise ValueError(
                "in_network_sums must be false where no flits meet at the routers of tiles: in a "
                f"{kind.name}"
            )
        return self

    @property
    def topology_kind(self) -> type[Topology] | Topology:
        """The class that ``topology`` names, or one that is made already."""
        kind: type[Topology] | Topology = TOPOLOGY.chosen(self.topology)[0]
        return kind

    def grid(self, n_tiles: int) -> tuple[int, int]:
        """Width and height of the floor plan.

        Raises:
            ValueError: If the tiles do not fit.
        """
        width = self.width or (self.height and -(-n_tiles // self.height)) or _root(n_tiles)
        height = self.height or -(-n_tiles // width)
        if width * height < n_tiles:
            raise ValueError(
                f"chip.width * chip.height must be at least the {n_tiles} tiles of the program, "
                f"got {width} * {height}"
            )
        return width, height

    def interconnect(self, n_tiles: int) -> Topology:
        """The topology for so many tiles.

        Raises:
            ValueError: If the tiles do not fit, or the topology does not fit the floor plan.
        """
        width, height = self.grid(n_tiles)
        floor = FloorPlan(width, height, arity=self.arity, link_cycles=self.link_cycles)
        kind, fields = TOPOLOGY.chosen(self.topology)
        try:
            natural: Any = kind.on(floor)  # also of an object, by its class
            made: Any = kind if isinstance(kind, Topology) else natural
            topology: Topology = replace(made, **fields) if fields else made
        except ValueError as error:
            raise ValueError(f"chip.topology: {error}") from None
        if topology.n_nodes < floor.n_places:
            raise ValueError(
                f"chip.topology must join the {width} x {height} places of the floor plan, "
                f"got one of {topology.n_nodes}"
            )
        if _places(topology) != _places(natural):
            raise ValueError(
                f"chip.topology must have the {width} x {height} places of the floor plan, which "
                f"chip.width and chip.height set, got {topology.n_nodes}"
            )
        return topology

    def cycles(self, seconds: float) -> int:
        """Whole clock cycles that a time takes."""
        return max(0, -int(-seconds * self.clock_hz * (1 - 1e-12) // 1))


def _places(topology: Topology) -> tuple[int, int | None]:
    """How many places a topology has, and how many of them are in a row of a grid."""
    return topology.n_nodes, getattr(topology, "width", None)


def _root(n: int) -> int:
    width = int(n**0.5)
    return width + (width * width < n)

"""What devices and unit cells cost on a chip, from the physics of their terminals."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from crossmesh.common.frozen import Frozen, FrozenDict

WORD_BITS = 32  # of digital memory beside a tile; source: assumed, a float32


class Electrical(Frozen):
    """What a device is at its terminals, with the transistor that selects it, if there is one.

    It never changes values; energy and area of a chip follow from it.

    Attributes:
        off_siemens: Conductance of a typical device at its lower bound.
        on_siemens: Conductance of a typical device at its upper bound.
        read_v: Voltage of a read.
        pulse_v: Voltage at a device that both of its lines pulse; one line alone brings half.
        pulse_j: Joules of a pulse in a device whose channel does not carry it; None: it does, so
            that a pulse costs V² g t there, and a quarter of it where one line alone is pulsed.
        write_j: Joules of a write until a device has a value, as a transfer does.
        area_f2: Area with its transistor, in squares of the node's feature size.
        area_um2: Area where it does not follow the node; counts instead of ``area_f2``.
        gated: Whether a transistor loads the word line with its gate, the bit line with its drain.
        low: The optimistic end of all its energies, as a factor. Source: assumed.
        high: The pessimistic end of all its energies, as a factor. Source: assumed.
        source: Publications of the figures; the default is the device that Gokmen & Vlasov 2016
            (doi 10.3389/fnins.2016.00333) ask for: 24 Mohm in the mean, an on/off ratio of 6, a
            line pitch of 0.4 um, 1 V; 0.1 V of a read are assumed.
    """

    off_siemens: float = Field(1 / 84e6, ge=0, le=1)
    on_siemens: float = Field(1 / 14e6, ge=1e-12, le=1)
    read_v: float = Field(0.1, gt=0, le=100)
    pulse_v: float = Field(1.0, gt=0, le=100)
    pulse_j: float | None = Field(None, ge=0, le=1)
    write_j: float = Field(0.0, ge=0, le=1)
    area_f2: float = Field(4.0, gt=0, le=1e6)
    area_um2: float | None = Field(0.16, gt=0, le=1e6)
    gated: bool = False
    low: float = Field(0.5, gt=0, le=1)
    high: float = Field(2.0, ge=1)
    source: str = "Gokmen & Vlasov 2016: 24 Mohm, on/off 6, 0.4 um, 1 V; read at 0.1 V assumed"

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.off_siemens >= self.on_siemens:
            raise ValueError(
                f"off_siemens must be below on_siemens ({self.on_siemens:g}), "
                f"got {self.off_siemens:g}"
            )
        return self

    def siemens(self, share: float) -> float:
        """Conductance of a device at a share of its range.

        >>> f"{Electrical().siemens(0.5) * 24e6:.3f}"
        '1.000'
        """
        return self.off_siemens + share * (self.on_siemens - self.off_siemens)

    def read_j(self, share: float, seconds: float) -> float:
        """Joules that flow in a read, V² g t."""
        return self.read_v**2 * self.siemens(share) * seconds

    def half_pulse_j(self, share: float, seconds: float) -> float:
        """Joules that flow while one of its lines is pulsed alone."""
        return 0.0 if self.pulse_j is not None else 0.25 * self._pulsed_j(share, seconds)

    def pulse_more_j(self, share: float, seconds: float) -> float:
        """Joules of a pulse on both lines beyond those of each alone."""
        return 0.5 * self._pulsed_j(share, seconds) if self.pulse_j is None else self.pulse_j

    def _pulsed_j(self, share: float, seconds: float) -> float:
        return self.pulse_v**2 * self.siemens(share) * seconds

    def area_at(self, node_nm: float) -> float:
        """Area in um² at a node."""
        return self.area_um2 or self.area_f2 * (1e-3 * node_nm) ** 2


IDEAL = Electrical()
# Read transistor: NeuroSim's _3T1C, 4 to 20 uS. Pulse: 6.67 uA for 0.5 ns at 1 V in its Cell.cpp.
CAPACITOR = Electrical(
    off_siemens=4e-6,
    on_siemens=20e-6,
    read_v=0.1,
    pulse_v=1.0,
    pulse_j=3.3e-15,
    write_j=100e-15,
    area_f2=4_968.0,
    area_um2=None,
    gated=True,
    source="NeuroSim's 3T1C: 4 to 20 uS, 3.3 fJ a pulse, 100 fF; area: 5,000 F² of its "
    "2PCM+3T1C without two memories; read voltage assumed",
)
PHASE_CHANGE = Electrical(
    off_siemens=0.1e-6,
    on_siemens=20e-6,
    read_v=0.2,
    pulse_v=1.2,
    pulse_j=3e-12,
    write_j=33e-12,
    area_f2=16.0,
    area_um2=None,
    gated=True,
    low=0.12,
    high=2.0,
    source="0.2 V and partial SET of 1 to 10 pJ assumed; write: RESET 19.2 and SET 13.5 pJ, Lee et "
    "al., ISCA 2009; low: NVSim's 2 pJ for each; area: 16 F², IBM at 90 nm in NeuroSim's manual",
)


def over(default: Electrical) -> BeforeValidator:
    """Of a field whose device is ``default``: fields that a config leaves out are those of it."""

    def whole(value: Any) -> Any:
        return {**default.model_dump(), **value} if isinstance(value, Mapping) else value

    return BeforeValidator(whole)


class CellDevices(NamedTuple):
    """Devices of one kind at a crosspoint.

    Attributes:
        electrical: What each is at its terminals.
        number: How many.
        is_read: Whether a read sees them.
        is_pulsed: Whether pulses of an update meet them.
        is_written: Whether transfers write them until they have a value.
    """

    electrical: Electrical
    number: float = 1
    is_read: bool = True
    is_pulsed: bool = True
    is_written: bool = False


def _none() -> Mapping[str, int]:
    return field(default_factory=FrozenDict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CellCosts:
    """What a unit cell costs on a chip.

    Beside its devices it may name components of the table of the chip (``chip.table``), which says
    what those cost.

    Attributes:
        devices: The devices at a crosspoint.
        words: Numbers in digital memory beside each cell.
        read: Events by component of one cell in one read.
        pulse: Events by component of one word line or bit line in one pulse.
        parts: Components of one cell, whose area and leakage count.
        reads: Reads of the array, one after the other, that make one product.
        slots: Times that a slot of a pulse train lasts as long as ``chip.phases.pulse_s``; 0:
            updates send no trains, only transfers do.
        array: What a tile of several arrays calls the one that is pulsed where it counts pulses and
            writes; empty: it has no other.
        pulses_per_write: Pulses of a cell, in the mean, until its devices have to be written again;
            0: nobody knows, or they never have to be. Where a run has counted writes, those count.
    """

    devices: tuple[CellDevices, ...] = (CellDevices(IDEAL),)
    words: int = 0
    read: Mapping[str, int] = _none()
    pulse: Mapping[str, int] = _none()
    parts: Mapping[str, int] = _none()
    reads: int = 1
    slots: int = 1
    array: str = ""
    pulses_per_write: float = 0.0

    def __post_init__(self) -> None:
        """Mappings of any kind are frozen, so that events are counted by the cells they meet."""
        for name in ("read", "pulse", "parts"):
            object.__setattr__(self, name, FrozenDict(getattr(self, name)))

    @property
    def lines(self) -> float:
        """Word lines, and as many bit lines, that reach the devices at a crosspoint."""
        return sum(each.number for each in self.devices if each.is_read or each.is_pulsed) or 1

    @property
    def written_devices(self) -> float:
        """Devices of a cell that are written until they have a value."""
        return sum(each.number for each in self.devices if each.is_written)

    def times(self, number: int) -> Self:
        """Those of so many at a crosspoint, which are pulsed and read at once."""
        return replace(
            self,
            devices=tuple(each._replace(number=number * each.number) for each in self.devices),
            words=number * self.words,
            read=_multiplied(self.read, number),
            pulse=_multiplied(self.pulse, number),
            parts=_multiplied(self.parts, number),
        )

    def written(self) -> Self:
        """Those of cells whose devices are also written until they have a value."""
        devices = (each._replace(is_written=True) for each in self.devices)
        return replace(self, devices=tuple(devices))

    def without_pulses(self) -> Self:
        """Those of cells that updates neither pulse nor make full."""
        devices = (each._replace(is_pulsed=False, is_written=False) for each in self.devices)
        return replace(self, devices=tuple(devices), pulse=FrozenDict())

    def unread(self) -> Self:
        """Those of cells that reads of the weight do not see."""
        devices = (each._replace(is_read=False) for each in self.devices)
        return replace(self, devices=tuple(devices), read=FrozenDict(), reads=0)

    def beside(self, *others: "CellCosts") -> Self:
        """Those of this cell, which says how pulses last, and of others at the same crosspoint."""
        every: tuple[CellCosts, ...] = (self, *others)
        return replace(
            self,
            devices=tuple(devices for each in every for devices in each.devices),
            words=sum(each.words for each in every),
            read=_added(each.read for each in every),
            pulse=_added(each.pulse for each in every),
            parts=_added(each.parts for each in every),
            reads=max(each.reads for each in every),
        )


def _multiplied(counts: Mapping[str, int], number: int) -> Mapping[str, int]:
    return FrozenDict({name: number * n for name, n in counts.items()})


def _added(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return FrozenDict(total)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferCosts:
    """What the transfers of a tile cost, as a mean over the vectors that it is updated with.

    Attributes:
        lines: Lines that have their turn per vector.
        of_outputs: Whether lines are bit lines.
        only_pulsed: Whether only those of them have it that the vector pulses.
        reads: The cells of each read of a line: it is driven, its cells are converted.
        pulsed: The cells of the line that pulses write; None: none are.
        slots: Slots of the pulse train that does so.
        written: The cells of the line that are written until they have a value; None: none are.
        operations: Operations of the digital unit per weight of a line.
        words: Words of digital memory that are read or written per weight of a line.
    """

    lines: float
    of_outputs: bool = False
    only_pulsed: bool = False
    reads: tuple[CellCosts, ...] = ()
    pulsed: CellCosts | None = None
    slots: int = 0
    written: CellCosts | None = None
    operations: int = 0
    words: int = 0

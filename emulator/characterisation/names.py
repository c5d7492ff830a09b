"""What a column holds, by its name: a quantity, a number, a device, a direction, a cycle."""

import re
from typing import Literal, NamedTuple

from crossmesh.emulator.characterisation.units import Unit, split_unit

Role = Literal[
    "device", "wordline", "bitline", "cycle", "direction", "pulse", "conductance", "resistance",
    "current", "read_voltage", "pulse_voltage", "pulse_width", "time", "level",
]  # fmt: skip
Direction = Literal["up", "down"]
READINGS: tuple[Role, ...] = ("conductance", "resistance", "current")
_SPELLINGS: dict[Role, str] = {
    "device": "device dev deviceid devicename deviceno devicenumber deviceindex cell cellid sample "
    "sampleid dut memristor site name",
    "wordline": "wordline wl row",
    "bitline": "bitline bl column col",
    "cycle": "cycle cycles cycleno cyclenumber cycleindex cycleid loop loopno repeat repetition "
    "rep run runno iteration trial ramp sweep sequence",
    "direction": "direction dir polarity operation op type pulsetype phase branch process ltpltd "
    "potdep setreset updown event action",
    "pulse": "pulse pulses pulseno pulsenumber pulsenum pulseindex pulseid pulsecount npulse "
    "npulses numberofpulses nofpulses n no number index idx step point count spike spikes "
    "spikenumber stimulus",
    "conductance": "conductance conductances g cond gread gmeas gds gch gdev readconductance "
    "conductancevalue channelconductance",
    "resistance": "resistance r res rread rmeas rds rdev readresistance",
    "current": "current i iread imeas ids id idrain anodei readcurrent currentread psc epsc "
    "postsynapticcurrent draincurrent measuredcurrent ir",
    "read_voltage": "vread readvoltage voltageread readv vr readbias vreadout",
    "pulse_voltage": "vpulse pulsevoltage pulsev amplitude pulseamplitude pulseamp vamp voltage v "
    "vprog vwrite vprogram writevoltage programvoltage vgate vg vgs gatevoltage anodev bias "
    "appliedvoltage vp",
    "pulse_width": "pulsewidth width pw duration tpulse pulseduration",
    "time": "time t timestamp elapsed elapsedtime delay waittime timeafterprogramming date "
    "datetime",
    "level": "level initiallevel state initialstate g0 initialconductance target targetconductance",
}
ROLES: dict[str, Role] = {
    spelling: role for role, text in _SPELLINGS.items() for spelling in text.split()
}
_OF_UNIT: dict[str, Role] = {"S": "conductance", "Ω": "resistance", "A": "current", "s": "time"}
_UP = "up|ltp|potentiation|potentiate|pot|set|increase|inc|rise|rising|excitatory|positive|pos"
_DOWN = ("down|ltd|depression|depress|depotentiation|dep|reset|decrease|dec|fall|falling|"
         "inhibitory|negative|neg")  # fmt: skip
_DIRECTION = re.compile(rf"(?<![A-Za-z])(?:(?P<up>{_UP})|(?P<down>{_DOWN}))(?![A-Za-z])", re.I)
_CYCLE = re.compile(
    r"(?<![A-Za-z])(?:cycle|cyc|loop|run|ramp|rmp|repeat|rep|iteration|trial|sweep)"
    r"[\s_.#-]*(\d+)(?![A-Za-z\d])", re.I)  # fmt: skip
_QUANTITY = re.compile(
    r"(?<![A-Za-z])(?:(?P<conductance>conductance|cond|gread|gmeas|g)"
    r"|(?P<resistance>resistance|res|rread|r)|(?P<current>current|iread|ids|anodei|i))(?![A-Za-z])",
    re.I,
)  # fmt: skip
_SIGNS: dict[str, Direction] = {
    **dict.fromkeys(("+", "1", "+1", "p", "u"), "up"),
    **dict.fromkeys(("-", "0", "-1", "d"), "down"),
}


class Name(NamedTuple):
    """What a column's name says.

    Attributes:
        text: The name, as in the file.
        role: What its cells are; None: it does not say.
        unit: Their unit.
        device: The device that they are of.
        direction: Direction of the pulses that they follow.
        cycle: Number of the row of pulses.
    """

    text: str
    role: Role | None = None
    unit: Unit | None = None
    device: str = ""
    direction: Direction | None = None
    cycle: str = ""


def role_of(name: str) -> Role | None:
    """The role that a whole name stands for, in any spelling.

    >>> role_of("Pulse number"), role_of("V_read"), role_of("Pulse #"), role_of("D1")
    ('pulse', 'read_voltage', 'pulse', None)
    """
    if name.strip() in {"#", "No."}:
        return "pulse"
    return ROLES.get(re.sub(r"[^a-z0-9]", "", name.lower()))


def is_role(header: str) -> bool:
    """Whether a header, perhaps with a unit, names a role."""
    return role_of(split_unit(header)[0]) is not None


def read_name(header: str) -> Name:
    """Take a header apart.

    >>> read_name("D1 G (uS)")[1:5]
    ('conductance', Unit(base='S', scale=1e-06, text='µS'), 'D1', None)
    >>> read_name("up_a")[3:], read_name("LTP cycle 2")[3:], read_name("rmp3")[3:]
    (('a', 'up', ''), ('', 'up', '2'), ('', None, '3'))
    """
    plain, unit = split_unit(header)
    role = role_of(plain)
    if role is not None:
        return Name(header, _of_unit(plain, role, unit), unit)
    rest, cycle = plain, ""
    direction: Direction | None = None
    if found := _DIRECTION.search(_apart(rest)):
        direction = "up" if found["up"] else "down"
        rest = _cut(rest, found)
    if found := _CYCLE.search(_apart(rest)):
        cycle, rest = found[1], _cut(rest, found)
    if found := _QUANTITY.search(_apart(rest)):
        role = next(name for name in READINGS if found[name])
        rest = _cut(rest, found)
    return Name(header, _of_unit(plain, role, unit), unit, rest.strip(" _-.:,#"), direction, cycle)


def _of_unit(name: str, role: Role | None, unit: Unit | None) -> Role | None:
    """The role of a column whose unit may say more than its name: Id (A) is a current."""
    if unit is None or role == "level":
        return role
    if unit.base == "V":
        known = role in {"read_voltage", "pulse_voltage"}
        return role if known else "read_voltage" if "read" in name.lower() else "pulse_voltage"
    if unit.base == "1" and role == "current":  # a share of a current is one of a conductance
        return "conductance"
    return _OF_UNIT.get(unit.base, role) if role not in {"pulse_width", "time"} else role


def _apart(name: str) -> str:
    """The name with blanks for underscores, which are letters to regular expressions."""
    return name.replace("_", " ")


def _cut(name: str, found: re.Match[str]) -> str:
    before, after = name[: found.start()].rstrip(" _-.:"), name[found.end() :].lstrip(" _-.:")
    return f"{before} {after}" if before and after else before + after


def direction_of(cell: object) -> Direction | None:
    """The direction that a cell names.

    >>> direction_of("LTP"), direction_of("depression"), direction_of("RESET"), direction_of("left")
    ('up', 'down', 'down', None)
    """
    text = str(cell).strip().lower().removesuffix(".0")
    if text in _SIGNS:
        return _SIGNS[text]
    found = _DIRECTION.search(_apart(text))
    if found is None:
        return None
    return "up" if found["up"] else "down"

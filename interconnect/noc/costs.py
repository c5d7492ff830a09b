"""What routers and links cost: energy per bit, area and leakage, by ports, widths and node.

Routers: DSENT, 5 ports, 32 and 128 bits, 8 and 32 flits of buffer per port, 45, 32 and 22 nm,
1 GHz at 0.3 flits per port and cycle, clock included. The formulas give its energies within 5 %,
its leakages within 10 % and its areas within 15 %; other numbers of ports are assumed to follow.
Links: C V² at NeuroSim's 0.2 fF/um.
"""

from collections.abc import Callable, Mapping

from crossmesh.common.price import Price
from crossmesh.common.technology import (
    WIRE_F_PER_UM,
    Transistors,
    area_factor,
    check_node,
    energy_factor,
    interpolated,
    leakage_factor,
    wiring,
)

_KNOWN_NM = (22.0, 45.0)
# Of a router with 128 bits and 32 flits of buffer, and of wires: by node.
_ROUTER_ENERGY = {45.0: 0.141, 32.0: 0.078, 22.0: 0.036}
_ROUTER_LEAKAGE = {45.0: 53.0, 32.0: 45.0, 22.0: 39.0}
_ROUTER_AREA = {45.0: 1.67, 32.0: 1.0, 22.0: 0.403}
_WIRE_LEAKAGE_W = 22e-6 / 64  # per bit and mm at 32 nm, DSENT
_REPEATER_UM2 = 60 * 212.8 * 0.032**2  # per bit and mm: 60 minimum transistors, assumed
# Picojoules per random bit and mm.
_DSENT_PJ = {45.0: 0.0404, 32.0: 0.0324, 22.0: 0.0236, 11.0: 0.0132}
_HO_PJ = {45.0: 0.156, 32.0: 0.117, 22.0: 0.095, 14.0: 0.075, 7.0: 0.057}


def router_price(
    ports: int,
    flit_bits: int,
    buffer_flits: int,
    node_nm: float,
    transistors: Transistors = "low_threshold",
) -> Price:
    """Energy of a bit through a router; area and leakage of the router.

    High: Noxim, 0.068 pJ per bit at 32 bits and 8 flits, node not stated. BookSim's 0.135 to
    0.24 pJ lie outside. Beyond 45 and 22 nm it scales as logic.

    Args:
        ports: Ports, the tile's own among them.
        flit_bits: Width.
        buffer_flits: Flits of buffer per port, over all virtual channels.
        node_nm: Process node.
        transistors: ``low_threshold`` as in DSENT, at 340 K; ``low_standby`` leaks 2,000 times
            less.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_node(node_nm)
    for name, value in (("ports", ports), ("flit_bits", flit_bits), ("buffer_flits", buffer_flits)):
        if not value >= 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    lines = ports * flit_bits
    energy_pj = 0.0245 * ports / 5 + 0.00166 * buffer_flits
    area_um2 = 4.44 * lines * buffer_flits + 0.0430 * lines**2 + 13.3 * lines
    leakage_w = 1.953e-6 * lines * (buffer_flits + 4)
    narrow = (flit_bits / 128) ** -0.066
    return Price(
        energy_j=1e-12 * energy_pj * narrow * _factor(node_nm, _ROUTER_ENERGY, energy_factor),
        area_um2=area_um2 * _factor(node_nm, _ROUTER_AREA, area_factor),
        leakage_w=leakage_w * _factor(node_nm, _ROUTER_LEAKAGE, leakage_factor),
        high=1.6,
        node_nm=node_nm,
        source="DSENT, 5 ports; high: Noxim",
        beyond=_beyond(ports, node_nm),
    ).of(transistors)


def link_price(
    node_nm: float, activity: float = 0.25, transistors: Transistors = "low_threshold"
) -> Price:
    """Energy of a bit over a millimetre; area and leakage of a line for it, a millimetre long.

    Area is that of repeaters, since wires lie over logic. Low: DSENT's repeated link at 1 ns/mm;
    high: 0.25 to 0.33 pF/mm (Ho 2008) with repeaters for the least power. BookSim's 0.44 pJ at
    32 nm, 1.07 pF/mm and a toggle in every other bit, lies outside.

    Args:
        node_nm: Process node.
        activity: Probability that a bit raises its line; 1/4 for random bits.
        transistors: As of routers.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_node(node_nm)
    if not 0 < activity <= 1:
        raise ValueError(f"activity must be in (0, 1], got {activity!r}")
    swing_j = 1e3 * WIRE_F_PER_UM * wiring(node_nm).supply_v ** 2
    random_pj = 1e12 * swing_j / 4
    return Price(
        energy_j=activity * swing_j,
        area_um2=_REPEATER_UM2 * area_factor(32, node_nm),
        leakage_w=_WIRE_LEAKAGE_W * _factor(node_nm, _ROUTER_LEAKAGE, leakage_factor),
        low=min(1, interpolated(node_nm, _DSENT_PJ) / random_pj),
        high=interpolated(node_nm, _HO_PJ) / random_pj,
        node_nm=node_nm,
        source="C V² at 0.2 pF/mm, NeuroSim; low, leakage: DSENT; high: Ho 2008; area assumed",
        beyond=f"{node_nm:g} nm, known from 7 to 90 nm" if node_nm > 90 else "",
    ).of(transistors)


def _factor(
    node_nm: float, known: Mapping[float, float], law: Callable[[float, float], float]
) -> float:
    """A figure at a node relative to 32 nm: of DSENT's nodes, beyond them by a law of logic."""
    least, most = _KNOWN_NM
    edge = min(max(node_nm, least), most)
    return interpolated(edge, known) / known[32.0] * law(edge, node_nm)


def _beyond(ports: int, node_nm: float) -> str:
    least, most = _KNOWN_NM
    remarks = (
        "" if ports == 5 else f"{ports} ports, known for 5",
        "" if least <= node_nm <= most else f"{node_nm:g} nm, known from {least:g} to {most:g} nm",
    )
    return "; ".join(filter(None, remarks))

"""Tables of a user's own components: what an event costs, and what area and leakage a part has."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen, FrozenDict, Keyed
from crossmesh.common.price import Price
from crossmesh.common.refusals import nearest, sentence
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.circuits.measured import ByBits, at_bits

MOST_FILES = 8
# What is read, sent or computed on any chip; cells may name more (``CellCosts``).
EVENTS = (
    "cell_read", "line_read", "line_pulse", "cell_half", "cell_pulse", "cell_write", "dac", "adc",
    "sample_hold", "shift_add", "digital", "memory", "router", "link", "router_add",
    "port",
)  # fmt: skip
PARTS = ("cell", "driver", "dac", "adc", "sample_hold", "shift_add", "digital", "memory", "router")
# Of parts that are no events, where the energy is; of events that are no parts, where the area is.
ELSEWHERE = {
    "cell": "cell_read, cell_half, cell_pulse and cell_write",
    "driver": "line_read and line_pulse",
    **dict.fromkeys(("cell_read", "cell_half", "cell_pulse", "cell_write"), "cell"),
    **dict.fromkeys(("line_read", "line_pulse"), "driver"),
}


class Component(Frozen):
    """One kind of component, whose figures count instead of what crossmesh has for it.

    Attributes:
        per: The event that the energy is of, in words.
        energy_pj: Energy of an event, or a table of it by bits.
        low: The optimistic end of the energy, as a factor of ``energy_pj``.
        high: The pessimistic end of the energy, as a factor of ``energy_pj``.
        area_um2: Area of one component, or a table of it by bits.
        leakage_uw: Power of one component that does nothing.
        node_nm: Process node of the figures, or null.
        source: Publication, or ``assumed``.
    """

    per: str
    energy_pj: ByBits = 0.0
    low: float = Field(1.0, gt=0, le=1)
    high: float = Field(1.0, ge=1)
    area_um2: ByBits = 0.0
    leakage_uw: float = Field(0.0, ge=0)
    node_nm: float | None = None
    source: str

    def price(self, bits: int) -> Price:
        """What it costs with so many bits."""
        return Price(
            energy_j=1e-12 * at_bits(self.energy_pj, bits),
            area_um2=at_bits(self.area_um2, bits),
            leakage_w=1e-6 * self.leakage_uw,
            low=self.low,
            high=self.high,
            node_nm=self.node_nm,
            source=self.source,
        )


class ComponentTable(Frozen):
    """Components by name; a file may extend another and replace some.

    Attributes:
        components: By name: of ``EVENTS``, ``PARTS``, or what cells name.
    """

    components: Keyed[str, Component] = Field(default_factory=FrozenDict)


def check_cells(table: ComponentTable, tiles: Iterable[TileConfig]) -> None:
    """Refuse a table that lacks components which cells name, or has some that nothing asks for.

    Raises:
        ConfigError: If that is so.
    """
    known = {*EVENTS, *PARTS}
    for cell in {tile.cell for tile in tiles}:
        costs = cell.costs
        for name in (*costs.read, *costs.pulse, *costs.parts):
            known.add(name)
            if name not in table.components and name not in {*EVENTS, *PARTS}:
                got = ", ".join(table.components) or "none"
                raise ConfigError(
                    f"chip.table must have {name}, a component of cells {cell.kind}, got {got}"
                )
    for name, component in table.components.items():
        if name not in known:
            names = ", ".join(sorted(known))
            raise ConfigError(
                f"chip.table: components must be of {names}, got {name}{nearest(name, known)}"
            )
        _check_counts(name, component)


def _check_counts(name: str, component: Component) -> None:
    """Refuse figures that nothing counts: energy of what is only a part, area of what is none."""
    if name not in ELSEWHERE:
        return
    unused = ("energy_pj",) if name in PARTS else ("area_um2", "leakage_uw")
    for field in unused:
        if value := getattr(component, field):
            raise ConfigError(
                f"chip.table: {name}.{field} must be left out, as that of {ELSEWHERE[name]} "
                f"counts, got {value}"
            )


def load_table(source: str | None) -> ComponentTable:
    """A table from a YAML file, which may extend another; None: an empty one.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    if source is None:
        return ComponentTable()
    try:
        return ComponentTable.model_validate(_read(Path(source), MOST_FILES))
    except ValidationError as error:
        raise ConfigError(f"{source}: {sentence(error, ComponentTable)}") from None


def _read(path: Path, left: int) -> dict[str, object]:
    if not path.is_file():
        raise ConfigError(f"chip.table must be a YAML file, got {path}")
    if not left:
        raise ConfigError(f"chip.table must extend at most {MOST_FILES} files, got more: {path}")
    tree = read_mapping(path)
    base = tree.pop("extends", None)
    own = tree.get("components")
    if not isinstance(base, str) or not isinstance(own, dict):
        return tree
    below = _read(path.parent / base, left - 1).get("components")
    return {"components": {**below, **own} if isinstance(below, dict) else own}

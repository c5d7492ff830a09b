"""Tables of components: what an event costs, and how much area and leakage a part has."""

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import Frozen, Keyed
from crossmesh.common.refusals import nearest, sentence
from crossmesh.tiles.analog.tile import TileConfig

SHIPPED = Path(__file__).parent / "tables"
PARTS = (
    "crossbar_read", "crossbar_pulse", "dac", "adc", "sample_hold", "shift_add", "digital",
    "buffer", "router", "link",
)  # fmt: skip


class Component(Frozen):
    """One kind of component.

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
    energy_pj: float | Keyed[int, float] = 0.0
    low: float = Field(1.0, gt=0, le=1)
    high: float = Field(1.0, ge=1)
    area_um2: float | Keyed[int, float] = 0.0
    leakage_uw: float = Field(0.0, ge=0)
    node_nm: float | None = None
    source: str

    def energy_j(self, bits: int) -> float:
        """Energy of an event in joules."""
        return 1e-12 * _at(self.energy_pj, bits)

    def area_mm2(self, bits: int) -> float:
        """Area of one component in mm²."""
        return 1e-6 * _at(self.area_um2, bits)


def _at(value: float | dict[int, float], bits: int) -> float:
    """A table's value, between its entries on a straight line, beyond them doubled per bit."""
    if not isinstance(value, dict):
        return value
    known = sorted(value)
    if bits <= known[0]:
        return value[known[0]]
    if bits > known[-1]:
        return value[known[-1]] * 2.0 ** (bits - known[-1])
    i = bisect_left(known, bits)
    low, high = known[i - 1], known[i]
    share = (bits - low) / (high - low)
    return value[low] * (1 - share) + value[high] * share


class ComponentTable(Frozen):
    """Components by name; a file may extend a shipped table and replace some.

    Attributes:
        components: By name.
    """

    components: Keyed[str, Component]

    @model_validator(mode="after")
    def _is_complete(self) -> "ComponentTable":
        for name in PARTS:
            if name not in self.components:
                raise ValueError(f"components must have {name}, got {', '.join(self.components)}")
        return self


def check_cells(table: ComponentTable, tiles: Iterable[TileConfig]) -> None:
    """Refuse a table that lacks components which the cells of some tiles are made of.

    Raises:
        ConfigError: If it does.
    """
    for cell in {tile.cell for tile in tiles}:
        costs = cell.costs
        for name in (*costs.read, *costs.pulse, *costs.parts):
            if name not in table.components:
                known = ", ".join(table.components)
                raise ConfigError(
                    f"chip.table must have {name}, a component of cells {cell.kind}, got {known}"
                )


def load_table(source: str) -> ComponentTable:
    """A shipped table by name, or one from a YAML file.

    Raises:
        ConfigError: With one line that names the field, the rule and the value.
    """
    try:
        return ComponentTable.model_validate(_read(source))
    except ValidationError as error:
        raise ConfigError(f"{source}: {sentence(error, ComponentTable)}") from None


def _read(source: str) -> dict[str, object]:
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
    path = shipped.get(source, Path(source))
    if not path.is_file():
        hint = nearest(source, shipped)
        names = ", ".join(shipped)
        raise ConfigError(
            f"chip.table must be a file or a shipped name ({names}), got {source}{hint}"
        )
    tree = read_mapping(path)
    base = tree.pop("extends", None)
    own = tree.get("components")
    if not isinstance(base, str) or not isinstance(own, dict):
        return tree
    below = _read(base)["components"]
    assert isinstance(below, dict)
    return {"components": {**below, **own}}

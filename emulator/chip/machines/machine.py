"""Published machines described by their components, and our prices beside their figures."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import Field

from crossmesh.common.bounded_yaml import read_mapping
from crossmesh.common.frozen import Frozen, FrozenDict, Keyed
from crossmesh.emulator.chip.machines.kinds import AnyPart
from crossmesh.emulator.chip.machines.parts import Figure, MachinePart, figure_of

FOLDER = Path(__file__).parent / "descriptions"
COMPONENT_FACTOR, TOTAL_FACTOR = 1.5, 1.3


class Total(Frozen):
    """A published total: ``power_mw``, ``operation_nj`` or ``area_mm2`` of the whole machine.

    Attributes:
        published: Value that was published.
        is_whole: Whether it is held against all parts together, since theirs are not published;
            otherwise the sum of published parts that we can price is held against ours.
        reason: Why the ratio lies outside the bounds.
    """

    published: float = Field(gt=0)
    is_whole: bool = False
    reason: str = ""


class PublishedMachine(Frozen):
    """A published machine.

    Attributes:
        name: Name of the machine in its publications.
        source: Publications of the description.
        node_nm: Process node.
        operation: What its events are counted in, in words.
        seconds: Time of that operation.
        converter: Why this model of a converter, by what the authors say of theirs.
        parts: Components of the machine, by name.
        totals: Published totals, by figure.
    """

    name: str
    source: str
    node_nm: float
    operation: str
    seconds: float = Field(gt=0)
    converter: str
    parts: Keyed[str, AnyPart]
    totals: Keyed[Figure, Total] = FrozenDict()

    def published_total(self, figure: Figure) -> float:
        """The sum of what is published of the parts."""
        return sum(_published(part, figure) or 0.0 for part in self.parts.values())


@dataclass(frozen=True, kw_only=True)
class MachineFigure:
    """A figure of a machine: theirs, and ours by the prices of our chips.

    Attributes:
        machine: Name of the machine.
        part: Name of the component, or ``total`` and what it covers.
        figure: Which figure.
        published: Theirs.
        ours: Ours, or None if the sources do not determine the component.
        is_total: Whether it is a total.
        is_same_source: Whether our function took its figures from this machine.
        remark: Why it lies outside the bounds, or what is missing.
        beyond: What lies beyond the range of our sources.
    """

    machine: str
    part: str
    figure: Figure
    published: float
    ours: float | None
    is_total: bool = False
    is_same_source: bool = False
    remark: str = ""
    beyond: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over theirs."""
        return None if self.ours is None else self.ours / self.published

    @property
    def is_inside(self) -> bool:
        """Whether it is determined and within a factor 1.5, or 1.3 of a total."""
        bound = TOTAL_FACTOR if self.is_total else COMPONENT_FACTOR
        return self.ratio is not None and 1 / bound <= self.ratio <= bound


@cache
def machines() -> dict[str, PublishedMachine]:
    """All that are described, by the names of their files."""
    return {
        path.stem: PublishedMachine.model_validate(read_mapping(path))
        for path in sorted(FOLDER.glob("*.yaml"))
    }


def figures(machine: PublishedMachine) -> Iterator[MachineFigure]:
    """Every published figure of a machine beside ours, totals last."""
    for name, part in machine.parts.items():
        price = part.price(machine.node_nm)
        for figure, published in part.published.items():
            yield MachineFigure(
                machine=machine.name,
                part=name,
                figure=figure,
                published=published,
                ours=_ours(part, figure, machine),
                is_same_source=figure in part.same_source,
                remark=part.missing(figure) or part.reasons.get(figure, ""),
                beyond="" if price is None else price.beyond,
            )
    for figure, total in machine.totals.items():
        yield _total(machine, figure, total)


def _total(machine: PublishedMachine, figure: Figure, total: Total) -> MachineFigure:
    theirs = {name: _published(part, figure) for name, part in machine.parts.items()}
    known = {
        name: ours
        for name, part in machine.parts.items()
        if (total.is_whole or theirs[name] is not None)
        and (ours := _ours(part, figure, machine, of_all=True)) is not None
    }
    published = total.published if total.is_whole else sum(theirs[name] or 0.0 for name in known)
    covers = "all" if total.is_whole else f"{100 * published / total.published:.0f} %"
    return MachineFigure(
        machine=machine.name,
        part=f"total, {covers} of {total.published:,.4g}",
        figure=figure,
        published=published,
        ours=sum(known.values()),
        is_total=True,
        remark=total.reason,
    )


def _published(part: MachinePart, figure: Figure) -> float | None:
    """What all parts of a kind add to a total as published, or None if it is not."""
    of = part.published
    each: dict[Figure, tuple[Figure, float]] = {
        "area_mm2": ("area_um2", 1e-6),
        "power_mw": ("power_mw", 1.0),
        "operation_nj": ("energy_pj", 1e-3 * part.events),
    }
    if figure in of and figure != "power_mw":
        return of[figure]
    one, share = each[figure]
    return part.count * share * of[one] if one in of else None


def _ours(
    part: MachinePart, figure: Figure, machine: PublishedMachine, *, of_all: bool = False
) -> float | None:
    """Our figure of a part, or of all of its kind, or None if it is not determined."""
    price = part.price(machine.node_nm)
    if price is None or part.missing(figure):
        return None
    number = part.count if of_all and figure == "power_mw" else 1.0
    return number * figure_of(figure, part, price, machine.seconds)

"""What the tasks of a pipeline are, as reports and pictures name them."""

from dataclasses import dataclass

from crossmesh.emulator.chip.line_work import TileResource
from crossmesh.interconnect.noc.flow import Task

TRANSFER = "transfer"  # kind of the tasks between the arrays of a tile
TARGET = "target"  # kind of the tasks and messages that bring targets to the loss
ROUTER_ADD = "router add"  # kind of the tasks of adders in routers
STEP = "step"  # kind of the tasks that change digital parameters by an optimiser


@dataclass(frozen=True, slots=True)
class Step:
    """Description of a task of the flow, for reports.

    Attributes:
        kind: Kind of operation.
        tile: By which tile,
        part: and which resource of it; None: the adders of its router.
        node: For which layer.
    """

    kind: str
    tile: int
    part: TileResource | None
    node: str


def purpose(task: Task, step: Step) -> str:
    """The color group of a task in plots: its phase, or a transfer."""
    return TRANSFER if step.kind == TRANSFER else task.phase.name.lower()

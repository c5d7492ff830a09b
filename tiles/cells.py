"""Unit cells: how devices make one weight. A device alone is the simplest cell."""

from typing import Annotated, Literal

from pydantic import Field

from tiles.devices import ConstantStep, ExpStep, Ideal, JumpTable, LinearStep, SoftBounds
from tiles.frozen import Frozen

PulsedDevice = Annotated[
    ConstantStep | LinearStep | SoftBounds | ExpStep | JumpTable, Field(discriminator="kind")
]


class Pair(Frozen):
    """Two devices in differential: ``w = g_plus - g_minus``.

    Every coincidence moves both, in opposite directions, so a pair moves by twice a device's step
    and its asymmetry cancels on average.

    Attributes:
        device: What both devices are.
    """

    kind: Literal["pair"] = "pair"
    device: PulsedDevice = ConstantStep()


Cell = Annotated[
    Ideal | ConstantStep | LinearStep | SoftBounds | ExpStep | JumpTable | Pair,
    Field(discriminator="kind"),
]

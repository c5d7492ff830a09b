"""Memories that trained weights are programmed to before they are read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crossmesh.common.errors import ConfigError
from crossmesh.common.refusals import nearest
from crossmesh.tiles.analog.programmed import MODELS
from crossmesh.tiles.analog.retention import Aging


@dataclass(frozen=True, kw_only=True)
class Memories:
    """Memories that weights are programmed to before they are read, and when.

    Attributes:
        after_s: Seconds since programming.
        inference: Name of the memories: one of ``crossmesh.tiles.analog.programmed.MODELS``.
        compensated: Whether the loss of each tile as a whole is scaled back.
    """

    after_s: Sequence[float]
    inference: str = "pcm"
    compensated: bool = True

    def __post_init__(self) -> None:
        if self.inference not in MODELS:
            hint = nearest(self.inference, MODELS)
            rule = f"inference must be of {', '.join(MODELS)}"
            raise ConfigError(f"{rule}, got {self.inference}{hint}")

    def __iter__(self) -> Iterator[Aging]:
        for after_s in self.after_s:
            yield Aging(
                model=MODELS[self.inference],
                repetition=0,
                after_s=after_s,
                compensated=self.compensated,
            )

"""Training algorithms: what an update does to the arrays of a tile, by the names of configs."""

from pathlib import Path
from typing import Annotated

from crossmesh.common.registry import Kinds, Registry, kind_of
from crossmesh.tiles.analog.algorithms.base import Algorithm
from crossmesh.tiles.analog.algorithms.buffered import Agad, ChoppedTikiTaka2, TikiTaka2
from crossmesh.tiles.analog.algorithms.hardware_aware import HardwareAware
from crossmesh.tiles.analog.algorithms.mixed_precision import MixedPrecision
from crossmesh.tiles.analog.algorithms.sgd import Sgd
from crossmesh.tiles.analog.algorithms.tiki_taka import TikiTaka

_OWN: tuple[type[Algorithm], ...] = (
    Sgd, MixedPrecision, TikiTaka, TikiTaka2, ChoppedTikiTaka2, Agad, HardwareAware,
)  # fmt: skip


def _check(kind: type[Algorithm]) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Algorithm)):
        raise TypeError("must be a subclass of crossmesh.tiles.analog.algorithms.Algorithm")


ALGORITHMS = Registry("crossmesh.algorithms", {kind_of(cls): cls for cls in _OWN}, _check)
PRESETS = Path(__file__).parent / "shipped"  # an algorithm each
AnyAlgorithm = Annotated[Algorithm, Kinds(Algorithm, ALGORITHMS)]

__all__ = [
    "ALGORITHMS",
    "PRESETS",
    "Agad",
    "Algorithm",
    "AnyAlgorithm",
    "ChoppedTikiTaka2",
    "HardwareAware",
    "MixedPrecision",
    "Sgd",
    "TikiTaka",
    "TikiTaka2",
]

"""Which tiles a host holds."""

from dataclasses import dataclass

from crossmesh.tiles.analog.backends import EMULATION, Backend
from crossmesh.tiles.runtime.program import Program


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Which tiles a host holds and what it does with them.

    Attributes:
        program: The whole program; a host performs what its tiles are named for.
        seed: The run's seed.
        host_of: Host of each tile.
        host: Number of this host.
        backend: Maker of the tiles. What lies in digital units is always emulated.
    """

    program: Program
    seed: int
    host_of: tuple[int, ...]
    host: int
    backend: Backend = EMULATION

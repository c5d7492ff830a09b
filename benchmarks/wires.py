"""Time of wires on one tile, relative to a product of the same size."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure, figure, ratios, take_turns
from crossmesh.tiles.analog.ir_drop import lost_to_first_order
from crossmesh.tiles.analog.nodal import WireNetwork

SIZE = 256  # word lines and bit lines
RESISTANCES = (1e-6, 1e-5, 1e-4)


def wires(rounds: int) -> Iterator[Figure]:
    """The first order of a state, and exact solves of a state, of a vector and as a matrix.

    All are relative to the first order of a state, which does not depend on the resistance.
    """
    rng = np.random.default_rng(0)
    g, x = rng.random((SIZE, SIZE), np.float32), rng.random((1, SIZE), np.float32)
    networks = {r: WireNetwork(g, r) for r in RESISTANCES}
    turns: dict[str, Callable[[], object]] = {
        "first order": lambda: lost_to_first_order(g, RESISTANCES[0]),
        "exact, a state": lambda: WireNetwork(g, RESISTANCES[0]),
        **{f"exact, a vector at {r:g}": _read(network, x) for r, network in networks.items()},
        f"exact, a state as a matrix at {RESISTANCES[0]:g}": networks[RESISTANCES[0]].matrix,
    }
    seconds = take_turns(turns, rounds)
    microseconds = [1e6 * s for s in seconds["first order"]]
    yield figure("wires", "first order, a state", microseconds, "us")
    for name in list(turns)[1:]:
        yield figure(
            "wires", f"{name} / first order", ratios(seconds, name, "first order"), "ratio"
        )


def _read(network: WireNetwork, x: NDArray[np.float32]) -> Callable[[], object]:
    return lambda: network.lost(x)

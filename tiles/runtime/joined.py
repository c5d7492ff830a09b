"""Updates of a matrix that several nodes drive, such as the steps of a recurrent layer.

A tile is pulsed by the vectors of one example after the other, whichever nodes they come from. So
the vectors of a micro-batch wait until the last node has been reached, and neither their order nor
their numbers depend on how examples are batched.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from crossmesh.tiles.runtime.program import Kind, Operation, Program, Span

Array = NDArray[np.float32]
Get = Callable[[int], Array]
Step = Callable[[int, int, Span], None]
Update = Callable[[Array, Array, float, int], None]


class Joined:
    """The vectors that the updates of one tile have brought so far, by micro-batch.

    Args:
        updates: Its updates, in the order of the program.
        vectors: Vectors of an example that all of them bring.
    """

    def __init__(self, updates: Sequence[Operation], vectors: int) -> None:
        self._first, self._last = updates[0], updates[-1]
        self._order = sorted(range(len(updates)), key=lambda k: updates[k].offset)
        self._vectors = vectors
        self._waiting: dict[int, list[list[Array]]] = {}  # of each update, both sides

    def step(self, operation: Operation, sides: Sequence[Get], update: Update) -> Step:
        """What a host does for one of the updates: the last of them pulses the vectors of all.

        Args:
            operation: The update.
            sides: Its values on word lines, and its errors on bit lines, by micro-batch.
            update: The update cycle of the tile.
        """

        def pulse(m: int, first: int, span: Span) -> None:
            if operation is self._first:
                self._waiting[m] = []
            self._waiting[m].append([get(m) for get in sides])
            if operation is self._last:
                start, stop = span.examples(m)
                waiting = self._waiting.pop(m)
                x, d = (
                    _by_example([waiting[k][side] for k in self._order], stop - start)
                    for side in range(2)
                )
                update(x, d, span.rate(m), first * self._vectors)

        return pulse


def _by_example(arrays: Sequence[Array], n: int) -> Array:
    apart = [array.reshape(n, -1, array.shape[1]) for array in arrays]
    joined: Array = np.concatenate(apart, axis=1).reshape(-1, arrays[0].shape[1])
    return joined


def joined_updates(program: Program, operations: Sequence[Operation]) -> dict[int, Joined]:
    """Those of all tiles that several nodes drive, by number.

    Args:
        program: The program.
        operations: Its operations, in the order in which a host performs them.
    """
    updates: dict[int, list[Operation]] = {}
    for operation in operations:
        if operation.kind is Kind.PULSE and operation.node not in program.windows:
            updates.setdefault(operation.tile, []).append(operation)
    return {
        tile: Joined(several, program.vectors[tile])
        for tile, several in updates.items()
        if len(several) > 1
    }

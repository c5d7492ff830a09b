"""Kernels that are compiled and cached before any host needs them: of tiles, functions, windows."""

from collections.abc import Sequence

import numpy as np

from crossmesh.tiles.analog.backends import EMULATION, Backend
from crossmesh.tiles.analog.convolution import Patches
from crossmesh.tiles.digital import EXACT, Call, Digital, Function, Learned
from crossmesh.tiles.runtime.program import Kind, Operation, Program


def warm_up_program(program: Program, backend: Backend = EMULATION) -> None:
    """Run everything that a program's hosts will run once, on little.

    The first time on a machine takes seconds; processes that start later find kernels on disk.

    Args:
        program: The program.
        backend: Maker of its tiles.
    """
    for holder in set(program.holders):
        if holder is Digital.MATRIX:
            EMULATION.warm_up(EXACT)
        elif holder is not Digital.PARAMETERS:
            backend.warm_up(holder)
    heights = {op.gives: op.positions for op in program.operations if op.gives}
    seen: set[type[Function]] = set()
    for operation in program.operations:
        function = program.functions.get(operation.node)
        if operation.kind is Kind.COMPUTE and function and type(function) not in seen:
            seen.add(type(function))
            shapes = [(heights[take.value], take.stop - take.start) for take in operation.takes]
            _run(function, operation, shapes)
    for window in list(program.windows.values())[:1]:
        patches = Patches(window=window, rows=(0, 1), positions=(0, 1))
        x = np.zeros((window.inputs, window.channels), np.float32)
        patches.fold(patches.unroll(x))


def _run(function: Function, operation: Operation, shapes: Sequence[tuple[int, int]]) -> None:
    """Forward and back through a function, and learning, for one example of zeros."""
    parameters = np.zeros(function.shape if isinstance(function, Learned) else (0, 0), np.float32)
    call, x = Call(parameters=parameters), [np.zeros(shape, np.float32) for shape in shapes]
    y = np.zeros((operation.positions, operation.width), np.float32)
    function.forward(x, y, call)
    if function.passes_errors:
        function.backward(y, 0, x, y, call)
    if isinstance(function, Learned):
        function.learn(y, x, call, 0.0)

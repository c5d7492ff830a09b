"""The same network on exact tiles: no devices, no converters, no noise."""

from dataclasses import replace

from crossmesh.emulator.compiler.compile import compile_program
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.compiler.mapping import Weights
from crossmesh.emulator.network.graph import Matrix, Network
from crossmesh.tiles.analog.backends import EMULATED
from crossmesh.tiles.digital import EXACT


def on_exact_tiles(job: Job, weights: Weights) -> Job:
    """A job whose tiles hold any weight and multiply exactly, to be read only.

    Args:
        job: The job; its blocks stay as they are.
        weights: What the tiles and digital memories hold, by matrix or node; what is not given is
            drawn as the job draws it.
    """
    config, network = job.config, job.network
    matrices = {name: _exact(matrix) for name, matrix in network.matrices.items()}
    exact = Network(network.nodes, matrices)
    emulated = config.engine.model_copy(update={"backend": EMULATED})
    return replace(
        job,
        config=config.model_copy(update={"engine": emulated}),
        network=exact,
        program=compile_program(exact, job.program.loss, weights, job.program.outputs),
        given=weights,
    )


def _exact(matrix: Matrix) -> Matrix:
    if matrix.digital:
        return matrix
    size = {"rows": matrix.tile.rows, "cols": matrix.tile.cols, "bias": matrix.tile.bias}
    return replace(matrix, holder=EXACT.model_copy(update=size))

"""Trained weights on their way out: as an ONNX model, and as an archive of NumPy arrays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.compiler.mapping import join
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.onnx_io.weights import published, write_npz
from crossmesh.emulator.onnx_io.writing import write_onnx
from crossmesh.emulator.runs.directory import RunDirectory

Array = NDArray[np.float32]


def held_by(job: Job, executor: LocalExecutor) -> dict[str, Array]:
    """The weights that tiles and digital memories hold, by matrix or node.

    Of copies of a tile the mean counts.
    """
    parts = ((tile.block, tile.weights) for tile in executor.host.tiles.values())
    return join(parts, job.network.matrices)


def held_weights(job: Job, executor: LocalExecutor) -> dict[str, Array]:
    """The same by their published names."""
    return published(job.layers, held_by(job, executor))


def export(
    directory: RunDirectory,
    config: RunConfig,
    *,
    onnx: Path | None = None,
    npz: Path | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Write the network of a run's newest checkpoint to files that other programs read.

    Args:
        directory: The run.
        config: Its config.
        onnx: Path of the ONNX model to write; its output is logits.
        npz: Path of the weights to write.
        warn: Called with a line about each damaged checkpoint.

    Returns:
        ``examples_trained``, ``layers``, ``weights``: how many parameters there are, and the files.
    """
    job = prepare(config)
    executor = LocalExecutor(job)
    try:
        history = directory.restore(job, executor, warn)
        weights = held_weights(job, executor)
    finally:
        executor.close()
    if npz is not None:
        write_npz(npz, weights)
    if onnx is not None:
        write_onnx(
            job.layers, weights, job.example_shape, onnx, job.tokens,
            channels_first=job.channels_first, arrangement=job.arrangement,
            inputs=job.inputs,
        )  # fmt: skip
    return {
        "examples_trained": history.examples,
        "layers": len(job.layers),
        "weights": sum(array.size for array in weights.values()),
        "onnx": str(onnx) if onnx else None,
        "npz": str(npz) if npz else None,
    }

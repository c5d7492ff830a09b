"""Data of the benchmarks: MNIST if it is installed, else random data as sparse as its images."""

from pathlib import Path

import numpy as np

from crossmesh.common.errors import DataError
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.data import load

WIDTH = 528  # pixels of the cropped images
DRIVEN = 0.28  # share of them that is not black, over the first 5,000 images
N = 10_240


def mnist_or_stand_in(directory: Path | None, scratch: Path) -> tuple[list[str], str]:
    """Overrides of ``mnist-constant-step`` that choose the examples, and what they are in words.

    Args:
        directory: Folder with the files of MNIST, or None to look where ``crossmesh`` does.
        scratch: Folder for a stand-in.

    Raises:
        DataError: If a folder is given and holds no MNIST.
    """
    overrides = [] if directory is None else [f"data.directory={directory}"]
    try:
        load(load_config("mnist-constant-step", overrides).data)
    except DataError:
        if directory is not None:
            raise
        path = scratch / "stand-in.npz"
        _write(path)
        return (
            ["data.source=npz", "data.crop=null", f"data.file={path}"],
            "numbers as sparse as MNIST, which is not here (make bench DATA=folder)",
        )
    return overrides, "MNIST"


def _write(path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = (N, WIDTH)
    x = rng.random(shape, np.float32) * (rng.random(shape) < DRIVEN)
    y = rng.integers(0, 10, N, np.int32)
    np.savez(path, x_train=x, y_train=y, x_test=x[:10], y_test=np.arange(10, dtype=np.int32))

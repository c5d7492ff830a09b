"""Points on rings, one ring for each class."""

import numpy as np

from crossmesh.kinds import DataConfig, Dataset, Examples


def rings(config: DataConfig) -> Dataset:
    """Points ``(x, y)`` near circles around the origin, their spread being ``options.noise``."""
    noise = float((config.options or {}).get("noise", 0.1))
    return Dataset(
        name="rings",
        train=_points(0, config.examples, config.classes, noise),
        test=_points(1, config.test_examples, config.classes, noise),
        shape=(2,),
        n_outputs=config.classes,
    )


def _points(key: int, n: int, classes: int, noise: float) -> Examples:
    labels = np.arange(n, dtype=np.int32) % classes
    rng = np.random.default_rng(key)
    angles, radii = rng.uniform(0, 2 * np.pi, n), rng.normal((labels + 1) / classes, noise)
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return Examples(points.astype(np.float32), labels)

"""Handwritten digits of 8 x 8 pixels, shipped with the package (see README.md)."""

from pathlib import Path

import numpy as np

from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.errors import Place
from crossmesh.emulator.data.examples import Dataset
from crossmesh.emulator.data.raw import Raw, assemble
from crossmesh.emulator.data.stored import in_memory

FILE = Path(__file__).with_name("digits.npz")
INK_SCALE = 16.0


def load_digits(config: DataConfig) -> Dataset:
    """1,797 images; the test set is the same for every seed."""
    with np.load(FILE, allow_pickle=False) as arrays:
        place = Place("data.source", FILE.name)
        raw = Raw(
            x=in_memory(arrays["images"]),
            y=in_memory(arrays["labels"]),
            x_place=place,
            y_place=place,
            full_scale=INK_SCALE,
        )
    return assemble("digits", config, raw, None)

"""Fixtures of several test files of this folder."""

from tests.emulator.data_material import dataset as dataset
from tests.emulator.data_material import secluded as secluded
from tests.emulator.fit_material import data as data

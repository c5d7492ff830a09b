"""Fixtures of several test files of this folder."""

from tests.emulator.characterisation.fit_material import data as data
from tests.emulator.data.data_material import dataset as dataset
from tests.emulator.data.data_material import secluded as secluded

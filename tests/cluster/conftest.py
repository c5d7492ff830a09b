"""Fixtures of several test files of this folder."""

from tests.cluster.launch.launch_material import generate as generate
from tests.cluster.launch.launch_material import stand_ins as stand_ins
from tests.cluster.launch.slurm_jobs import blocker as blocker
from tests.cluster.launch.slurm_jobs import launch as launch
from tests.cluster.launch.slurm_jobs import slurm as slurm

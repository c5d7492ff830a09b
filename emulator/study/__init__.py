"""Studies: configs and seeds trained side by side, and compared in a table and plots."""

from crossmesh.emulator.study.config import Study, load_study
from crossmesh.emulator.study.study import run_study

__all__ = ["Study", "load_study", "run_study"]

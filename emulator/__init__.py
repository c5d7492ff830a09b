"""What is run: configs, networks, mapping, programs, executors, training, and the command line."""

from emulator.config import RunConfig
from emulator.loading import load_config
from emulator.training import RunResult, train

__all__ = ["RunConfig", "RunResult", "load_config", "train"]

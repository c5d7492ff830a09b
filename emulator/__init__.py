"""What is run: configs, networks, mapping, programs, executors, training, and the command line.

Names are imported when they are first used, so that the command can look after signals before
anything slow is loaded.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.aging import age as age
    from emulator.config import RunConfig as RunConfig
    from emulator.errors import ConfigError as ConfigError
    from emulator.errors import RunError as RunError
    from emulator.exchange.torch_path import from_torch as from_torch
    from emulator.exporting import export as export
    from emulator.loading import load_config as load_config
    from emulator.result import RunResult as RunResult
    from emulator.rundir import RunDirectory as RunDirectory
    from emulator.study import Study as Study
    from emulator.study import load_study as load_study
    from emulator.study import run_study as run_study
    from emulator.training import evaluate as evaluate
    from emulator.training import train as train

_MODULES = {
    "ConfigError": "errors",
    "RunConfig": "config",
    "RunDirectory": "rundir",
    "RunError": "errors",
    "RunResult": "result",
    "Study": "study",
    "age": "aging",
    "evaluate": "training",
    "export": "exporting",
    "from_torch": "exchange.torch_path",
    "load_config": "loading",
    "load_study": "study",
    "run_study": "study",
    "train": "training",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)

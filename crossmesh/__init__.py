"""crossmesh: analog crossbar accelerators that train neural networks, emulated on Ray.

    config = crossmesh.load_config("digits", ["engine.kind=local"])
    result = crossmesh.train(config, "runs/mine")

Runs
    load_config, RunConfig        a config from YAML or a shipped name, with overrides
    train, evaluate, age          train a network on tiles, test it again, test it as memories age
    calibrate                     scales and ranges of the tiles for given weights
    RunResult, RunDirectory       the result of a run, and its directory on disk
    predict, Memories             outputs of a run, a config or an ONNX file for given inputs
    export                        a trained network as ONNX or NumPy arrays
    chip                          time, energy and area of a config's chip, without training

Networks and studies
    from_torch                    a PyTorch model as a network on tiles
    load_study, run_study, Study  configs and seeds side by side

Kinds, by the names that configs use; packages add theirs through entry points
    devices, cells, algorithms, layers, losses, sources, topologies, schedules,
    learning_rates, optimizers, launchers, backends, adcs, dacs, memories
    kinds                         base classes for kinds of your own
    testing                       suites that a kind of another package must pass

Errors
    ConfigError, DataError        a config or data are wrong: one line that says what
    RunError                      a run failed

Names are imported when they are first used, so that this module takes no time to load.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossmesh import kinds, testing
    from crossmesh.cluster.launch.kinds import LAUNCHERS as launchers
    from crossmesh.common.errors import ConfigError, DataError, RunError
    from crossmesh.emulator.chip.report import chip_report as chip
    from crossmesh.emulator.config.layers import LAYERS as layers
    from crossmesh.emulator.config.loading import load_config
    from crossmesh.emulator.config.rates import RATES as learning_rates
    from crossmesh.emulator.config.run import RunConfig
    from crossmesh.emulator.data import SOURCES as sources
    from crossmesh.emulator.onnx_io.torch_path import from_torch
    from crossmesh.emulator.runs.directory import RunDirectory
    from crossmesh.emulator.runs.result import RunResult
    from crossmesh.emulator.study import Study, load_study, run_study
    from crossmesh.emulator.training.calibration.calibrate import calibrate
    from crossmesh.emulator.training.export import export
    from crossmesh.emulator.training.predicting import Memories, predict
    from crossmesh.emulator.training.retention import age
    from crossmesh.emulator.training.training import evaluate, train
    from crossmesh.interconnect.noc import TOPOLOGIES as topologies
    from crossmesh.interconnect.schedule import SCHEDULES as schedules
    from crossmesh.tiles.analog.algorithms import ALGORITHMS as algorithms
    from crossmesh.tiles.analog.backends import BACKENDS as backends
    from crossmesh.tiles.analog.cells import CELLS as cells
    from crossmesh.tiles.analog.devices import DEVICES as devices
    from crossmesh.tiles.circuits import ADCS as adcs
    from crossmesh.tiles.circuits import DACS as dacs
    from crossmesh.tiles.circuits import MEMORIES as memories
    from crossmesh.tiles.digital import LOSSES as losses
    from crossmesh.tiles.digital import OPTIMIZERS as optimizers

# Where each name is, and what it is called there if otherwise.
_WHERE = {
    "ConfigError": "common.errors",
    "DataError": "common.errors",
    "Memories": "emulator.training.predicting",
    "RunConfig": "emulator.config.run",
    "RunDirectory": "emulator.runs.directory",
    "RunError": "common.errors",
    "RunResult": "emulator.runs.result",
    "Study": "emulator.study",
    "adcs": "tiles.circuits:ADCS",
    "age": "emulator.training.retention",
    "algorithms": "tiles.analog.algorithms:ALGORITHMS",
    "backends": "tiles.analog.backends:BACKENDS",
    "calibrate": "emulator.training.calibration.calibrate",
    "cells": "tiles.analog.cells:CELLS",
    "chip": "emulator.chip.report:chip_report",
    "dacs": "tiles.circuits:DACS",
    "devices": "tiles.analog.devices:DEVICES",
    "evaluate": "emulator.training.training",
    "export": "emulator.training.export",
    "from_torch": "emulator.onnx_io.torch_path",
    "launchers": "cluster.launch.kinds:LAUNCHERS",
    "layers": "emulator.config.layers:LAYERS",
    "learning_rates": "emulator.config.rates:RATES",
    "load_config": "emulator.config.loading",
    "load_study": "emulator.study",
    "losses": "tiles.digital:LOSSES",
    "memories": "tiles.circuits:MEMORIES",
    "optimizers": "tiles.digital:OPTIMIZERS",
    "predict": "emulator.training.predicting",
    "run_study": "emulator.study",
    "schedules": "interconnect.schedule:SCHEDULES",
    "sources": "emulator.data:SOURCES",
    "topologies": "interconnect.noc:TOPOLOGIES",
    "train": "emulator.training.training",
}
__all__ = [
    "ConfigError",
    "DataError",
    "Memories",
    "RunConfig",
    "RunDirectory",
    "RunError",
    "RunResult",
    "Study",
    "adcs",
    "age",
    "algorithms",
    "backends",
    "calibrate",
    "cells",
    "chip",
    "dacs",
    "devices",
    "evaluate",
    "export",
    "from_torch",
    "kinds",
    "launchers",
    "layers",
    "learning_rates",
    "load_config",
    "load_study",
    "losses",
    "memories",
    "optimizers",
    "predict",
    "run_study",
    "schedules",
    "sources",
    "testing",
    "topologies",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in {"kinds", "testing"}:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    module, _, there = _WHERE[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), there or name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

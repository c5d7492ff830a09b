"""crossmesh: analog crossbar accelerators that train neural networks, emulated on Ray.

    config = crossmesh.load_config("digits", engine={"kind": "local"}, training={"epochs": 3})
    result = crossmesh.train(config)
    result.plot()

Runs
    load_config, RunConfig        a config from YAML or a shipped name, with overrides
    train, resume                 train a network on tiles, on data sets or on arrays in memory
    callbacks                     what is done meanwhile: early stopping, loggers, your own
    Result, RunDirectory          the result of a run, and its directory on disk
    evaluate, age                 test a network again, test it as memories age
    calibrate                     scales and ranges of the tiles for given weights
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
    CallbackError                 a callback failed: the run has stopped, and its result is kept

Names are imported when they are first used, so that this module takes no time to load.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossmesh import callbacks, kinds, testing
    from crossmesh.cluster.launch.kinds import LAUNCHERS as launchers
    from crossmesh.common.errors import CallbackError, ConfigError, DataError, RunError
    from crossmesh.emulator.chip.report import chip_report as chip
    from crossmesh.emulator.config.layers import LAYERS as layers
    from crossmesh.emulator.config.loading import load_config
    from crossmesh.emulator.config.rates import RATES as learning_rates
    from crossmesh.emulator.config.run import RunConfig
    from crossmesh.emulator.data import SOURCES as sources
    from crossmesh.emulator.onnx_io.torch_path import from_torch
    from crossmesh.emulator.runs.directory import RunDirectory
    from crossmesh.emulator.study import Study, load_study, run_study
    from crossmesh.emulator.training.calibration.calibrate import calibrate
    from crossmesh.emulator.training.export import export
    from crossmesh.emulator.training.memories import Memories
    from crossmesh.emulator.training.predicting import predict
    from crossmesh.emulator.training.python import resume, train
    from crossmesh.emulator.training.result import Result
    from crossmesh.emulator.training.retention import age
    from crossmesh.emulator.training.training import evaluate
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
    "CallbackError": "common.errors",
    "ConfigError": "common.errors",
    "DataError": "common.errors",
    "Memories": "emulator.training.memories",
    "Result": "emulator.training.result",
    "RunConfig": "emulator.config.run",
    "RunDirectory": "emulator.runs.directory",
    "RunError": "common.errors",
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
    "resume": "emulator.training.python",
    "run_study": "emulator.study",
    "schedules": "interconnect.schedule:SCHEDULES",
    "sources": "emulator.data:SOURCES",
    "topologies": "interconnect.noc:TOPOLOGIES",
    "train": "emulator.training.python",
}
__all__ = [
    "CallbackError",
    "ConfigError",
    "DataError",
    "Memories",
    "Result",
    "RunConfig",
    "RunDirectory",
    "RunError",
    "Study",
    "adcs",
    "age",
    "algorithms",
    "backends",
    "calibrate",
    "callbacks",
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
    "resume",
    "run_study",
    "schedules",
    "sources",
    "testing",
    "topologies",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in {"callbacks", "kinds", "testing"}:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    module, _, there = _WHERE[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), there or name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

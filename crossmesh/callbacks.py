"""What is called while a network trains.

    from crossmesh.callbacks import BestCheckpoint, EarlyStopping
    crossmesh.train("digits", callbacks=[EarlyStopping(patience=3), BestCheckpoint()])

Callback          base class of your own: ``on_start``, ``on_row``, ``on_epoch``, ``on_end``
TrainingRun       what they get: the metrics so far, ``stop()``, ``save(name)``, ``note(text)``
MetricsRow        a row of the metrics
EarlyStopping     stops a run that has ceased to improve
BestCheckpoint    keeps the checkpoint of the best epoch
CsvLogger, TensorBoardLogger, MLflowLogger, WandbLogger
                  write the metrics for other programs; as ``crossmesh train --log csv,mlflow``
"""

from crossmesh.emulator.callbacks.callback import Callback, TrainingRun
from crossmesh.emulator.callbacks.loggers import (
    CsvLogger,
    MLflowLogger,
    TensorBoardLogger,
    WandbLogger,
)
from crossmesh.emulator.callbacks.watching import BestCheckpoint, EarlyStopping
from crossmesh.emulator.runs.history import MetricsRow

__all__ = [
    "BestCheckpoint",
    "Callback",
    "CsvLogger",
    "EarlyStopping",
    "MLflowLogger",
    "MetricsRow",
    "TensorBoardLogger",
    "TrainingRun",
    "WandbLogger",
]

"""When a run stops before its last epoch."""

from typing import Literal

from pydantic import Field

from crossmesh.common.frozen import Frozen

Monitor = Literal[
    "loss", "train_accuracy", "test_loss", "test_accuracy", "validation_loss", "validation_accuracy"
]


class EarlyStop(Frozen):
    """A run stops that has ceased to improve, see ``crossmesh.callbacks.EarlyStopping``.

    Attributes:
        patience: Epochs without improvement after which the run stops.
        monitor: Figure that must improve; by default the accuracy on the examples that
            ``data.validation`` sets aside, otherwise that of the test; of a regression the loss.
        min_delta: Smallest change that counts as an improvement.
    """

    patience: int = Field(3, ge=1)
    monitor: Monitor | None = None
    min_delta: float = Field(0.0, ge=0)

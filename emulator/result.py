"""What a run gives."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from tiles.version import PHYSICS

SCHEMA = 1  # of the summary


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """How the emulation itself ran.

    Attributes:
        engine: ``local`` or ``ray``.
        nodes: Machines that hosted tiles.
        actors: Ray actors that hosted tiles.
        tiles: Number of tiles.
        wall_s: Seconds of training, without tests.
        start_s: Seconds from the call to the first example.
        examples_per_s: Examples per second of training.
        recoveries: Failures survived.
    """

    engine: str
    nodes: int
    actors: int
    tiles: int
    wall_s: float
    start_s: float
    examples_per_s: float
    recoveries: int


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run gives: the fields of ``summary.json``, the tables, and where they lie.

    Attributes:
        schema: Version of the summary.
        name: As in the config.
        seed: As in the config.
        config_digest: sha256 of what decides the result.
        physics: Version of the physics, see ``tiles.version``.
        state_digest: sha256 over every tile's device state in tile order.
        examples_trained: Number of examples, over all epochs.
        epochs: Number of epochs.
        train_loss: Mean loss of the last examples that were trained.
        test_loss: Mean loss of the test set.
        test_accuracy: Share of the test examples that are right; None for a regression.
        baseline_test_accuracy: The same for a digital network, or None.
        baseline_test_loss: Its loss, or None.
        emulation: How the emulation itself ran.
        chip: Emulated time, energy and area of the chip, in SI units but for mm²; None if it could
            not be timed.
        metrics: As ``metrics.parquet``.
        tiles: As ``tiles.parquet``.
        links: As ``links.parquet``; without columns if the chip could not be timed.
        recoveries: As ``recoveries.parquet``.
        path: The run directory, or None if none was asked for.
    """

    schema: int = SCHEMA
    name: str
    seed: int
    config_digest: str
    physics: int = PHYSICS
    state_digest: str
    examples_trained: int
    epochs: int
    train_loss: float
    test_loss: float | None
    test_accuracy: float | None
    baseline_test_accuracy: float | None
    baseline_test_loss: float | None
    emulation: Emulation
    chip: Mapping[str, Any] | None
    metrics: pa.Table
    tiles: pa.Table
    links: pa.Table
    recoveries: pa.Table
    path: Path | None

    @property
    def summary(self) -> dict[str, Any]:
        """As ``summary.json``."""
        beside = {"metrics", "tiles", "links", "recoveries", "path"}
        summary = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in beside}
        chip = None if self.chip is None else dict(self.chip)
        return {**summary, "emulation": asdict(self.emulation), "chip": chip}

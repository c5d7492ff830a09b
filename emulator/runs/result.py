"""Result of a training run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossmesh.common.version import PHYSICS

SCHEMA = 1  # of the summary


@dataclass(frozen=True, kw_only=True)
class Emulation:
    """Figures of the emulation itself.

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


@dataclass(frozen=True, kw_only=True, repr=False)
class RunResult:
    """Result of a training run: the fields of ``summary.json``, the tables, and where they lie.

    Attributes:
        schema: Version of the summary.
        name: Name in the config.
        seed: Seed in the config.
        config_digest: sha256 of what decides the result.
        physics: Version of the physics, see ``crossmesh.common.version``.
        state_digest: sha256 over every tile's device state in tile order.
        examples_trained: Number of examples, over all epochs.
        epochs: Number of epochs.
        train_loss: Mean loss of the last examples that were trained.
        test_loss: Mean loss of the test set.
        test_accuracy: Share of the test examples that are right; None for a regression.
        baseline_test_accuracy: Test accuracy of the float32 network, or None.
        baseline_test_loss: Its loss, or None.
        emulation: Figures of the emulation itself.
        chip: Emulated time, energy and area of the chip, in SI units but for mm²; None if it could
            not be timed.
        pulses: Pulses since the first weights were written, over all tiles, by array; those of each
            tile are in ``arrays``.
        metrics: Table of ``metrics.parquet``.
        tiles: Table of ``tiles.parquet``.
        arrays: Table of ``arrays.parquet``: how often each array of a tile has been used.
        links: Table of ``links.parquet``; without columns if the chip could not be timed.
        recoveries: Table of ``recoveries.parquet``.
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
    pulses: Mapping[str, int]
    metrics: pa.Table
    tiles: pa.Table
    arrays: pa.Table
    links: pa.Table
    recoveries: pa.Table
    path: Path | None

    def __repr__(self) -> str:
        """The figures that one asks for first, a line each."""
        shown = {
            "test accuracy": _percent(self.test_accuracy),
            "test loss": _figure(self.test_loss),
            "float twin's accuracy": _percent(self.baseline_test_accuracy),
            "training loss": _figure(self.train_loss),
            "trained": f"{self.examples_trained:,} examples",
            "emulated at": f"{self.emulation.examples_per_s:,.1f} examples/s",
            "chip": self.chip and _chip_text(self.chip),
            "pulses": self.pulses_text,
            "state digest": self.state_digest[:16],
            "path": self.path and str(self.path),
        }
        lines = (f"  {name}: {text}" for name, text in shown.items() if text)
        return "\n".join([f"RunResult {self.name}, seed {self.seed}", *lines])

    @property
    def pulses_text(self) -> str:
        """Pulses of each array in words; none where none was sent."""
        sent = ((name, n) for name, n in self.pulses.items() if any(self.pulses.values()))
        return ", ".join(f"{n:,} on {name}" for name, n in sent)

    @property
    def summary(self) -> dict[str, Any]:
        """The contents of ``summary.json``."""
        beside = {"metrics", "tiles", "arrays", "links", "recoveries", "path"}
        summary = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in beside}
        chip = None if self.chip is None else dict(self.chip)
        pulses = dict(self.pulses)
        return {**summary, "emulation": asdict(self.emulation), "chip": chip, "pulses": pulses}


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.2f} %"


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _chip_text(chip: Mapping[str, Any]) -> str:
    seconds, joules = chip["interval_s"], chip["energy_j_per_example"]
    return f"{seconds:.4g} s and {joules:.4g} J per example"

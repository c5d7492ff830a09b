"""Result of a training run."""

import html
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from crossmesh.common.errors import ConfigError
from crossmesh.common.picture_files import check_picture
from crossmesh.common.version import PHYSICS
from crossmesh.emulator.compiler.inputs import Given
from crossmesh.emulator.runs.directory import RunDirectory
from crossmesh.emulator.runs.history import MetricsRow, compared_by
from crossmesh.emulator.training.outputs import Prediction
from crossmesh.emulator.training.predicting import predict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 1  # of the summary
# Files of the tables that are not called as they are.
_FILES = {"history": "metrics"}
_TABLES = ("history", "baseline", "tiles", "arrays", "links", "recoveries")


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
        on_boards: Tiles with devices on boards, on which the bits of the result depend.
    """

    engine: str
    nodes: int
    actors: int
    tiles: int
    wall_s: float
    start_s: float
    examples_per_s: float
    recoveries: int
    on_boards: int = 0


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
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
        validation_loss: Mean loss of the examples that ``data.validation`` sets aside, or None.
        validation_accuracy: Share of them that are right, or None.
        emulation: Figures of the emulation itself.
        chip: Emulated time, energy and area of the chip, in SI units but for mm²; None if it could
            not be timed.
        remarks: What a user should know of the result, such as an analog training that failed
            beside a twin that learnt, with its likely causes.
        pulses: Pulses since the first weights were written, over all tiles, by array; those of each
            tile are in ``arrays``.
        stopped: Why the run stopped before its last epoch; None: it did not.
        history: Table of ``metrics.parquet``, a row about every tenth of an epoch; the last of an
            epoch has the figures of the test.
        baseline: Table of ``baseline.parquet``, a row per epoch of the float32 twin; without rows
            if there is none.
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
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    emulation: Emulation
    chip: Mapping[str, Any] | None
    remarks: tuple[str, ...] = ()
    pulses: Mapping[str, int]
    stopped: str | None = None
    history: pa.Table
    baseline: pa.Table
    tiles: pa.Table
    arrays: pa.Table
    links: pa.Table
    recoveries: pa.Table
    path: Path | None

    @classmethod
    def read(cls, directory: RunDirectory | Path | str) -> Self:
        """The result that a finished run has left in its directory.

        Raises:
            ConfigError: If there is none.
        """
        path = directory.path if isinstance(directory, RunDirectory) else Path(directory)
        try:
            summary = json.loads((path / "summary.json").read_text("utf-8"))
            files = {name: path / f"{_FILES.get(name, name)}.parquet" for name in _TABLES}
            tables = {
                name: pq.read_table(file) if file.exists() else pa.table({})
                for name, file in files.items()
            }
            emulation = Emulation(**summary.pop("emulation"))
            remarks = tuple(summary.pop("remarks", ()))
            return cls(**summary, **tables, emulation=emulation, remarks=remarks, path=path)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            reason = "it is not finished" if isinstance(error, FileNotFoundError) else error
            raise ConfigError(
                f"directory must be that of a finished run, got {path} ({reason})"
            ) from None

    @property
    def best(self) -> MetricsRow:
        """The epoch with the highest validation accuracy, or test accuracy where there is none.

        Of a regression it is the one with the lowest loss.
        """
        rows = (MetricsRow(**row) for row in self.history.to_pylist())
        tested = [row for row in rows if row.test_loss is not None]
        figure = compared_by(tested[-1])
        sign = -1 if "loss" in figure else 1
        return max(tested, key=lambda row: sign * getattr(row, figure))

    def plot(self, file: Path | str | None = None) -> "Figure":
        """The learning curve: loss and accuracy over epochs, also of the float twin.

        Args:
            file: Where to save it as well: a .png, .svg or .pdf file.

        Returns:
            A figure of Matplotlib, which notebooks show.

        Raises:
            ConfigError: If the file cannot be written.
        """
        if file is not None:
            check_picture(Path(file), "file")
        from crossmesh.common.figures import save  # Matplotlib takes a second to import
        from crossmesh.emulator.runs.curves import learning_curve

        figure = learning_curve(
            self.history,
            twin=self.baseline,
            twin_loss=self.baseline_test_loss,
            twin_accuracy=self.baseline_test_accuracy,
        )
        if file is not None:
            save(figure, Path(file))
        return figure

    def predict(self, inputs: Given, **options: Any) -> Prediction:
        """Outputs of the trained network for given inputs.

        Args:
            inputs: An array ``(examples, ...)``, arrays by name, or a file with them.
            options: As of ``crossmesh.predict``: ``top=3``, ``checkpoint="best"``.

        Raises:
            ConfigError: If the run has no directory.
        """
        if self.path is None:
            raise ConfigError("directory must be given to train for predictions, got none")
        return predict(RunDirectory.existing(self.path), inputs, **options)

    def __repr__(self) -> str:
        """The figures that one asks for first, a line each."""
        lines = (f"  {name}: {text}" for name, text in self._shown.items())
        return "\n".join([f"Result {self.name}, seed {self.seed}", *lines])

    def _repr_html_(self) -> str:
        """The same as a table, for notebooks."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self._shown.items()
        )
        title = html.escape(f"{self.name}, seed {self.seed}")
        return f"<table><caption>{title}</caption>{rows}</table>"

    @property
    def _shown(self) -> dict[str, str]:
        shown = {
            "test accuracy": _percent(self.test_accuracy),
            "test loss": _figure(self.test_loss),
            "validation accuracy": _percent(self.validation_accuracy),
            "float twin's accuracy": _percent(self.baseline_test_accuracy),
            "training loss": _figure(self.train_loss),
            "trained": f"{self.examples_trained:,} examples",
            "stopped": self.stopped,
            "emulated at": f"{self.emulation.examples_per_s:,.1f} examples/s",
            "chip": self.chip and _chip_text(self.chip),
            "pulses": self.pulses_text,
            "state digest": self.state_digest[:16],
            "path": self.path and str(self.path),
        }
        return {name: text for name, text in shown.items() if text}

    @property
    def pulses_text(self) -> str:
        """Pulses of each array in words; none where none was sent."""
        sent = ((name, n) for name, n in self.pulses.items() if any(self.pulses.values()))
        return ", ".join(f"{n:,} on {name}" for name, n in sent)

    @property
    def summary(self) -> dict[str, Any]:
        """The contents of ``summary.json``."""
        beside = {*_TABLES, "path"}
        summary = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in beside}
        chip = None if self.chip is None else dict(self.chip)
        pulses = dict(self.pulses)
        others = {"chip": chip, "remarks": list(self.remarks), "pulses": pulses}
        return {**summary, "emulation": asdict(self.emulation), **others}


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.2f} %"


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _chip_text(chip: Mapping[str, Any]) -> str:
    seconds, joules = chip["interval_s"], chip["energy_j_per_example"]
    return f"{seconds:.4g} s and {joules:.4g} J per example"

"""What a callback is, and the run as it sees it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.runs.history import History, MetricsRow

_NAME = re.compile(r"(?!step-)[a-z][a-z0-9-]{0,63}")


class TrainingRun:
    """A run while it trains.

    Args:
        config: Its config.
        path: Its directory; None: it has none.
        history: What it knows of its past.
        save: Saves a checkpoint under a name.
        note: Shows a line.

    Attributes:
        stopped: Why the run is to stop; None: it goes on.
    """

    def __init__(
        self,
        config: RunConfig,
        path: Path | None,
        history: History,
        *,
        save: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self.config = config
        self.path = path
        self.stopped: str | None = None
        self._history = history
        self._save = save
        self._note = note

    @property
    def rows(self) -> tuple[MetricsRow, ...]:
        """The metrics so far, also those of before a resume."""
        return tuple(self._history.rows)

    @property
    def epochs(self) -> tuple[MetricsRow, ...]:
        """The last row of every finished epoch, which has the figures of the test."""
        return tuple(row for row in self._history.rows if row.test_loss is not None)

    @property
    def examples(self) -> int:
        """Examples trained so far."""
        return self._history.examples

    def stop(self, reason: str = "a callback stopped it") -> None:
        """Stop the run: it saves a checkpoint, tests the network and returns its result.

        A run stops at a row of the metrics; until there is one, it goes on.
        """
        self.stopped = self.stopped or reason

    def save(self, name: str) -> None:
        """Save a checkpoint in place of the one of the same name.

        It is kept beside those that the run resumes from.

        Raises:
            ConfigError: If the run has no directory.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"name must be lower-case letters, digits and hyphens, not step-, got {name!r}"
            )
        if self.path is None:
            raise ConfigError("directory must be given to save checkpoints, got none")
        self._save(name)

    def note(self, text: str) -> None:
        """Show a line beside the progress."""
        self._note(text)


class Callback:
    """Is called while a run trains. Subclasses override what they need.

    An exception in a method stops the run as ``run.stop()`` does; then the result is saved and
    ``CallbackError`` is raised, which holds it. Of a callback that is not ``vital`` an exception is
    shown as a line; the callback is left out from then on, and training goes on.

    Attributes:
        vital: Whether the run stops if the callback fails.
    """

    vital: ClassVar[bool] = True

    def on_start(self, run: TrainingRun) -> None:
        """Training begins, or is resumed. An exception here ends the run at once."""

    def on_row(self, run: TrainingRun, row: MetricsRow) -> None:
        """A row of the metrics is complete: ten in an epoch, see ``training.log_every``."""

    def on_epoch(self, run: TrainingRun, row: MetricsRow) -> None:
        """An epoch is finished, and the network tested; ``row`` is its last."""

    def on_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """The run is finished and saved; ``summary`` is what ``summary.json`` holds."""

    def close(self) -> None:
        """Nothing more is called, also after a failure."""

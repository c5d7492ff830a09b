"""Callbacks of a training run."""

from typing import Protocol

from crossmesh.emulator.runs.history import MetricsRow
from crossmesh.tiles.runtime.measure import Progress


class Callbacks(Protocol):
    """Callbacks of a training run: notes, phases, progress, rows of metrics."""

    def note(self, text: str) -> None:
        """Something that a user should know."""
        ...

    def phase(self, name: str, total: int) -> None:
        """A part of the run begins, of ``total`` examples."""
        ...

    def progress(self, progress: Progress) -> None:
        """How far the part is, and its latest loss and accuracy."""
        ...

    def row(self, row: MetricsRow) -> None:
        """A row of the metrics is complete."""
        ...


class NoCallbacks:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def phase(self, name: str, total: int) -> None:
        """Show nothing."""

    def progress(self, progress: Progress) -> None:
        """Show nothing."""

    def row(self, row: MetricsRow) -> None:
        """Show nothing."""

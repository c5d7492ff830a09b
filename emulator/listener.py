"""Whoever shows how a run goes."""

from typing import Protocol

from emulator.history import MetricsRow
from tiles.measure import Progress


class Listener(Protocol):
    """Whoever shows how a run goes."""

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


class Silence:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def phase(self, name: str, total: int) -> None:
        """Show nothing."""

    def progress(self, progress: Progress) -> None:
        """Show nothing."""

    def row(self, row: MetricsRow) -> None:
        """Show nothing."""

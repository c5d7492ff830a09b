"""Progress of a run in a notebook: one cell output that changes."""

import html
import time
from typing import Any

from crossmesh.emulator.runs.history import MetricsRow
from crossmesh.emulator.runs.wording import epoch_line, learning
from crossmesh.tiles.runtime.measure import Progress

EVERY_S = 0.2
_LINES = 40  # that are shown, the last ones


class NotebookBar:
    """A bar in HTML, with notes and epochs below it. A context manager.

    It needs IPython alone: no widgets, so that it is there in saved notebooks too.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._name, self._total = "", 0
        self._progress = Progress(0)
        self._shown_at = 0.0
        self._output: Any = None

    def __enter__(self) -> "NotebookBar":
        from IPython.display import HTML, display

        self._output = display(HTML(""), display_id=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._name = ""
        self._show()

    def note(self, text: str) -> None:
        """A line below the bar."""
        self._lines.append(text)
        self._show()

    def phase(self, name: str, total: int) -> None:
        """A new bar in place of the old one."""
        self._name, self._total, self._progress = name, total, Progress(0)
        self._show()

    def progress(self, progress: Progress) -> None:
        """Move the bar, a few times in a second."""
        self._progress = progress
        if time.monotonic() >= self._shown_at + EVERY_S:
            self._show()

    def row(self, row: MetricsRow) -> None:
        """A line for every test."""
        if row.test_loss is not None:
            self.note(epoch_line(row))

    def _show(self) -> None:
        from IPython.display import HTML

        self._shown_at = time.monotonic()
        lines = "\n".join(map(html.escape, self._lines[-_LINES:]))
        self._output.update(HTML(f"{self._bar()}<pre>{lines}</pre>"))

    def _bar(self) -> str:
        if not self._name:
            return ""
        done = self._progress.examples
        far = f"{done:,} of {self._total:,}" if self._total else ""
        text = html.escape(", ".join(filter(None, (self._name, far, learning(self._progress)))))
        share = f" value='{done}' max='{self._total}'" if self._total else ""
        return f"<progress{share} style='width:40%'></progress> {text}"

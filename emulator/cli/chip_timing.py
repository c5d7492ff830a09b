"""How far the timing of a chip is, and beforehand how long it takes."""

import time

from rich import progress as rich
from rich.console import Console

from crossmesh.common.durations import duration
from crossmesh.emulator.chip.patience import Placing, announcement
from crossmesh.emulator.config.chip import Chip
from crossmesh.emulator.runs.progress import PLAIN_EVERY_S


class ChipTiming:
    """A bar on a terminal, else a line now and then. A context manager.

    Args:
        chip: The chip that is timed.
        console: Where it is shown.
    """

    def __init__(self, chip: Chip, console: Console) -> None:
        self._chip = chip
        self._console = console
        self._bar = rich.Progress(
            rich.TextColumn("{task.description}"),
            rich.BarColumn(),
            rich.TextColumn("{task.percentage:3.0f} %"),
            rich.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("placing tiles", total=None)
        self._total = -1
        self._started = self._told = time.monotonic()
        self._placing = Placing(self._say)

    def __enter__(self) -> "ChipTiming":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def placing(self, done: int, total: int) -> None:
        """So many moves of tiles are done, of so many."""
        if not self._console.is_terminal:
            self._placing(done, total)
        self._bar.update(self._task, completed=done, total=total)

    def watch(self, done: int, total: int) -> None:
        """So many hops of flits are done, of so many in this run of the search for the interval."""
        now = time.monotonic()
        if not done:
            self._started = self._told = now
            if total != self._total:
                self._begin(total)
        elif now - self._told > PLAIN_EVERY_S and not self._console.is_terminal:
            self._told = now
            left_s = (now - self._started) * (total / done - 1)
            self._say(f"timing the chip: {100 * done / total:.1f} %, {duration(left_s)} left")
        self._bar.update(self._task, completed=done, total=total or None)

    def _begin(self, total: int) -> None:
        self._total = total
        self._bar.reset(self._task, total=total or None, description="timing the chip")
        if (line := announcement(self._chip, total)) is not None:
            self._say(line)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)

"""Calling callbacks: once for every row, and so that no failure of theirs loses a run."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crossmesh.common.errors import ConfigError, HostLost, RunError
from crossmesh.emulator.callbacks.callback import Callback, TrainingRun


class CallbackCalls:
    """Calls the callbacks of one run.

    Args:
        callbacks: The callbacks, in the order in which they are called.
        note: Shows a line.

    Attributes:
        run: The run, once it has begun.
        failure: What a callback raised for which the run stops, and what to say of it.
    """

    def __init__(self, callbacks: Iterable[Callback], note: Callable[[str], None]) -> None:
        self.run: TrainingRun | None = None
        self.failure: tuple[str, Exception] | None = None
        self._callbacks = [*callbacks]
        self._working = [*self._callbacks]  # those that have not failed
        self._note = note
        self._seen = 0  # examples at the last row that was reported

    @property
    def stopped(self) -> str | None:
        """Why the run stops now; None: it goes on."""
        return self.run.stopped if self.run and self.run.rows else None

    def begin(self, run: TrainingRun) -> None:
        """Training begins; what a callback raises is raised, since nothing is lost yet."""
        self.run, self._seen = run, run.examples
        for callback in self._callbacks:
            try:
                callback.on_start(run)
            except ConfigError:
                raise
            except Exception as error:
                if callback.vital:
                    raise
                raise RunError(_said(callback, "on_start", error)) from error

    def report(self) -> None:
        """Report the rows that are new: none twice, if some are trained again after a loss."""
        if self.run is None:
            return
        for row in self.run.rows:
            if row.examples <= self._seen:
                continue
            self._call("on_row", self.run, row)
            if row.test_loss is not None:
                self._call("on_epoch", self.run, row)
            self._seen = row.examples

    def end(self, summary: Mapping[str, Any]) -> None:
        """The run is finished and saved."""
        if self.run is not None:
            self._call("on_end", self.run, summary)

    def close(self) -> None:
        """The run is over, however it ended."""
        self._working = [*self._callbacks]
        self._call("close")

    def _call(self, method: str, *arguments: Any) -> None:
        for callback in [*self._working]:
            try:
                getattr(callback, method)(*arguments)
            except HostLost:  # of a checkpoint: the run recovers, and calls again
                raise
            except Exception as error:
                self._working.remove(callback)
                self._failed(callback, method, error)

    def _failed(self, callback: Callback, method: str, error: Exception) -> None:
        said = _said(callback, method, error)
        if not callback.vital or method == "close":
            self._note(f"{said}; it is called no more, and the run goes on")
            return
        self.failure = self.failure or (said, error)
        if self.run is not None:
            self.run.stop(said)


def _said(callback: Callback, method: str, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"{type(callback).__name__}.{method} raised {type(error).__name__}: {reason}"


def checked(callbacks: Iterable[Callback] | Callback) -> list[Callback]:
    """Callbacks in a list, or a ConfigError that says what is none."""
    every = [callbacks] if isinstance(callbacks, Callback) else [*callbacks]
    for callback in every:
        if not isinstance(callback, Callback):
            hint = f"; did you mean {callback.__name__}()?" if isinstance(callback, type) else ""
            raise ConfigError(
                "callbacks must be objects of subclasses of crossmesh.callbacks.Callback, "
                f"got {callback!r}{hint}"
            )
    return every

"""Calls of actors: waiting for their answers, and what it means if one does not come."""

import math
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from crossmesh.common.errors import ConfigError, HostLost, RunError
from crossmesh.common.storage import NotRead, NotWritten
from crossmesh.common.supervision import interrupts
from crossmesh.common.supervision.reports import RAY_S, renew, within
from crossmesh.emulator.executors.instance import first_line
from crossmesh.interconnect.transport.channels import ChannelLost
from crossmesh.tiles.runtime.tile_file import Damaged

POLL_S = 0.25  # between two looks at signals, failures and progress
GRACE_S = 1.0  # a lost channel is a symptom: so long may its cause take to show


class Failure(Exception):  # noqa: N818  because it names what happened
    """Some of several calls failed.

    Attributes:
        errors: Ray's error of each call that failed, by its place in the list.
    """

    def __init__(self, errors: dict[int, RayError]) -> None:
        super().__init__(errors)
        self.errors = errors

    @property
    def is_symptom(self) -> bool:
        """Whether all of them only say that the other end of a channel is gone."""
        return all(map(_is_symptom, self.errors.values()))

    def reason(self, name: Callable[[int], str]) -> Exception:
        """The first failure, as an error of ours: deaths before the errors they may have caused.

        Args:
            name: Name of the actor behind a call, for errors.
        """
        index = min(self.errors, key=lambda i: _rank(self.errors[i]))
        error = self.errors[index]
        if isinstance(error, RayTaskError):
            cause = error.cause
            if isinstance(cause, Damaged | NotRead | NotWritten):
                return cause
            if isinstance(cause, ChannelLost):
                return HostLost(f"{name(index)}: {cause}")
            return RunError(str(cause or error))
        if "creation task" in str(error):
            return _not_made(name(index), error)
        if isinstance(error, RayActorError):
            return HostLost(f"{name(index)} died: {_death(error)}")
        return HostLost(f"{name(index)} failed: {first_line(error)}")


def answers(
    futures: list[Any],
    timeout_s: float,
    meanwhile: Callable[[], None] = lambda: None,
    patience_s: float = 0.0,
) -> list[Any]:
    """Wait for the answers to calls.

    Args:
        futures: One per call.
        timeout_s: Longest wait.
        meanwhile: Called now and then.
        patience_s: Seconds for which a signal waits for them; infinite: until they are there.

    Returns:
        The answers, in order.

    Raises:
        Failure: If a call fails.
        TimeoutError: If answers are missing in the end.
        Interrupted: If a signal has waited long enough.
    """
    deadline, impatient = time.monotonic() + timeout_s, math.inf
    pending = futures
    with interrupts.deferred(), within(RAY_S, "an answer of Ray"):
        while pending:
            renew()
            done, pending = ray.wait(pending, num_returns=len(pending), timeout=POLL_S)
            if any(failure(future) for future in done):
                interrupts.check()  # what asks for the end may have ended the actors as well
                raise _failed(futures, pending)
            if not pending:
                break
            now = time.monotonic()
            if interrupts.requested():
                impatient = min(impatient, now + patience_s)
                if now >= impatient:
                    interrupts.check()
            if now > deadline:
                raise TimeoutError(f"{len(pending)} of {len(futures)} calls were not answered")
            meanwhile()
    return list(ray.get(futures))


def _failed(futures: list[Any], pending: list[Any]) -> Failure:
    """What failed, after a while in which the cause of it may fail too."""
    if pending:
        ray.wait(pending, num_returns=len(pending), timeout=GRACE_S)
    done, _ = ray.wait(futures, num_returns=len(futures), timeout=0)
    errors = {i: failure(future) for i, future in enumerate(futures) if future in set(done)}
    return Failure({i: error for i, error in errors.items() if error})


def failure(future: Any) -> RayError | None:
    """The error of a finished call; None: it succeeded."""
    try:
        ray.get(future)
    except RayError as error:
        return error
    return None


def _rank(error: RayError) -> int:
    """Deaths first, then what calls say, and last channels, which only say that others died."""
    if not isinstance(error, RayTaskError):
        return 0
    return 2 if _is_symptom(error) else 1


def _not_made(name: str, error: RayError) -> Exception:
    """Why an actor could not be made, which trying again would not change."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "ModuleNotFoundError" in lines[-1]:
        return ConfigError(
            f"crossmesh must be installed on all nodes, got {lines[-1]} for {name}; install it "
            "there, or set engine.code=shipped"
        )
    return RunError(f"{name} could not be created: {lines[-1]}")


def _is_symptom(error: RayError) -> bool:
    """Whether the failure only says that another host has failed."""
    return isinstance(error, RayTaskError) and isinstance(error.cause, ChannelLost)


def _death(error: RayActorError) -> str:
    """The sentence of Ray's message that says why an actor died."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "because" in line or "detail" in line.lower()]
    return (telling or lines or [type(error).__name__])[0].partition(". ")[0]

"""Functions run once each as Ray tasks, wherever the cluster has room for them."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ray
from ray.exceptions import OwnerDiedError, RayError, RayTaskError

from crossmesh.common.errors import ConfigError
from crossmesh.common.supervision import interrupts
from crossmesh.common.supervision.reports import RAY_S, renew, within
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.executors.calls import POLL_S
from crossmesh.emulator.executors.instance import connect, disconnect, first_line
from crossmesh.emulator.executors.nodes import machines
from crossmesh.emulator.executors.placement import Machine

_CANCEL_S = 10.0  # that cancelled tasks may take to remove what they have made
_ONE_WAY = (
    "--address must be that of a cluster whose nodes reach this process, got one whose calls fail; "
    "check the firewall, and that RAY_AUTH_MODE (token or disabled) is the same here and there"
)


class Yielded(NamedTuple):
    """What a task yielded, or that it has ended otherwise than by its last value.

    Attributes:
        key: Key that it was started with.
        value: The value; None if there is none.
        loss: Why its node or process was lost; empty if it was not.
        failure: What its function raised; empty if nothing.
    """

    key: str
    value: Any = None
    loss: str = ""
    failure: str = ""


class NodeTasks:
    """Ray tasks, each with a CPU and memory of its own.

    Args:
        engine: Address of the cluster, and how the code reaches its nodes.
    """

    def __init__(self, engine: Engine) -> None:
        self._is_new = connect(engine, object_store_bytes=0)
        self._running: dict[Any, str] = {}  # key of each task, by the generator of its values

    def machines(self) -> list[Machine]:
        """Nodes that are alive and have CPUs."""
        with interrupts.deferred(), within(RAY_S, "Ray's list of nodes"):
            return machines()

    def start(
        self,
        key: str,
        function: Callable[..., Iterator[Any]],
        arguments: tuple[Any, ...],
        memory_bytes: int,
    ) -> None:
        """Start a task where there is room for it; Ray does not repeat it.

        Args:
            key: Key of the task.
            function: A generator function of an installed module.
            arguments: Its arguments.
            memory_bytes: Memory reserved for it.
        """
        task = ray.remote(function).options(
            num_cpus=1,
            memory=memory_bytes,
            max_retries=0,
            num_returns="streaming",
            scheduling_strategy="SPREAD",
        )
        with interrupts.deferred(), within(RAY_S, "the start of a Ray task"):
            self._running[task.remote(*arguments)] = key

    def yielded(self) -> Iterator[Yielded]:
        """What tasks yielded within a moment.

        Raises:
            ConfigError: If crossmesh cannot be imported on a node, or none reaches this process.
        """
        with interrupts.deferred(), within(RAY_S, "an answer of Ray"):
            waited = list(self._running)
            ready, _ = ray.wait(waited, num_returns=len(waited), timeout=POLL_S)
            interrupts.check()
            renew()
        for values in ready:
            with interrupts.deferred(), within(RAY_S, "a value of a Ray task"):
                found = self._next(values)
            if found is not None:
                yield found

    def _next(self, values: Any) -> Yielded | None:
        """The next that a task yielded; None: there is no more."""
        key = self._running[values]
        try:
            return Yielded(key, ray.get(next(values)))
        except StopIteration:
            del self._running[values]
            return None
        except OwnerDiedError:  # this process owns the value, and lives
            raise ConfigError(_ONE_WAY) from None
        except RayTaskError as error:
            del self._running[values]
            return Yielded(key, failure=_reason(error))
        except RayError as error:
            del self._running[values]
            return Yielded(key, loss=first_line(error).partition(". ")[0])

    def close(self) -> None:
        """Stop what still runs and leave the cluster."""
        with interrupts.deferred(), within(RAY_S, "the end of Ray tasks"):
            self._cancel(force=False)
            deadline = time.monotonic() + _CANCEL_S
            while self._running and time.monotonic() < deadline:
                with contextlib.suppress(ConfigError):
                    list(self.yielded())
            self._cancel(force=True)
            if self._is_new:
                disconnect()

    def _cancel(self, *, force: bool) -> None:
        for values in self._running:
            with contextlib.suppress(RayError):
                ray.cancel(values, force=force)


def _reason(error: RayTaskError) -> str:
    """What a function raised, in a line.

    Raises:
        ConfigError: If it could not be imported.
    """
    lines = [line.strip() for line in str(error).splitlines()]
    if missing := [line for line in lines if line.startswith("ModuleNotFoundError: ")]:
        raise ConfigError(
            f"crossmesh must be installed on all nodes of --address, got {missing[-1]}; install it "
            "there, or set engine.code=shipped"
        )
    return first_line(error.cause or error)

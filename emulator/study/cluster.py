"""Tasks of a study side by side on the nodes of a Ray cluster."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from crossmesh.common.errors import ConfigError, DataError, RunError
from crossmesh.common.free_memory import in_words
from crossmesh.common.version import VERSION
from crossmesh.emulator.compiler.job import prepare, prepare_chip
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.executors.engines import node_tasks
from crossmesh.emulator.executors.remote import TaskHost, TaskResult, do_remotely
from crossmesh.emulator.study.files import writing
from crossmesh.emulator.study.pool import Messages, ProcessTask
from crossmesh.emulator.study.portable import portable, put_in_place
from crossmesh.emulator.training.estimate import estimate

if TYPE_CHECKING:
    from crossmesh.emulator.executors.tasks import NodeTasks

MOST_LOSSES = 5  # after which a task is given up
_LONG_S = 30.0  # that tasks may wait for room before it is said


class TaskCluster:
    """A cluster whose nodes do tasks.

    Args:
        nodes: Its nodes.
        jobs: Most tasks at a time; None: as many as it has CPUs.
    """

    def __init__(self, nodes: "NodeTasks", jobs: int | None) -> None:
        self._nodes, self._jobs = nodes, jobs
        self._waiting: deque[ProcessTask] = deque()
        self._running: dict[str, ProcessTask] = {}
        self._losses: dict[str, int] = {}
        self._waits_since = 0.0  # in monotonic seconds, while all tasks wait for room
        self._memory: dict[tuple[bool, RunConfig], int] = {}
        self._arithmetic: dict[str, str] = {}  # a host of each kind

    def perform(self, tasks: Sequence[ProcessTask]) -> Messages:
        """Do tasks, each a Ray task; those of a lost node are started again.

        Args:
            tasks: Tasks, in order.

        Yields:
            As ``perform`` of the pool.
        """
        self._waiting.extend(tasks)
        while self._waiting or self._running:
            if self._waiting:
                yield from self._start()
            yield from self._remark()
            for key, value, loss, failure in self._nodes.yielded() if self._running else ():
                if (task := self._running.get(key)) is None:
                    continue  # its process was lost after it had reported its result
                if loss:
                    yield from self._lost(task, loss)
                elif failure:
                    del self._running[key]
                    yield task, "error", failure
                else:
                    yield from self._received(task, value)

    def _remark(self) -> Messages:
        """Say, once, that tasks wait because the cluster has no room for any of them."""
        if not self._running or not self._waits_since:
            return
        if time.monotonic() - self._waits_since > _LONG_S:
            self._waits_since = 0.0
            task = next(iter(self._running.values()))
            needed = in_words(self._needed(task))
            yield task, "note", f"waits for a node with a free CPU and {needed} of free memory"

    def _start(self) -> Messages:
        """Start tasks while there is room."""
        machines = self._nodes.machines()
        largest = max((machine.memory_bytes for machine in machines), default=0)
        most = self._jobs or max(1, sum(machine.cpus for machine in machines))
        while self._waiting and len(self._running) < most:
            task = self._waiting.popleft()
            try:
                needed, arguments = self._needed(task), portable(task)
            except (ConfigError, DataError, RunError) as error:  # the other runs continue
                yield task, "error", str(error)
                continue
            if machines and needed > largest:
                there = f"the largest node of the cluster has {in_words(largest)}"
                yield task, "error", f"it needs {in_words(needed)} of memory, and {there}"
                continue
            if not self._running:
                self._waits_since = time.monotonic()
            self._running[task.key] = task
            self._nodes.start(task.key, do_remotely, arguments, memory_bytes=needed)

    def _needed(self, task: ProcessTask) -> int:
        """Bytes of memory for a task, which are the same for all seeds."""
        kind = task.kind == "chip", task.config.model_copy(update={"seed": 0})
        if kind not in self._memory:
            job = prepare_chip(task.config) if task.kind == "chip" else prepare(task.config)
            self._memory[kind] = estimate(job, None).memory_bytes
        return self._memory[kind]

    def _lost(self, task: ProcessTask, loss: str) -> Messages:
        """Start a task again, unless it was lost too often."""
        del self._running[task.key]
        self._losses[task.key] = n_losses = self._losses.get(task.key, 0) + 1
        if n_losses == MOST_LOSSES:
            yield task, "error", f"it was lost {n_losses} times, the last time because {loss}"
        else:
            yield task, "note", f"lost ({loss}); starting it again"
            self._waiting.appendleft(task)

    def _received(self, task: ProcessTask, value: Any) -> Messages:
        if isinstance(value, TaskHost):
            self._waits_since = 0.0
            yield from self._on(task, value)
        elif isinstance(value, TaskResult):
            del self._running[task.key]
            with writing(task.log.parent):
                put_in_place(task, value)
            yield task, *value.end
        else:
            yield task, *value

    def _on(self, task: ProcessTask, host: TaskHost) -> Messages:
        """Refuse a host with another version; tell of one that computes with other last bits."""
        if host.version != VERSION:
            raise ConfigError(
                f"crossmesh must be {VERSION} on all nodes of --address, as here, got "
                f"{host.version} on {host.name}; install it there, or set engine.code=shipped"
            )
        if host.arithmetic not in self._arithmetic:
            self._arithmetic[host.arithmetic] = host.name
            if len(self._arithmetic) == 2:
                kinds = "; ".join(f"{what} on {name}" for what, name in self._arithmetic.items())
                said = "nodes differ in processor or BLAS, so the last bits of results may depend"
                yield task, "note", f"{said} on which node makes which run: {kinds}"


@contextlib.contextmanager
def joined(engine: Engine, jobs: int | None) -> Iterator[TaskCluster]:
    """A cluster that runs already, joined within this."""
    nodes = node_tasks(engine)
    try:
        yield TaskCluster(nodes, jobs)
    finally:
        nodes.close()

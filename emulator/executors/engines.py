"""The executor of each engine, and tasks on the nodes of a cluster."""

from typing import TYPE_CHECKING

from crossmesh.common.supervision import interrupts
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.executors import environment
from crossmesh.emulator.executors.executor import Executor
from crossmesh.tiles.runtime.warm_up import warm_up_program

if TYPE_CHECKING:
    from crossmesh.emulator.executors.tasks import NodeTasks


def create(job: Job) -> Executor:
    """The executor that the job's config asks for; kernels are compiled that it will need."""
    # Imported here, because a local run should not pay for importing Ray.
    if job.config.engine.kind == "local":
        from crossmesh.emulator.executors.local import LocalExecutor

        interrupts.answering(lambda: warm_up_program(job.program, job.backend))
        return LocalExecutor(job)
    environment.prepare(job.config.engine.address)
    from crossmesh.emulator.executors.ray import RayExecutor

    return RayExecutor(job)


def node_tasks(engine: Engine) -> "NodeTasks":
    """Tasks on the nodes of the Ray cluster at an engine's address."""
    environment.prepare(engine.address)
    from crossmesh.emulator.executors.tasks import NodeTasks

    return NodeTasks(engine)

"""The executor of each engine."""

from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors import environment
from crossmesh.emulator.executors.executor import Executor


def create(job: Job) -> Executor:
    """The executor that the job's config asks for."""
    # Imported here, because a local run should not pay for importing Ray.
    if job.config.engine.kind == "local":
        from crossmesh.emulator.executors.local import LocalExecutor

        return LocalExecutor(job)
    environment.prepare(job.config.engine.address)
    from crossmesh.emulator.executors.ray import RayExecutor

    return RayExecutor(job)

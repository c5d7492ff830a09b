"""Measuring: one Ray instance, rounds in which all contestants take turns."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from threadpoolctl import threadpool_limits

from crossmesh.cluster.scaling.doubts import others_busy
from crossmesh.cluster.scaling.measured import Measured
from crossmesh.cluster.scaling.plan import ScalingPlan, check_room, engine
from crossmesh.cluster.scaling.turns import Contestant, Turn, enough, takes
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.executors import environment
from crossmesh.emulator.runs.callbacks import Callbacks
from crossmesh.tiles.runtime.warm_up import warm_up_program

_OBJECT_STORE_BYTES = 512 << 20  # besides the examples, which each executor brings once more


def measure(plan: ScalingPlan, callbacks: Callbacks) -> Measured:
    """Measure throughput for every number of actors of a plan.

    Raises:
        ConfigError: If config, data, tiles and cluster do not fit.
        RunError: If a tile or the cluster fails.
    """
    callbacks.phase("compiling", 0)
    jobs = plan.jobs((0, *plan.actors))
    check_room("--actors", jobs)
    warm_up_program(jobs[0].program, jobs[0].backend)
    contestants = list(_contestants(plan, jobs))
    with threadpool_limits(1), _cluster(plan, jobs[0]) as (cpus, nodes):
        examples = plan.examples or enough(jobs[0])
        for actors in (n for n in plan.actors if n > cpus):
            callbacks.note(
                f"{actors} actors share {cpus} CPUs: not representative of {actors} CPUs, and "
                "excluded from the cost model"
            )
        turns = list(_rounds(contestants, examples, plan.repeats, callbacks))
    return Measured(plan=plan, contestants=contestants, turns=turns, cpus=cpus, nodes=nodes)


def _contestants(plan: ScalingPlan, jobs: dict[int, Job]) -> Iterator[Contestant]:
    yield Contestant(kind="local", actors=0, job=jobs[0])
    for n in plan.actors:
        yield Contestant(kind="ray", actors=n, job=jobs[n])
        if plan.with_independent and n > 1:  # a single one is as good as this process
            yield Contestant(kind="independent", actors=n, job=plan.alone(jobs[n]))


def _rounds(
    contestants: Sequence[Contestant], examples: int, repeats: int, callbacks: Callbacks
) -> Iterator[Turn]:
    for repeat in range(repeats):
        for contestant in contestants:
            callbacks.phase(f"round {repeat + 1} of {repeats}: {contestant.name}", 0)
            busy = others_busy()
            for turn in takes(contestant, examples, repeat):
                yield replace(turn, others_busy=busy)


@contextlib.contextmanager
def _cluster(plan: ScalingPlan, job: Job) -> Iterator[tuple[int, int]]:
    """The Ray instance of all turns: its processors and its machines."""
    place = engine(plan.config.engine, plan.actors[0])
    environment.prepare(place.address)
    # Imported here, because Ray looks at the environment when it is imported.
    from crossmesh.emulator.executors.instance import connect, disconnect
    from crossmesh.emulator.executors.nodes import await_machines

    owns = connect(place, _OBJECT_STORE_BYTES + 4 * job.dataset.n_bytes)
    try:
        machines = await_machines(place.nodes, place.timeout_s)
        yield sum(machine.cpus for machine in machines), len(machines)
    finally:
        if owns:
            disconnect()

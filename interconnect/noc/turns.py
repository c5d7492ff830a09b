"""Order in which resources do their tasks: that of the slots of all stages that they serve."""

from collections.abc import Sequence

from crossmesh.interconnect.schedule import Phase, Schedule


class Turns:
    """The order in which resources serve stages: most serve one, some tasks of several.

    Resources of the same stages have the same *rota*: the slots of these stages in the order of
    the schedule. The kind of a slot is its phase and which of these stages it is of.

    Args:
        stages: Stage of each resource.
        tasks: Resource, phase and stage of each task; None: that of its resource.

    Attributes:
        rota: Number of each resource's rota.
        tasks: Tasks by resource and kind of slot.
        n_kinds: Kinds of slots.
    """

    def __init__(
        self, stages: Sequence[int], tasks: Sequence[tuple[int, Phase, int | None]]
    ) -> None:
        of_task = [stages[i] if stage is None else stage for i, _, stage in tasks]
        self._n_stages = 1 + max(of_task)
        served: list[set[int]] = [set() for _ in stages]
        for (resource, _, _), stage in zip(tasks, of_task, strict=True):
            served[resource].add(stage)
        ranked = [tuple(sorted(each)) for each in served]
        self._rotas = list(dict.fromkeys(ranked))
        number = {each: i for i, each in enumerate(self._rotas)}
        self.rota = [number[each] for each in ranked]
        self.n_kinds = len(Phase) * max(1, max(map(len, ranked)))
        self.tasks: list[list[int]] = [[] for _ in range(self.n_kinds * len(stages))]
        for i, ((resource, phase, _), stage) in enumerate(zip(tasks, of_task, strict=True)):
            kind = phase + len(Phase) * ranked[resource].index(stage)
            self.tasks[resource * self.n_kinds + kind].append(i)

    def slots(self, schedule: Schedule, n_micro_batches: int) -> list[list[tuple[int, int]]]:
        """Kind and micro-batch of every slot of each rota."""
        found: list[list[tuple[int, int]]] = [[] for _ in self._rotas]
        takes_part: list[list[tuple[int, int]]] = [[] for _ in range(self._n_stages)]
        for number, stages in enumerate(self._rotas):
            for i, stage in enumerate(stages):
                takes_part[stage].append((number, len(Phase) * i))
        for slot in schedule.slots(self._n_stages, n_micro_batches):
            for number, first in takes_part[slot.stage]:
                found[number].append((first + slot.phase, slot.micro_batch))
        return found

"""The order of forward, loss, backward and update over the stages of a pipeline."""

from crossmesh.common.registry import Registry
from crossmesh.interconnect.schedule.batches import GPipe, OneForwardOneBackward, Synchronous
from crossmesh.interconnect.schedule.single import Asynchronous, ForwardOnly, Sequential
from crossmesh.interconnect.schedule.slots import Phase, Schedule, Slot

__all__ = [
    "SCHEDULES",
    "Asynchronous",
    "ForwardOnly",
    "GPipe",
    "OneForwardOneBackward",
    "Phase",
    "Schedule",
    "Sequential",
    "Slot",
    "Synchronous",
    "schedule",
]

_OWN: tuple[type[Schedule], ...] = (
    Sequential,
    Synchronous,
    GPipe,
    OneForwardOneBackward,
    Asynchronous,
)
SCHEDULES: Registry[type[Schedule]] = Registry(
    "crossmesh.schedules", {cls.name: cls for cls in _OWN}
)


def schedule(name: str, micro_batches_per_update: int = 1) -> Schedule:
    """The training schedule that a config file names."""
    return SCHEDULES[name].for_batch(micro_batches_per_update)

"""Where the tasks of a study are done: processes of this machine, or nodes of a cluster."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.study.plan import Trial
from crossmesh.emulator.study.pool import Messages, ProcessTask, perform

Perform = Callable[[Sequence[ProcessTask]], Messages]  # does tasks side by side


@contextlib.contextmanager
def performing(
    plan: Sequence[Trial], jobs: int | None, address: str | None, lock: int
) -> Iterator[Perform]:
    """What does the tasks of a study within this.

    Args:
        plan: Its trials.
        jobs: Most tasks at a time; None: one for each CPU, or one if the runs use Ray.
        address: Address of a Ray cluster that does them; None: this machine.
        lock: Descriptor of the lock that processes of this machine hold.

    Raises:
        ConfigError: If the cluster cannot be used.
    """
    on_ray = any(trial.config.engine.kind == "ray" for trial in plan)
    on_boards = _share_boards(plan)
    if on_boards and ((jobs or 1) > 1 or address is not None):
        given = f"--address {address}" if address is not None else f"--jobs {jobs}"
        raise ConfigError(
            f"--jobs must be 1, without --address, where runs share a board, got {given}"
        )
    most = jobs or (1 if on_ray or on_boards else len(os.sched_getaffinity(0)))
    here = partial(perform, jobs=most, kept=lock)
    if address is None:
        yield here
        return
    if on_ray:
        raise ConfigError(
            "--address must be left out for runs that use Ray themselves (engine.kind=ray), "
            f"got {address}; engine.address is theirs"
        )
    from crossmesh.emulator.study.cluster import joined

    is_shipped = any(trial.config.engine.code == "shipped" for trial in plan)
    code: Literal["installed", "shipped"] = "shipped" if is_shipped else "installed"
    with joined(Engine(kind="ray", address=address, code=code), jobs) as cluster:

        def there(tasks: Sequence[ProcessTask]) -> Messages:
            """Chips with the pulses of runs are timed here, where the runs are."""
            reads_runs = any(task.kind == "chip" and task.folder for task in tasks)
            return (here if reads_runs else cluster.perform)(tasks)

        yield there


def _share_boards(plan: Sequence[Trial]) -> bool:
    """Whether two trials use the same board."""
    used = [address for trial in plan for address in _boards(trial.config)]
    return len(used) > len(set(used))


def _boards(config: RunConfig) -> set[str]:
    """Addresses of the boards of a config, but for transcripts."""
    layers = config.network if isinstance(config.network, tuple) else ()
    tiles = [config.tile, *(getattr(layer, "tile", None) for layer in layers)]
    arrays = [tile.array for tile in tiles if tile is not None and tile.array is not None]
    return {array.address for array in arrays if not array.address.startswith("replay:")}

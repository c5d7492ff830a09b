"""Plan of a measurement: actor counts, and how the network grows with them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.engine import Engine
from crossmesh.emulator.config.layer import layer_name
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.config.run import Imported, RunConfig

GROWTH = {
    False: "the same network for every number of actors",
    True: "hidden layers widen with the square root of the number of actors",
}


@dataclass(frozen=True, kw_only=True)
class ScalingPlan:
    """A measurement.

    Attributes:
        config: The run that is trained.
        actors: Numbers of actors, rising.
        is_weak: Whether the network grows with them.
        repeats: Repetitions of each measurement.
        examples: Examples of a repeat; by default as many as take some seconds.
        with_independent: Whether as many independent processes are measured too.
    """

    config: RunConfig
    actors: tuple[int, ...]
    is_weak: bool = False
    repeats: int = 5
    examples: int | None = None
    with_independent: bool = False

    @property
    def growth(self) -> str:
        """How the network grows with the number of actors, in words."""
        return GROWTH[self.is_weak]

    def job(self, actors: int) -> Job:
        """The job for so many actors; 0: for this process, of the smallest size."""
        config = self.config
        if self.is_weak and actors:
            if isinstance(config.network, Imported):
                raise ConfigError("--weak needs a network given as layers, got an ONNX file")
            network = grown(config.network, actors / self.actors[0])
            config = config.model_copy(update={"network": network})
        return prepare(config.model_copy(update={"engine": engine(config.engine, actors)}))

    def alone(self, job: Job) -> Job:
        """A job for a process of its own."""
        config = job.config.model_copy(update={"engine": engine(job.config.engine, 0)})
        return replace(job, config=config)

    def jobs(self, numbers: Iterable[int]) -> dict[int, Job]:
        """A job for every number of actors; where nothing grows, they share all but the engine."""
        first = self.job(0)
        if self.is_weak:
            return {n: self.job(n) if n else first for n in numbers}
        engines = {n: engine(self.config.engine, n) for n in numbers}
        return {
            n: replace(first, config=self.config.model_copy(update={"engine": engines[n]}))
            for n in engines
        }


def engine(base: Engine, actors: int) -> Engine:
    """The engine settings for a number of actors; 0: this process."""
    kind = "ray" if actors else "local"
    changes = {"kind": kind, "tiles_per_actor": "auto", "actors": actors or None}
    return base.model_copy(update=changes)


def counts(text: str, option: str) -> tuple[int, ...]:
    """The numbers of a list such as ``1,2,4``.

    Raises:
        ConfigError: If it is none.

    >>> counts("1,2,4", "--actors")
    (1, 2, 4)
    """
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit()]
    if len(numbers) < len(parts) or numbers != sorted(set(numbers)) or not numbers[0]:
        raise ConfigError(f"{option} must be increasing whole numbers such as 1,2,4, got {text}")
    return tuple(numbers)


def check_room(option: str, jobs: Mapping[int, Job]) -> None:
    """Refuse more actors than there are tiles.

    Args:
        option: Name of the option, for errors.
        jobs: The job of each.
    """
    for actors, job in jobs.items():
        tiles = len(job.program.crossbars)
        if actors > tiles:
            raise ConfigError(
                f"{option} must be at most {tiles}, the number of tiles of {job.config.name}, "
                f"got {actors}"
            )


def grown(layers: Sequence[Layer], factor: float) -> list[Layer]:
    """A network with about ``factor`` times the devices between its hidden layers.

    Every layer that can, as linear ones, but that of the output becomes wider by the square root
    of ``factor``; inputs and outputs stay as they are.

    Raises:
        ConfigError: If there is no hidden layer.
    """
    last = _output(layers)
    scale = math.sqrt(factor)
    wider = [None if i == last else layer.widened(scale) for i, layer in enumerate(layers)]
    if not any(wider):
        raise ConfigError("--weak needs a hidden linear layer to widen, got a network without one")
    return [grown or layer for grown, layer in zip(wider, layers, strict=True)]


def _output(layers: Sequence[Layer]) -> int:
    """Number of the layer whose width is that of the output."""
    names = [layer_name(layer, i) for i, layer in enumerate(layers)]
    at = len(layers) - 1
    while at >= 0 and layers[at].widened(1) is None:
        feeder, *others = layers[at].feeders
        known = feeder in names and not others  # where branches merge, the last one
        at = names.index(feeder or "") if known else at - 1
    return at

"""What is left of the errors after calibration, and from where: by layer and by cause."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from crossmesh.emulator.compiler.compile import compile_program
from crossmesh.emulator.compiler.job import Job
from crossmesh.emulator.training.calibration.fitting import LayerOnTiles
from crossmesh.emulator.training.calibration.mending import Cause, MendedTiles
from crossmesh.emulator.training.calibration.recording import in_this_process

ALL = "all"
_SAME = 1e-9  # of an error: a cause that is not there


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Error of a layer's outputs, and results of the network, with a cause of error mended.

    Attributes:
        errors: Mean square of the outputs' error relative to that of the outputs, by cause; of all
            layers together none.
        results: Test accuracy, or loss where nothing is right or wrong, by cause.
    """

    errors: Mapping[str, float]
    results: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the tiles cost.

    Attributes:
        measure: What results are: ``test_accuracy`` or ``test_loss``.
        test_examples: Examples that they are of.
        exact: Of exact tiles.
        result: Of the tiles as they are.
        layers: By layer: with the tiles of that layer mended.
        network: With all tiles mended.
    """

    measure: str
    test_examples: int
    exact: float
    result: float
    layers: Mapping[str, Cost]
    network: Cost


def costs_of(
    job: Job,
    layers: Sequence[LayerOnTiles],
    test_examples: int,
    watch: Callable[[], None] = lambda: None,
) -> Costs:
    """Test the network of a job with one cause of error mended after the other.

    Args:
        job: The job, with its settings as they were chosen.
        layers: Its layers on tiles.
        test_examples: Test on the first so many examples.
        watch: Called after every test.
    """
    tests, ways = _Tests(job, test_examples, watch), _ways(layers)
    result = tests.result({})
    by_layer = {}
    for layer in layers:
        error = layer.error({})
        errors = {name: layer.error({}, causes) for name, causes in ways.items()}
        results = {
            name: tests.result(dict.fromkeys(layer.tiles, causes))
            if abs(errors[name] - error) > _SAME * error
            else result
            for name, causes in ways.items()
        }
        by_layer[layer.name] = Cost(errors=errors, results=results)
    every = [tile for layer in layers for tile in layer.tiles]
    together = {
        name: tests.result(dict.fromkeys(every, causes))
        if any(cost.results[name] != result or name == ALL for cost in by_layer.values())
        else result
        for name, causes in ways.items()
    }
    return Costs(
        measure="test_accuracy" if job.has_accuracy else "test_loss",
        test_examples=tests.examples,
        exact=together[ALL],
        result=result,
        layers=by_layer,
        network=Cost(errors={}, results=together),
    )


def _ways(layers: Sequence[LayerOnTiles]) -> dict[str, frozenset[Cause]]:
    """What is mended, by its name: each cause that there may be, and all of them."""
    wired = any(layer.config.read.wire_resistance for layer in layers)
    causes = [cause for cause in Cause if wired or cause is not Cause.WIRES]
    return {**{cause.value: frozenset({cause}) for cause in causes}, ALL: frozenset(causes)}


class _Tests:
    """Tests of a job's network on tiles that are mended in several ways."""

    def __init__(self, job: Job, examples: int, watch: Callable[[], None]) -> None:
        self._job, self._watch = job, watch
        self.examples = min(examples, len(job.dataset.test))
        program = job.program
        self._program = compile_program(job.network, program.loss, job.given, program.outputs)

    def result(self, mended: Mapping[int, Collection[Cause]]) -> float:
        """Accuracy or loss with causes mended by the number of the tile."""
        host = in_this_process(self._program, self._job, MendedTiles(mended), "test")
        span = replace(self._job.evaluation(0), n_examples=self.examples, log_every=self.examples)
        row = host.run(span).rows[-1]
        self._watch()
        return row.accuracy if self._job.has_accuracy else row.loss

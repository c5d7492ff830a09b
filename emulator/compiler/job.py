"""A job: a config with its data loaded, its network built and its program compiled."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.class_weights import class_weights
from crossmesh.emulator.compiler.compile import compile_program
from crossmesh.emulator.compiler.feed import ShuffledFeed
from crossmesh.emulator.compiler.fitting import check_examples, taken, task_of
from crossmesh.emulator.compiler.mapping import Weights, initial_weights
from crossmesh.emulator.compiler.optimizing import check_own, rules_of
from crossmesh.emulator.compiler.resolving import ResolvedNetwork, resolve
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.config.rates import EpochLoss, rates_of
from crossmesh.emulator.config.run import Imported, RunConfig
from crossmesh.emulator.data import Dataset, load
from crossmesh.emulator.data.augment import Augmentation, augmentation
from crossmesh.emulator.data.outline import outline
from crossmesh.emulator.network.assembly import Settings
from crossmesh.emulator.network.building import build_network
from crossmesh.emulator.network.graph import INPUT, Network
from crossmesh.emulator.network.targets import as_values, check_targets, has_accuracy
from crossmesh.emulator.onnx_io.arrangement import NamedShape, OutputArrangement
from crossmesh.interconnect.schedule import ForwardOnly, schedule
from crossmesh.tiles.analog.backends import BACKENDS, Backend
from crossmesh.tiles.runtime.program import NOTHING, Kind, Program, Span, Sums

VALIDATIONS = 1 << 31  # number of the first evaluation on examples set aside for validation


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything an executor needs to run: config, network, program and data.

    Attributes:
        config: The config.
        dataset: The examples that are trained and tested on.
        layers: Layers of the network, every one with a name.
        network: The graph.
        program: The compiled program.
        given: Initial weights that are not drawn, by matrix.
        tokens: Size of the vocabulary that the network takes, if its input is tokens.
        has_accuracy: Whether outputs are right or wrong.
        channels_first: Whether images have their channels first in the data.
        arrangement: How the output of an imported file is made of what the network gives.
        inputs: The inputs of an imported file, whose numbers follow each other in an example.
        augmentation: Changes the images of every epoch, if anything does.
    """

    config: RunConfig
    dataset: Dataset
    layers: list[Layer]
    network: Network
    program: Program
    given: Weights = field(default_factory=dict)
    tokens: int | None = None
    has_accuracy: bool = True
    channels_first: bool = True
    arrangement: OutputArrangement | None = None
    inputs: tuple[NamedShape, ...] = ()
    augmentation: Augmentation | None = None

    @property
    def backend(self) -> Backend:
        """Maker of the tiles."""
        return BACKENDS[self.config.engine.backend]

    @cached_property
    def data_digest(self) -> str:
        """sha256 of all examples and imported layers and weights: no run is resumed on others."""
        digest = hashlib.sha256()
        for part in self.dataset.sets.values():
            digest.update(f"float32{part.kept.shape}".encode())
            for some in part.parts():
                digest.update(np.ascontiguousarray(some.inputs).data)
            kind = "int32" if part.has_classes else "float32"
            digest.update(f"{kind}{part.answers.shape}".encode())
            for some in part.parts():
                digest.update(np.ascontiguousarray(some.targets).data)
        if isinstance(self.config.network, Imported):
            described = [layer.model_dump(mode="json") for layer in self.layers]
            digest.update(json.dumps(described, sort_keys=True).encode())
        for name, array in sorted(self.given.items()):
            digest.update(f"{name}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of an example as other programs name it: (channels, height, width) of an image."""
        shape = self.network.by_name[INPUT].shape
        if self.tokens is not None:
            return (shape.positions,)
        if shape.image is not None and self.channels_first:
            return (shape.features, *shape.image)
        return shape.axes

    @property
    def n_train(self) -> int:
        """Examples of an epoch."""
        return len(self.dataset.train)

    @cached_property
    def feeds(self) -> dict[str, ShuffledFeed]:
        """The examples that hosts read, by ``train``, ``test`` and perhaps ``validation``."""
        seed = self.config.seed if self.config.training.shuffle else None
        into = self.network.by_name[INPUT]
        taken = next(op for op in self.program.operations if op.kind is Kind.INPUT)
        feed = partial(
            ShuffledFeed,
            features=into.width,
            is_image=into.shape.image is not None and self.channels_first,
            has_ones=taken.has_ones,
        )
        return {
            name: feed(examples, seed=seed, augmentation=self.augmentation)
            if name == "train"
            else feed(examples, seed=None)
            for name, examples in self.dataset.sets.items()
        }

    def weights(
        self, layer: str, corner: tuple[int, int], shape: tuple[int, int]
    ) -> NDArray[np.float32]:
        """A window of a layer's initial weights."""
        return self.initial()(layer, corner, shape)

    def initial(self) -> "partial[NDArray[np.float32]]":
        """``weights`` without the data, fit to be sent to other processes."""
        return partial(initial_weights, self.network, self.config.seed, self.given)

    def epoch(self, number: int, losses: Sequence[EpochLoss] = ()) -> Span:
        """The span that trains a whole epoch, after epochs with some losses."""
        return self.span(number, 0, self.n_train, NOTHING, losses)

    def span(
        self,
        epoch: int,
        start: int,
        stop: int,
        measured: Sums,
        losses: Sequence[EpochLoss] = (),
    ) -> Span:
        """The span that trains the examples from ``start`` to ``stop`` of an epoch.

        Args:
            epoch: Number of the epoch.
            start: First position in the epoch's order.
            stop: One past the last.
            measured: What was measured since the last row of the metrics, before this span.
            losses: Losses of the epochs before, where the learning rate depends on them.
        """
        training = self.config.training
        together = min(training.examples_together, self.n_train)
        per_update = training.batch // training.examples_together
        per_update = min(per_update, -(-self.n_train // together))  # a batch beyond the data
        updates = range(start, stop, together * per_update)
        rates = rates_of(training.learning_rate, epoch, self.n_train, updates, losses)
        return Span(
            schedule=schedule(training.schedule, per_update),
            micro_batch=together,
            n_examples=stop - start,
            epoch=epoch,
            first=start,
            first_example=epoch * self.n_train + start,
            learning_rate=rates[0],
            evaluation=None,
            log_every=training.log_every or max(1, self.n_train // 10),
            measured=measured,
            is_last=stop == self.n_train,
            rates=rates if len(set(rates)) > 1 else (),
        )

    def evaluation(self, number: int, on: str = "test") -> Span:
        """The span that tests the network, for the ``number``-th time.

        Args:
            number: Keys the noise of the reads.
            on: Which examples: ``test`` or ``validation``, whose noise differs.
        """
        n = len(self.dataset.sets[on])
        return Span(
            schedule=ForwardOnly(),
            micro_batch=self.config.training.evaluation_batch,
            n_examples=n,
            epoch=0,
            first=0,
            first_example=0,
            learning_rate=0.0,
            evaluation=number if on == "test" else VALIDATIONS + number,
            log_every=n,
            feed=on,
        )


def prepare(config: RunConfig, dataset: Dataset | None = None) -> Job:
    """Load the data, build the network for it and compile it.

    Args:
        config: The config.
        dataset: Data that is there already, in place of the config's; it may have no targets.

    Raises:
        ConfigError: If data and network do not fit.
        DataError: If the data cannot be had.
    """
    dataset = taken(load(config.data) if dataset is None else dataset, config)
    resolved = resolve(config)
    check_examples(resolved, dataset, config.data.source)
    settings = Settings(
        tile=config.tile,
        vectors_per_tile=config.mapping.vectors_per_tile,
        algorithm=config.training.algorithm,
        batch=config.training.batch,
    )
    task = task_of(config, dataset, resolved)
    try:
        network = build_network(resolved.layers, task, settings)
    except ConfigError as error:
        if not isinstance(config.network, Imported):
            raise
        raise ConfigError(f"network.onnx must fit data and settings: {error}") from None
    task, output = task.fitted(network.output), network.output
    weights = class_weights(config.training, dataset, output.width)
    if dataset.has_classes and not task.has_classes:
        dataset = as_values(dataset, task.n_outputs)
    check_targets(dataset, output.function)
    given = _given(config, resolved, network)
    by_value = config.loss_function.counts_values and not dataset.has_classes
    judged = output.width if by_value else output.positions
    if not isinstance(config.network, Imported):
        check_own(network, resolved.layers, config.training)
    rules = rules_of(network, resolved.layers, config.training)
    channels_first = resolved.input_shape is None or resolved.channels_first
    program = compile_program(network, config.loss_function, given, judged, rules)
    return Job(
        config=config,
        dataset=dataset,
        layers=resolved.layers,
        network=network,
        program=replace(program, class_weights=weights),
        given=given,
        tokens=resolved.tokens or dataset.tokens,
        has_accuracy=has_accuracy(dataset, config.loss_function),
        channels_first=channels_first,
        arrangement=resolved.arrangement,
        inputs=resolved.inputs,
        augmentation=augmentation(
            config.data.augment, dataset, config.seed, channels_last=not channels_first
        ),
    )


def prepare_chip(config: RunConfig) -> Job:
    """As ``prepare``, for figures that do not depend on examples: a published data set is not read.

    Raises:
        ConfigError: If data and network do not fit.
        DataError: If data of one's own, which have no published shape, cannot be had.
    """
    return prepare(config, outline(config.data))


def _given(config: RunConfig, resolved: ResolvedNetwork, network: Network) -> Weights:
    """Initial weights that are not drawn, by matrix."""
    if config.weights is None and not resolved.published:
        return {}
    from crossmesh.emulator.onnx_io import weights  # takes a moment to import

    shapes = {name: (m.rows, m.outputs) for name, m in network.matrices.items()}
    shapes |= {node.name: node.learned.shape for node in network.nodes if node.learned}
    if config.weights is not None:
        published = weights.read_npz(config.weights, resolved.layers, shapes)
        return weights.matrices(resolved.layers, published)
    known = [layer for layer in resolved.layers if _is_given(layer, resolved.published)]
    given = weights.matrices(known, resolved.published)
    for name, array in given.items():
        if array.shape != shapes[name]:
            raise ConfigError(
                f"network.onnx must have weights {shapes[name]} in layer {name}, got {array.shape}"
            )
    return given


def _is_given(layer: Layer, published: Weights) -> bool:
    return any(name.startswith(f"{layer.name}.") for name in published)

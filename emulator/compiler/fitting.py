"""Data beside a network: which examples are taken, whether they fit, and what is learnt."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from crossmesh.common.errors import ConfigError
from crossmesh.emulator.compiler.resolving import ResolvedNetwork
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.data import DataConfig, Dataset, load
from crossmesh.emulator.data.errors import Place
from crossmesh.emulator.data.validation import with_validation
from crossmesh.emulator.data.vocabulary import INPUTS, check_tokens
from crossmesh.emulator.network.graph import Node
from crossmesh.emulator.network.task import LearningTask


def taken(dataset: Dataset, config: RunConfig) -> Dataset:
    """The examples that are trained and tested on; all of them where there is nothing to learn."""
    if not dataset.has_targets:
        return dataset
    training = config.training
    _check_count("training.examples", training.examples, len(dataset.train))
    _check_count("training.test_examples", training.test_examples, len(dataset.test))
    first = replace(
        dataset,
        train=dataset.train.first(training.examples or len(dataset.train)),
        test=dataset.test.first(training.test_examples or len(dataset.test)),
    )
    return with_validation(first, config.data, config.seed)


def trained_examples(configs: Iterable[RunConfig]) -> Iterator[int]:
    """Examples that each of several runs trains; data that cannot be had are found out here."""
    sizes: dict[DataConfig, int] = {}
    for config in configs:
        if config.data not in sizes:
            sizes[config.data] = len(load(config.data).train)
        n = sizes[config.data]
        yield config.training.epochs * min(config.training.examples or n, n)


def _check_count(name: str, wanted: int | None, there: int) -> None:
    if wanted is not None and wanted > there:
        raise ConfigError(f"{name} must be at most {there}, the size of the data, got {wanted}")


def check_examples(resolved: ResolvedNetwork, dataset: Dataset, source: str) -> None:
    """Refuse data whose examples are not those that a network takes.

    Args:
        resolved: The network.
        dataset: The data.
        source: Its name, for messages.
    """
    if resolved.input_shape is not None:
        _check_shape(resolved.input_shape, dataset, source)
        if (resolved.tokens or 0) < (dataset.tokens or 0):
            raise ConfigError(
                f"network.onnx must take {dataset.tokens} tokens for the data {source}, "
                f"got {resolved.tokens}"
            )
    tokens = resolved.tokens or dataset.tokens
    if tokens is not None:
        check_tokens(dataset, tokens)


def _check_shape(wanted: tuple[int, ...], dataset: Dataset, source: str) -> None:
    """Refuse examples of another shape than that of an imported network."""
    there = dataset.shape
    is_grey = len(wanted) == 3 and wanted[0] == 1  # data sets leave that axis out
    plain = wanted[1:] if is_grey else wanted
    if there in {wanted, plain} or (math.prod(there),) == wanted:
        return
    if not dataset.has_targets:
        place = Place(INPUTS, dataset.name)
        raise place.refusal(f"examples of the network's shape {wanted}", there)
    raise ConfigError(
        f"network.onnx must take examples of shape {there} for the data {source}, got {wanted}"
    )


def task_of(config: RunConfig, dataset: Dataset, resolved: ResolvedNetwork) -> LearningTask:
    """What is learnt from a data set, as far as a network must fit it."""
    targets = dataset.train.targets
    kind = LearningTask if dataset.has_targets else _NothingLearnt
    return kind(
        source=config.data.source,
        shape=dataset.shape,
        n_outputs=dataset.n_outputs,
        loss=config.loss_function,
        has_classes=dataset.has_classes,
        tokens=resolved.tokens or dataset.tokens,
        layout=resolved.input_shape,
        channels_first=resolved.channels_first,
        targets=targets.shape[1] if dataset.has_classes and targets.ndim == 2 else 1,
    )


@dataclass(frozen=True, kw_only=True)
class _NothingLearnt(LearningTask):
    """Inputs without targets, which fit any output."""

    def fitted(self, output: Node) -> LearningTask:
        """The task with as many targets as the output has positions."""
        return replace(self, targets=output.positions)

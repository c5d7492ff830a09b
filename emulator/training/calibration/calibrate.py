"""Calibration of a config: settings of its layers' tiles for the weights that are given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from crossmesh.common.errors import ConfigError
from crossmesh.common.frozen import FrozenDict
from crossmesh.emulator.compiler.inputs import dataset_of
from crossmesh.emulator.compiler.job import Job, prepare
from crossmesh.emulator.config.layer import TileLayer
from crossmesh.emulator.config.layers import Layer
from crossmesh.emulator.config.loading import validated
from crossmesh.emulator.config.run import Imported, LayerSettings, RunConfig
from crossmesh.emulator.runs.callbacks import Callbacks, NoCallbacks
from crossmesh.emulator.training.calibration.costs import Costs, costs_of
from crossmesh.emulator.training.calibration.fitting import LayerOnTiles, Settings, fit
from crossmesh.emulator.training.calibration.recording import Recording, record
from crossmesh.tiles.analog.backends import EMULATED
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.runtime.measure import Progress

EXAMPLES = 256  # a few batches


@dataclass(frozen=True, kw_only=True)
class CalibratedLayer:
    """What was chosen for a layer.

    Attributes:
        settings: Fields of its tiles that were changed.
        error_before: Mean square of its outputs' error relative to that of the outputs, before.
        error: The same with the settings.
    """

    settings: Settings
    error_before: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A calibrated config.

    Attributes:
        config: The config with the settings, to be trained or evaluated.
        examples: Training examples whose inputs were looked at.
        layers: What was chosen, by layer.
        costs: What the tiles still cost; None: not asked for.
    """

    config: RunConfig
    examples: int
    layers: Mapping[str, CalibratedLayer]
    costs: Costs | None


def calibrate(
    config: RunConfig,
    callbacks: Callbacks | None = None,
    *,
    examples: int = EXAMPLES,
    test_examples: int = 0,
    data: Any = None,
) -> Calibration:
    """Choose scales and ranges of the tiles for given weights, layer by layer.

    Args:
        config: The run, whose network has given weights.
        callbacks: Progress callbacks; by default none.
        examples: Look at the inputs of so many training examples.
        test_examples: Test what the tiles still cost on the first so many; 0: do not.
        data: Examples in place of the config's data, as ``train`` takes them.

    Raises:
        ConfigError: If the network has no given weights, or config and data do not fit.
        DataError: If the data cannot be had.
    """
    callbacks = callbacks or NoCallbacks()
    dataset = None if data is None else dataset_of(config, data)
    job = prepare(config, dataset)
    _check(job)
    examples = min(examples, job.n_train)
    with threadpool_limits(1):
        recording = record(job, examples)
        layers = layers_of(job, recording)
        callbacks.phase("calibrating", len(layers))
        chosen = {}
        for done, layer in enumerate(layers, 1):
            settings = fit(layer)
            chosen[layer.name] = CalibratedLayer(
                settings=settings, error_before=layer.error({}), error=layer.error(settings)
            )
            callbacks.progress(Progress(done))
        changed = _changed(job, {name: layer.settings for name, layer in chosen.items()})
        costs = None
        if test_examples:
            layers = layers_of(prepare(changed, dataset), recording)
            costs = _costs(layers, test_examples, callbacks)
    return Calibration(config=changed, examples=examples, layers=chosen, costs=costs)


def calibrated(config: RunConfig, note: Callable[[str], None], data: Any = None) -> RunConfig:
    """The config, calibrated if it says so.

    Args:
        config: The config.
        note: Told what calibration changed.
        data: Examples in place of the config's data, as ``train`` takes them.
    """
    if not config.calibrate:
        return config
    found = calibrate(config, data=data)
    before, now = (
        [getattr(layer, name) for layer in found.layers.values()]
        for name in ("error_before", "error")
    )
    note(
        f"calibrated on {found.examples} examples: the largest error of a layer's outputs was "
        f"{max(before):.1%} of their mean square and is {max(now):.1%}"
    )
    return found.config


def layers_of(job: Job, recording: Recording) -> list[LayerOnTiles]:
    """The layers of a job that lie on tiles."""
    names = dict.fromkeys(
        name.partition(".")[0] for name, m in job.network.matrices.items() if not m.digital
    )
    return [LayerOnTiles(job, recording, name) for name in names]


def _check(job: Job) -> None:
    if not job.given:
        raise ConfigError(
            "calibrate must be for a network with given weights (network.onnx or weights), got "
            "weights that are drawn"
        )
    backend = job.config.engine.backend
    if backend != EMULATED:
        raise ConfigError(f"engine.backend must be {EMULATED} to calibrate, got {backend}")


def _costs(layers: Sequence[LayerOnTiles], test_examples: int, callbacks: Callbacks) -> Costs:
    callbacks.phase("testing", 0)
    done = 0

    def count() -> None:
        nonlocal done
        done += test_examples
        callbacks.progress(Progress(done))

    return costs_of(layers[0].job, layers, test_examples, count)


def _changed(job: Job, settings: Mapping[str, Settings]) -> RunConfig:
    """The config of a job with settings of the tiles of its layers, by name."""
    config, network = job.config, job.config.network
    tiles = {
        layer.name or "": (layer.tile or config.tile).model_copy(update=settings[layer.name or ""])
        for layer in job.layers
        if isinstance(layer, TileLayer) and settings.get(layer.name or "")
    }
    changed: Any
    if isinstance(network, Imported):
        n_read = len(job.layers) - len(network.then)
        given = dict(network.layers)
        for layer in job.layers[:n_read]:
            if (name := layer.name or "") in tiles:  # of two that fit one layer the later counts
                kept = given.pop(name, LayerSettings())
                given[name] = kept.model_copy(update={"tile": tiles[name]})
        then = _set(network.then, job.layers[n_read:], tiles)
        changed = network.model_copy(update={"layers": FrozenDict(given), "then": then})
    else:
        changed = _set(network, job.layers, tiles)
    whole = config.model_copy(update={"network": changed, "calibrate": False})
    return validated(whole.model_dump(mode="json"))


def _set(
    layers: Sequence[Layer], named: Sequence[Layer], tiles: Mapping[str, TileConfig]
) -> tuple[Layer, ...]:
    """Layers with tiles of their own, by the names that they have in the job."""
    chosen = [tiles.get(layer.name or "") for layer in named]
    return tuple(
        layer.model_copy(update={"tile": tile}) if tile else layer
        for layer, tile in zip(layers, chosen, strict=True)
    )

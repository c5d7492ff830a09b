"""Suites for what a whole network is made of: layers, makers of tiles, sources of examples."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.layer import NamedLayer
from crossmesh.emulator.config.layers import LinearLayer
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.data import DataConfig, load
from crossmesh.emulator.executors.local import LocalExecutor
from crossmesh.emulator.training.training import train
from crossmesh.testing.runs import check_actors, check_resuming, small_run
from crossmesh.tiles.analog.backends import BACKENDS, AnalogTile
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.digital import EXACT

Array = NDArray[np.float32]


class LayerTests:
    """Rules of layers, in a small network with exact arithmetic that learns handwritten digits.

    Needs ``layer``, and what stands before and behind it unless it takes and gives a flat vector.

    Attributes:
        layer: The layer, as a config has it.
        before: Layers from the images of 8 by 8 pixels to the layer.
        behind: Layers from it to the 10 classes.
        learning_rate: At which the network is trained.
        follows_gradient: Whether all parameters follow the gradient of the loss; not those of
            random layers and running statistics.
    """

    layer: ClassVar[NamedLayer]
    before: ClassVar[Sequence[NamedLayer]] = (LinearLayer(outputs=12, activation="tanh"),)
    behind: ClassVar[Sequence[NamedLayer]] = (LinearLayer(outputs=10, activation="softmax"),)
    learning_rate: ClassVar[float] = 0.01
    follows_gradient: ClassVar[bool] = True

    def config(self, epochs: int, **changes: Any) -> RunConfig:
        """A network around the layer; changes are of the section training."""
        network = (*self.before, self.layer, *self.behind)
        training = {"learning_rate": self.learning_rate, **changes}
        return small_run(epochs, network=network, tile=EXACT, training=training)

    def test_it_is_made_again_by_its_fields(self) -> None:
        """As a config that was written and is read."""
        again = type(self.layer)(**self.layer.model_dump())
        assert again == self.layer, "a layer must be made again by its own fields"

    def test_an_update_follows_the_gradient_of_the_loss(self) -> None:
        """A small step ``w`` along minus the gradient lowers the loss by ``|w|**2 / rate``."""
        if not self.follows_gradient:
            return
        rate, n = 1e-4, 16
        plan = {"examples": n, "batch": n, "shuffle": False, "log_every": n, "learning_rate": rate}
        job = prepare(self.config(2, **plan))
        executor = LocalExecutor(job)
        try:
            executor.write_initial_weights()
            before = _weights(executor)
            first = executor.run(job.epoch(0), lambda progress: None).rows[-1].loss
            step = _weights(executor) - before
            second = executor.run(job.epoch(1), lambda progress: None).rows[-1].loss
        finally:
            executor.close()
        lowered, expected = n * (first - second), float((step**2).sum()) / rate

        assert expected > 0, "one update must change a weight"
        assert math.isclose(lowered, expected, rel_tol=0.2), (
            f"the update must follow the gradient, and lower the loss by {expected:.4g}, "
            f"got {lowered:.4g}"
        )

    def test_training_lowers_the_loss(self) -> None:
        """In the mean over an epoch."""
        first, last = (train(self.config(n, log_every=64)).summary["train_loss"] for n in (1, 8))
        assert last < first, f"8 epochs must end with a loss below that of the first, {first:.4g}"

    def test_it_trains_and_resumes_with_the_same_bits(self, tmp_path: Path) -> None:
        """In one process: one run of two epochs, and one that is resumed after the first."""
        check_resuming(self.config(1), self.config(2), tmp_path / "run")

    def test_actors_give_the_same_bits(self) -> None:
        """On Ray, with two actors."""
        check_actors(self.config(1))


class BackendTests:
    """Rules of makers of tiles.

    Needs ``backend``, the name of one that is registered or installed. ``accuracy`` holds for an
    ideal cell read exactly: set it to what the tiles can do, or ``config`` to what they are.

    Attributes:
        backend: Name of the maker in configs.
        config: What tiles it is asked for.
        accuracy: How far products may be from those of the weights that a tile shows.
    """

    backend: ClassVar[str]
    config: ClassVar[TileConfig] = EXACT
    accuracy: ClassVar[float] = 1e-5

    _SHAPE: ClassVar = (5, 7)

    def tile(self, seed: int = 3) -> AnalogTile:
        """A tile with weights."""
        block = Block(tile=2, layer="layer", row=0, col=0, shape=self._SHAPE)
        made: AnalogTile = BACKENDS[self.backend].make(self.config, block, 0.5, seed, 1)
        made.write(np.random.default_rng(0).uniform(-0.2, 0.2, self._SHAPE).astype(np.float32))
        made.begin(None)
        return made

    def vectors(self, n: int = 4) -> tuple[Array, Array]:
        """Values on the word lines, and errors on the bit lines."""
        draw = np.random.default_rng(1)
        rows, cols = (draw.uniform(-1, 1, (n, size)).astype(np.float32) for size in self._SHAPE)
        return rows, cols

    def test_a_tile_is_what_it_was_asked_for(self) -> None:
        """It knows its block and scale, and what it takes of its host's memory."""
        tile, backend = self.tile(), BACKENDS[self.backend]
        backend.warm_up(self.config)

        assert (tile.block.tile, tile.block.shape, tile.scale) == (2, self._SHAPE, 0.5)
        assert tile.weights.shape == self._SHAPE, "weights must have the shape of the block"
        assert np.isfinite(tile.weights).all(), "weights must be finite"
        assert tile.pulses == 0, "no pulse must be counted after write"
        assert backend.tile_bytes(self.config, self._SHAPE) > 0, "tile_bytes must be above 0"

    def test_cycles_are_products_with_its_weights(self) -> None:
        """Forward, and backward with the transpose; inputs are left, outputs are new arrays."""
        tile, (x, d) = self.tile(), self.vectors()
        kept, weights = (x.copy(), d.copy()), tile.weights.astype(float)
        y, z = tile.forward(x, 0), tile.backward(d, 0)
        first = y.copy()
        tile.forward(x, 4)

        for name, product, wanted in (("forward", y, x @ weights), ("backward", z, d @ weights.T)):
            assert product.dtype == np.float32, f"{name} must give float32"
            np.testing.assert_allclose(
                product, wanted, atol=self.accuracy,
                err_msg=f"{name} must be the product with the weights",
            )  # fmt: skip
        np.testing.assert_array_equal(y, first, "a later read must not change an earlier result")
        np.testing.assert_array_equal(x, kept[0], "forward must leave its input")
        np.testing.assert_array_equal(d, kept[1], "backward must leave its input")

    def test_an_update_moves_the_weights_along_the_outer_product(self) -> None:
        """It is counted in pulses, and seen in the digest; reads are not."""
        tile, (x, d) = self.tile(), self.vectors(64)
        before, digest = tile.weights.astype(float), tile.digest()
        tile.forward(x, 0)
        assert tile.digest() == digest, "a read must not change the state"
        tile.update(x, d, 0.01, 0)
        along = float(((tile.weights - before) * (x.T @ d)).sum())

        assert along > 0, "an update must move the weights along x.T @ d"
        assert tile.digest() != digest, "an update must change the digest"
        assert tile.pulses >= 0, "pulses must not be below 0"

    def test_the_same_seed_gives_the_same_bits(self) -> None:
        """Whatever else is evaluated in between."""
        one, two = self.tile(), self.tile()
        x, d = self.vectors()
        two.begin(1)
        two.forward(x, 0)
        two.begin(None)
        for tile in (one, two):
            tile.update(x, d, 0.01, 0)

        np.testing.assert_array_equal(
            one.forward(x, 4), two.forward(x, 4), "an evaluation must not change what follows"
        )
        assert one.digest() == two.digest(), "two tiles must have the same digest"

    def test_a_saved_tile_goes_on_as_if_it_had_not_been_saved(self) -> None:
        """The state is all that is not in config, block, scale and seed."""
        one, two = self.tile(), self.tile()
        x, d = self.vectors()
        one.update(x, d, 0.01, 0)
        two.load({name: array.copy() for name, array in one.state().items()})
        for tile in (one, two):
            tile.age(None)
            tile.update(x, d, 0.01, 4)

        shapes = [{k: a.shape for k, a in tile.state().items()} for tile in (one, two)]
        assert shapes[0] == shapes[1], "state() must always have these names and shapes"
        assert one.digest() == two.digest(), "a loaded tile must go on with the same bits"
        assert one.pulses == two.pulses, "pulses must be a part of the state"
        np.testing.assert_array_equal(one.weights, two.weights)

    def test_a_network_trains_and_resumes_with_the_same_bits(self, tmp_path: Path) -> None:
        """In one process: one run of two epochs, and one that is resumed after the first."""
        check_resuming(self.run(1), self.run(2), tmp_path / "run")

    def test_actors_give_the_same_bits(self) -> None:
        """On Ray, with two actors."""
        check_actors(self.run(1))

    def run(self, epochs: int) -> RunConfig:
        """A small network on such tiles."""
        return small_run(epochs, tile=self.config, engine={"backend": self.backend})


class SourceTests:
    """Rules of sources of examples.

    Needs ``data``, the section of a config that names the source.

    Attributes:
        data: Which examples.
    """

    data: ClassVar[DataConfig]

    def test_examples_fit_their_description(self) -> None:
        """Finite inputs of one shape; classes that there are."""
        dataset = load(self.data)
        width = math.prod(dataset.shape)
        for name, part in (("train", dataset.train), ("test", dataset.test)):
            assert len(part) > 0, f"{name} must have an example"
            inputs, targets = part.inputs, part.targets
            assert inputs.shape == (len(part), width), f"{name} must have inputs of {width} values"
            assert np.isfinite(inputs).all(), f"inputs of {name} must be finite"
            if part.has_classes:
                assert targets.min() >= 0, f"classes of {name} must be at least 0"
                assert targets.max() < dataset.n_outputs, f"{name} must have n_outputs classes"
            else:
                assert targets.shape == (len(part), dataset.n_outputs), f"targets of {name}"
                assert np.isfinite(targets).all(), f"targets of {name} must be finite"

    def test_the_same_config_gives_the_same_examples(self) -> None:
        """Every time, since a resumed run loads them again."""
        one, two = load(self.data), load(self.data)
        for first, second in ((one.train, two.train), (one.test, two.test)):
            np.testing.assert_array_equal(first.inputs, second.inputs, "inputs must not change")
            np.testing.assert_array_equal(first.targets, second.targets, "targets must not change")


def _weights(executor: LocalExecutor) -> NDArray[np.float64]:
    """All weights and parameters of a network in a row."""
    tiles = executor.host.tiles.values()
    return np.concatenate([tile.weights.astype(float).ravel() for tile in tiles])

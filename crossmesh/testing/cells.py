"""Suites for unit cells and devices."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from crossmesh.common.random import Stream
from crossmesh.emulator.chip.report import chip_of
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.run import RunConfig
from crossmesh.testing.runs import check_actors, check_resuming, small_run
from crossmesh.tiles.analog.cells import Cell, Crossbar
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import Device, SoftBounds
from crossmesh.tiles.analog.devices.kernels import LOWER, UPPER
from crossmesh.tiles.analog.footprint import OBJECT_BYTES, tile_bytes
from crossmesh.tiles.analog.parameters import Parameters
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.analog.update import UpdateConfig

_SHAPE = (5, 70)
_ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)


class CellTests:
    """Rules of unit cells.

    Needs ``cell`` and nothing else; a network on handwritten digits is trained with it.

    Attributes:
        cell: The cell.
        learning_rate: At which a small network of such cells is trained.
        ignores_calls: Whether pulses do the same however many examples come in one call; not where
            a retention of a few examples acts at the end of a call.
        is_random: Whether devices differ, or pulses have noise.
    """

    cell: ClassVar[Any]
    learning_rate: ClassVar[float] = 0.05
    ignores_calls: ClassVar[bool] = True
    is_random: ClassVar[bool] = True

    @property
    def middle(self) -> float:
        """A weight from which pulses move a typical cell in both directions."""
        return 0.0

    @property
    def moves_one_way(self) -> bool:
        """Whether down pulses do nothing to a weight."""
        return False

    def crossbar(self, seed: int = 0, update: UpdateConfig = _ONE_PULSE) -> Crossbar:
        """A small crossbar of such cells."""
        return build(self.cell, _SHAPE, Stream(seed=seed, owner=1), update)

    def pulse(self, crossbar: Crossbar, n: int, first: int = 0, *, up: bool = True) -> None:
        """Send every cell ``n`` pulses."""
        x = np.ones((n, _SHAPE[0]), np.float32)
        crossbar.update(x, np.full((n, _SHAPE[1]), 1 if up else -1, np.float32), 1e9, first)

    def update(self, crossbar: Crossbar, first: int, last: int) -> None:
        """Update with the examples from ``first`` on of a fixed series."""
        draw = np.random.default_rng(1)
        d = draw.choice([-1, 1], (1000, _SHAPE[1])).astype(np.float32)
        x = draw.choice([-1, 0, 1], (1000, _SHAPE[0])).astype(np.float32)
        crossbar.update(x[first:last], d[first:last], 1e6, first)

    def test_weights_are_numbers_and_the_sum_of_the_arrays(self) -> None:
        """What a read sees has its shape, is finite, and is what currents of the arrays add to."""
        crossbar = self.crossbar()
        crossbar.write(np.full(_SHAPE, 0.1 * self.cell.reach, np.float32))
        self.update(crossbar, 0, 75)
        weights, arrays = crossbar.weights, crossbar.arrays()

        assert weights.shape == _SHAPE, f"weights must have shape {_SHAPE}"
        assert weights.dtype == np.float32, "weights must be float32"
        assert np.isfinite(weights).all(), "weights must be finite"
        assert self.cell.n_arrays == len(arrays), "n_arrays must be the number of arrays()"
        assert self.cell.largest_conductance > 0, "largest_conductance must be above 0"
        total = np.zeros(_SHAPE)
        for factor, array in arrays:
            total += np.float64(factor) * array
        np.testing.assert_allclose(
            total, weights, atol=2e-6, err_msg="factors times arrays() must add up to weights"
        )

    def test_its_memory_is_known_beforehand(self) -> None:
        """The estimate that placement uses holds all arrays of the state at least."""
        held = sum(array.nbytes for array in self.crossbar().state().values())
        config = TileConfig(cell=self.cell, rows=_SHAPE[0], cols=_SHAPE[1])
        room = tile_bytes(config, _SHAPE)

        assert self.cell.cell_bytes > 0, "cell_bytes must be above 0"
        assert held <= room, f"cell_bytes must cover the {held} bytes of state(), got {room}"
        assert room - OBJECT_BYTES >= 4 * _SHAPE[0] * _SHAPE[1], "cell_bytes must cover the weights"

    def test_pulses_lead_where_they_should(self) -> None:
        """The mean weight rises by pulses up, and falls by pulses down unless they do nothing."""
        up, down = self.crossbar(), self.crossbar()
        for crossbar in (up, down):
            crossbar.write(np.full(_SHAPE, self.middle, np.float32))
        middle = float(up.weights.mean())
        self.pulse(up, 20)
        self.pulse(down, 20, up=False)
        above, below = float(up.weights.mean()), float(down.weights.mean())

        assert above > middle, f"20 pulses up must raise the mean weight {middle}"
        if self.moves_one_way:
            assert below <= middle, f"20 pulses down must not raise the mean weight {middle}"
        else:
            assert below < middle, f"20 pulses down must lower the mean weight {middle}"

    def test_the_same_seed_gives_the_same_bits(self) -> None:
        """Another seed gives other devices."""
        one, two, other = self.crossbar(), self.crossbar(), self.crossbar(seed=1)
        for crossbar in (one, two, other):
            crossbar.write(np.full(_SHAPE, self.middle, np.float32))
            self.pulse(crossbar, 16)

        np.testing.assert_array_equal(one.weights, two.weights, "a seed must give the same devices")
        if self.is_random and not self.cell.holds_anything:
            assert (one.weights != other.weights).any(), "another seed must give other devices"

    def test_calls_do_not_matter(self) -> None:
        """Pulses do the same however many examples come in one call, but for their noise."""
        whole, parts = self.crossbar(), self.crossbar()
        for crossbar in (whole, parts):
            crossbar.write(np.full(_SHAPE, self.middle, np.float32))
        self.pulse(whole, 16)
        for first in range(0, 16, 4):
            self.pulse(parts, 4, first)

        assert whole.pulses == parts.pulses, "pulses must not depend on the calls they come in"
        if self.ignores_calls:
            off = (whole.weights - parts.weights).astype(float)
            error = 5 * off.std() / np.sqrt(off.size) + 1e-6
            assert abs(off.mean()) <= error, "16 examples must do the same in one call and in four"

    def test_a_saved_crossbar_goes_on_as_if_it_had_not_been_saved(self) -> None:
        """The state is all that is not in config and seed, wherever training is stopped."""
        for stop in (7, 64):
            one, two = (self.crossbar(update=UpdateConfig()) for _ in range(2))
            one.write(np.full(_SHAPE, 0.1 * self.cell.reach, np.float32))
            self.update(one, 0, stop)
            two.load({name: array.copy() for name, array in one.state().items()})
            np.testing.assert_array_equal(
                two.weights, one.weights, "load must restore the weights that state() was taken of"
            )
            for crossbar in (one, two):
                self.update(crossbar, stop, 100)

            assert one.state().keys() == two.state().keys(), "state() must always have these names"
            for name, array in one.state().items():
                np.testing.assert_array_equal(
                    two.state()[name], array, f"{name} must go on after load as without it"
                )

    def test_a_network_of_them_trains_and_resumes_with_the_same_bits(self, tmp_path: Path) -> None:
        """In one process: one run of two epochs, and one that is resumed after the first."""
        check_resuming(self.config(1), self.config(2), tmp_path / "run")

    def test_actors_give_the_same_bits(self) -> None:
        """On Ray, with two actors."""
        check_actors(self.config(1))

    def test_a_chip_of_them_has_a_price(self) -> None:
        """Time, energy and area are known, and above 0."""
        chip: dict[str, Any] = chip_of(prepare(self.config(1))).summary
        for name in ("interval_s", "energy_j_per_example", "area_mm2"):
            assert chip[name] > 0, f"{name} of a chip of such cells must be above 0"

    def config(self, epochs: int) -> RunConfig:
        """A small network of such cells on handwritten digits."""
        training = {"learning_rate": self.learning_rate}
        tile = {"cell": self.cell, "rows": 20, "cols": 10}
        return small_run(epochs, tile=tile, training=training)


class DeviceTests(CellTests):
    """Rules of devices: those of cells, for a device alone, and those of its parameters.

    Needs ``device`` and nothing else.

    Attributes:
        device: The device.
    """

    device: ClassVar[Device]

    @property
    def cell(self) -> Cell:
        """The device alone."""
        return self.device

    @property
    def middle(self) -> float:
        """Between the bounds of a typical device."""
        return sum(self.device.limits) / 2

    @property
    def moves_one_way(self) -> bool:
        """As the device says."""
        return self.device.moves_one_way

    def test_every_device_stays_within_its_own_bounds(self) -> None:
        """However many pulses come."""
        crossbar = self.crossbar()
        kept = Parameters.packed(self.device.sample(_SHAPE, Stream(seed=0, owner=1), 0))
        bounds = kept.values(LOWER), kept.values(UPPER)
        lower, upper = np.minimum(*bounds), np.maximum(*bounds)  # of stuck ones: by rounding
        for up in (True, False):
            self.pulse(crossbar, 500, up=up)
            state = crossbar.state().get("conductance_0", crossbar.arrays()[0][1])
            beyond = np.maximum(lower - state, state - upper)
            assert beyond.max() <= 0, f"bounds must hold after 500 pulses {'up' if up else 'down'}"

    def test_its_parameters_have_the_signs_of_their_meaning(self) -> None:
        """Steps are at least 0; as many parameters are drawn as the class says."""
        drawn = self.device.sample((64, 64), Stream(seed=0, owner=1), 0)

        assert drawn.shape == (self.device.n_parameters, 64, 64), "sample must give n_parameters"
        assert np.isfinite(drawn).all(), "parameters must be finite"
        assert (drawn[:2] >= 0).all(), "steps up and down must be at least 0"
        assert (drawn[LOWER] <= drawn[UPPER]).all(), "lower bounds must not be above upper ones"

    def test_its_description_is_complete(self) -> None:
        """A class that names its source, has a kind, and is made again by its parameters."""
        kind = type(self.device)
        assert getattr(kind, "source", ""), f"{kind.__name__}.source must name a publication"
        assert kind.__doc__, f"{kind.__name__} must have a docstring with its formula"
        assert kind(**self.device.model_dump()) == self.device, (
            "a device must be made again by its own parameters"
        )
        assert self.device.granularity > 0, "granularity must be above 0"
        if not self.moves_one_way:
            assert self.device.reach > 0, "reach must be above 0"


class AlgorithmTests:
    """Rules of training algorithms.

    Needs ``algorithm`` and nothing else; a network on handwritten digits is trained by it.

    Attributes:
        algorithm: The algorithm.
        below: The cell that it trains: of fewer than 64 steps, so that pulses of several examples
            never go together, whose noise would depend on the calls that they come in.
        learning_rate: At which a small network learns by it.
    """

    algorithm: ClassVar[Any]
    below: ClassVar[Any] = SoftBounds(step=0.02)
    learning_rate: ClassVar[float] = 0.05

    def config(self, epochs: int) -> RunConfig:
        """A small network on handwritten digits."""
        training = {"algorithm": self.algorithm, "learning_rate": self.learning_rate}
        return small_run(
            epochs, tile={"cell": self.below, "rows": 20, "cols": 10}, training=training
        )

    def test_vectors_do_the_same_in_one_call_and_in_many(self) -> None:
        """What is due follows from the number of a vector, never from how the work is split."""
        draw = np.random.default_rng(0)
        x = draw.uniform(-1, 1, (40, _SHAPE[0])).astype(np.float32)
        d = draw.uniform(-1, 1, (40, _SHAPE[1])).astype(np.float32)
        whole, parts = self._crossbar(), self._crossbar()
        whole.update(x, d, 0.05, 0)
        for first in range(0, 40, 8):
            parts.update(x[first : first + 8], d[first : first + 8], 0.05, first)

        np.testing.assert_allclose(
            whole.weights, parts.weights, atol=1e-5,
            err_msg="40 vectors must do the same in one call and in five",
        )  # fmt: skip

    def test_a_saved_crossbar_goes_on_as_if_it_had_not_been_saved(self) -> None:
        """The state is all that is not in config and seed."""
        one, two = self._crossbar(), self._crossbar()
        x, d = np.full((9, _SHAPE[0]), 0.3, np.float32), np.full((9, _SHAPE[1]), 0.4, np.float32)
        one.update(x, d, 0.05, 0)
        two.load({name: array.copy() for name, array in one.state().items()})
        for crossbar in (one, two):
            crossbar.update(x, -d, 0.05, 9)

        for name, array in one.state().items():
            np.testing.assert_array_equal(
                two.state()[name], array, f"{name} must go on after load as without it"
            )

    def test_a_network_trains_and_resumes_with_the_same_bits(self, tmp_path: Path) -> None:
        """In one process: one run of two epochs, and one that is resumed after the first."""
        check_resuming(self.config(1), self.config(2), tmp_path / "run")

    def test_actors_give_the_same_bits(self) -> None:
        """On Ray, with two actors."""
        check_actors(self.config(1))

    def test_a_chip_that_trains_by_it_has_a_price(self) -> None:
        """Time, energy and area are known, and above 0."""
        chip: dict[str, Any] = chip_of(prepare(self.config(1))).summary
        for name in ("interval_s", "energy_j_per_example", "area_mm2"):
            assert chip[name] > 0, f"{name} of a chip must be above 0"

    def _crossbar(self) -> Crossbar:
        cell = self.algorithm.cell(self.below)
        crossbar = build(cell, _SHAPE, Stream(seed=0, owner=1), UpdateConfig())
        crossbar.write(np.zeros(_SHAPE, np.float32))
        return crossbar

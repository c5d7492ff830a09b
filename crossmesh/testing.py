"""Suites that a kind of another package must pass, as ours do: subclass one in a test file.

    from crossmesh.testing import DeviceTests

    class TestMyDevice(DeviceTests):
        device = MyDevice(step=0.01)

pytest collects it. Every suite says in its class attributes what it needs.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from crossmesh.common.random import Stream
from crossmesh.interconnect.noc.models import Model
from crossmesh.interconnect.noc.topology import Topology
from crossmesh.tiles.analog.cells import Cell, Crossbar
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import Device
from crossmesh.tiles.analog.devices.kernels import LOWER, UPPER
from crossmesh.tiles.analog.update import UpdateConfig
from crossmesh.tiles.digital import Call, Function, Loss

Array = NDArray[np.float32]

__all__ = ["CellTests", "DeviceTests", "FunctionTests", "LossTests", "TopologyTests"]

_SHAPE = (5, 70)
_ONE_PULSE = UpdateConfig(
    trains="deterministic", length=1, update_management=False, length_management=False
)


class CellTests:
    """Rules of unit cells.

    Attributes:
        cell: The cell.
        learning_rate: At which a small network of such cells is trained.
    """

    cell: ClassVar[Any]
    learning_rate: ClassVar[float] = 0.05

    def crossbar(self, seed: int = 0) -> Crossbar:
        """A small crossbar of such cells."""
        return build(self.cell, _SHAPE, Stream(seed=seed, owner=1), _ONE_PULSE)

    def pulse(self, crossbar: Crossbar, n: int, first: int = 0, *, up: bool = True) -> None:
        """Send every cell ``n`` pulses."""
        x = np.ones((n, _SHAPE[0]), np.float32)
        crossbar.update(x, np.full((n, _SHAPE[1]), 1 if up else -1, np.float32), 1e9, first)

    def test_weights_are_numbers_within_memory(self) -> None:
        """What a crossbar shows has its shape and is finite; its memory is known beforehand."""
        crossbar = self.crossbar()
        crossbar.write(np.full(_SHAPE, 0.1 * self.cell.reach, np.float32))
        self.pulse(crossbar, 3)

        assert crossbar.weights.shape == _SHAPE
        assert crossbar.weights.dtype == np.float32
        assert np.isfinite(crossbar.weights).all()
        assert self.cell.n_arrays == len(crossbar.arrays())
        assert self.cell.largest_conductance > 0

    def test_pulses_lead_where_they_should(self) -> None:
        """The mean weight rises by pulses up and falls by pulses down."""
        up, down = self.crossbar(), self.crossbar()
        for crossbar in (up, down):
            crossbar.write(np.zeros(_SHAPE, np.float32))
        middle = float(up.weights.mean())
        self.pulse(up, 20)
        self.pulse(down, 20, up=False)

        assert float(up.weights.mean()) > middle > float(down.weights.mean())

    def test_the_same_seed_gives_the_same_bits(self) -> None:
        """However many examples come in one call."""
        whole, parts, other = self.crossbar(), self.crossbar(), self.crossbar(seed=1)
        for crossbar in (whole, parts, other):
            crossbar.write(np.zeros(_SHAPE, np.float32))
        for crossbar in (whole, other):
            self.pulse(crossbar, 16)
        self.pulse(parts, 8)
        self.pulse(parts, 8, first=8)

        np.testing.assert_array_equal(whole.weights, parts.weights)
        assert whole.pulses == parts.pulses

    def test_a_saved_crossbar_goes_on_as_if_it_had_not_been_saved(self) -> None:
        """The state is all that is not in config and seed."""
        one, two = self.crossbar(), self.crossbar()
        one.write(np.full(_SHAPE, 0.1 * self.cell.reach, np.float32))
        self.pulse(one, 8)
        two.load({name: array.copy() for name, array in one.state().items()})
        for crossbar in (one, two):
            self.pulse(crossbar, 8, first=8)

        np.testing.assert_array_equal(one.weights, two.weights)

    def test_a_network_of_them_trains_and_resumes_with_the_same_bits(self, tmp_path: Any) -> None:
        """In one process: one run of two epochs, and one that is resumed after the first."""
        from crossmesh import RunDirectory, train

        whole = train(self.config(epochs=2))
        directory = RunDirectory(tmp_path / "run")
        train(self.config(epochs=1), directory)
        resumed = train(self.config(epochs=2), directory, resume=True)

        assert whole.state_digest == resumed.state_digest
        assert np.isfinite(whole.summary["train_loss"])

    def test_actors_give_the_same_bits(self) -> None:
        """On Ray, with two actors."""
        from crossmesh import train

        there = train(self.config(epochs=1, engine={"kind": "ray", "actors": 2}))
        assert there.state_digest == train(self.config(epochs=1)).state_digest

    def test_a_chip_of_them_has_a_price(self) -> None:
        """Time, energy and area are known, and above 0."""
        from crossmesh.emulator.chip.report import chip_of
        from crossmesh.emulator.compiler.job import prepare

        chip: dict[str, Any] = chip_of(prepare(self.config(epochs=1))).summary
        for name in ("interval_s", "energy_j_per_example", "area_mm2"):
            assert chip[name] > 0

    def config(self, epochs: int, **changes: Any) -> Any:
        """A small network of such cells on handwritten digits."""
        from crossmesh import load_config

        config = load_config("digits", ["training.examples=64", "training.baseline=false"])
        training = config.training.model_copy(
            update={"epochs": epochs, "learning_rate": self.learning_rate}
        )
        engine = type(config.engine)(**{"kind": "local", **changes.get("engine", {})})
        tile = config.tile.model_copy(update={"cell": self.cell})
        return config.model_copy(update={"training": training, "engine": engine, "tile": tile})


class DeviceTests(CellTests):
    """Rules of devices: those of cells, for a device alone, and its bounds.

    Attributes:
        device: The device.
    """

    device: ClassVar[Device]

    @property
    def cell(self) -> Cell:
        """The device alone."""
        return self.device

    def test_every_device_stays_within_its_own_bounds(self) -> None:
        """However many pulses come."""
        crossbar = self.crossbar()
        parameters = self.device.sample(_SHAPE, Stream(seed=0, owner=1), 0)
        for up in (True, False):
            self.pulse(crossbar, 500, up=up)
            state = crossbar.state()["conductance_0"]
            assert (state >= parameters[LOWER] - 1e-3).all()
            assert (state <= parameters[UPPER] + 1e-3).all()

    def test_its_description_is_complete(self) -> None:
        """A class that names its source, has a kind, and is made again by its parameters."""
        assert type(self.device).source
        assert type(self.device).__doc__
        assert type(self.device)(**self.device.model_dump()) == self.device
        assert self.device.granularity > 0


class FunctionTests:
    """Rules of what digital units compute.

    Attributes:
        function: The function.
        shapes: Shapes of its inputs: ``(examples * positions, features)``.
        outputs: Features of its output; by default those of its first input.
    """

    function: ClassVar[Function]
    shapes: ClassVar[Sequence[tuple[int, int]]] = ((4, 6),)
    outputs: ClassVar[int | None] = None

    def value(self, inputs: Sequence[Array]) -> Array:
        """The function of some inputs."""
        width = self.outputs or inputs[0].shape[1]
        out = np.empty((inputs[0].shape[0], width), np.float32)
        self.function.forward(inputs, out, Call())
        return out

    def inputs(self, seed: int = 0) -> list[Array]:
        """Inputs drawn at random."""
        draw = np.random.default_rng(seed)
        return [draw.normal(size=shape).astype(np.float32) for shape in self.shapes]

    def test_every_element_is_written_also_of_a_view(self) -> None:
        """An output may be some columns of a larger array."""
        inputs = self.inputs()
        whole = self.value(inputs)
        wide = np.full((whole.shape[0], 2 * whole.shape[1]), np.nan, np.float32)
        self.function.forward(inputs, wide[:, ::2], Call())

        np.testing.assert_array_equal(wide[:, ::2], whole)

    def test_the_backward_pass_is_the_gradient(self) -> None:
        """By finite differences; inputs stay as they were."""
        inputs = self.inputs()
        y = self.value(inputs)
        d = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
        for index, x in enumerate(inputs):
            before = [array.copy() for array in inputs]
            error = self.function.backward(d, index, inputs, y, Call())
            for array, kept in zip(inputs, before, strict=True):
                np.testing.assert_array_equal(array, kept)
            assert error.shape == x.shape
            np.testing.assert_allclose(error, self._differences(inputs, index, d), atol=2e-2)

    def _differences(self, inputs: list[Array], index: int, d: Array) -> Array:
        h = np.float32(1e-2)
        found = np.empty_like(inputs[index])
        for place in np.ndindex(found.shape):
            sides = []
            for sign in (1, -1):
                moved = [array.copy() for array in inputs]
                moved[index][place] += sign * h
                sides.append(float((self.value(moved).astype(float) * d).sum()))
            found[place] = (sides[0] - sides[1]) / (2 * h)
        return found


class LossTests:
    """Rules of losses.

    Attributes:
        loss: The loss.
        outputs: Outputs of the network that it may be given, by default drawn between 0 and 1.
    """

    loss: ClassVar[Loss]
    outputs: ClassVar[tuple[float, float]] = (0.1, 0.9)

    def test_its_error_is_minus_its_gradient(self) -> None:
        """By finite differences, where it looks through no activation."""
        draw = np.random.default_rng(0)
        y = draw.uniform(*self.outputs, (3, 4)).astype(np.float32)
        targets = draw.uniform(*self.outputs, (3, 4)).astype(np.float32)
        total, d = self.loss.evaluate(y, targets)

        assert np.isfinite(total)
        assert d.shape == y.shape
        if self.loss.behind is None:
            h = np.float32(1e-2)
            for place in np.ndindex(y.shape):
                up, down = y.copy(), y.copy()
                up[place] += h
                down[place] -= h
                rise = self.loss.evaluate(up, targets)[0] - self.loss.evaluate(down, targets)[0]
                np.testing.assert_allclose(d[place], -rise / (2 * h), atol=1e-3)

    def test_classes_count_as_one_hot(self) -> None:
        """As numbers, and as values."""
        y = np.random.default_rng(0).uniform(*self.outputs, (3, 4)).astype(np.float32)
        classes = np.array([2, 0, 3], np.int32)
        by_class, by_value = (
            self.loss.evaluate(y, targets) for targets in (classes, np.eye(4, dtype="f4")[classes])
        )

        np.testing.assert_allclose(by_class[0], by_value[0], rtol=1e-5)
        np.testing.assert_allclose(by_class[1], by_value[1], rtol=1e-5, atol=1e-7)


class TopologyTests:
    """Rules of topologies.

    Attributes:
        topology: A small one.
    """

    topology: ClassVar[Topology]

    def test_links_are_paired_and_enter_where_they_say(self) -> None:
        """A port leads to a router whose own port leads back."""
        topology = self.topology
        routers, ports = np.nonzero(topology.neighbors >= 0)
        there, entry = topology.neighbors[routers, ports], topology.entries[routers, ports]

        assert (topology.neighbors[there, entry] == routers).all()
        assert (topology.entries[there, entry] == ports).all()
        assert len(topology.link_lengths(topology.n_nodes)) == len(topology.links)

    def test_every_route_is_made_of_links_from_source_to_destination(self) -> None:
        """No route visits a router twice; the longest is the diameter at most."""
        topology = self.topology
        for source in range(topology.n_nodes):
            for destination in range(topology.n_nodes):
                route = topology.links[topology.route(source, destination)].reshape(-1, 2)
                ends = [source, *route[:, 1].tolist()]
                assert ends == [*route[:, 0].tolist(), destination]
                assert len(set(ends)) == len(ends)
                assert len(route) <= topology.diameter

    def test_messages_arrive_at_every_level_of_detail(self) -> None:
        """And never earlier than without contention."""
        from crossmesh.interconnect.noc import Packets, Router, simulate

        last = self.topology.n_nodes - 1
        packets = Packets(created=[0, 0], source=[0, last], destination=[last, 0], flits=[4, 4])
        models: tuple[Model, ...] = ("analytic", "packet", "flit")
        latencies = [
            simulate(self.topology, Router(), packets, model=model).latency_cycles
            for model in models
        ]
        assert (latencies[0] > 0).all()
        for latency in latencies[1:]:
            assert (latency >= latencies[0]).all()

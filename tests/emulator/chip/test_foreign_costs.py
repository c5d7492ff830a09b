"""Losses, topologies and cells of other packages, as names and as objects, and what they cost."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pytest
import yaml

from crossmesh.common.errors import ConfigError
from crossmesh.common.random import Stream
from crossmesh.emulator.chip.report import check_chip, chip_of
from crossmesh.emulator.compiler.job import prepare
from crossmesh.emulator.config.loading import dumped, load_config, validated
from crossmesh.emulator.config.run import RunConfig
from crossmesh.emulator.training.training import train
from crossmesh.interconnect.noc import TOPOLOGIES, FloorPlan, Topology
from crossmesh.tiles.analog.cells import Ideal, Pair
from crossmesh.tiles.analog.costs import CellCosts
from crossmesh.tiles.analog.crossbar import build
from crossmesh.tiles.analog.devices import SoftBounds
from crossmesh.tiles.analog.update import UpdateConfig
from crossmesh.tiles.digital import LOSSES, Loss, MeanSquaredError
from tests.foreign import OUTPUT, SMALL, config


@dataclass(frozen=True, kw_only=True, slots=True)
class Hinge(Loss):
    """Squared distance from a target that is beyond the margin, of each value by itself."""

    name: ClassVar[str] = "mine.hinge"
    counts_values: ClassVar[bool] = True
    margin: float = 0.1

    def __post_init__(self) -> None:
        """Refuse a margin below 0."""
        if self.margin < 0:
            raise ValueError(f"margin must be at least 0, got {self.margin}")

    def _of_values(self, y: Any, wanted: Any) -> tuple[float, Any]:
        distance = wanted - y
        d = np.where(np.abs(distance) > self.margin, distance, 0).astype(np.float32)
        return 0.5 * float((d * d).sum(dtype=np.float64)), d


@dataclass(frozen=True, kw_only=True)
class Belt(Topology):
    """A line of routers, each joined to the next by some lanes in time."""

    name: ClassVar[str] = "mine.belt"
    nodes: int
    lanes: int = 1

    @classmethod
    def on(cls, floor: FloorPlan) -> Self:
        """Row by row."""
        return cls(nodes=floor.n_places)

    @property
    def link_cycles(self) -> int:  # type: ignore[override]
        """A lane each."""
        return 5 * self.lanes

    @property
    def n_nodes(self) -> int:
        """As asked for."""
        return self.nodes

    @property
    def diameter(self) -> int:
        """From end to end."""
        return self.nodes - 1

    @cached_property
    def neighbors(self) -> Any:
        """Port 0 leads on, port 1 back."""
        here = np.arange(self.nodes)
        return np.stack([np.where(here + 1 < self.nodes, here + 1, -1), here - 1], axis=1)

    @cached_property
    def entries(self) -> Any:
        """The port that leads back."""
        return np.where(self.neighbors >= 0, [1, 0], -1)

    def step(self, here: Any, destination: Any) -> Any:
        """Towards the destination."""
        return np.where(destination > here, 0, 1)


class DearBelt(Belt):
    """A belt of large routers."""

    name: ClassVar[str] = "mine.dear_belt"
    router_area: ClassVar[float] = 2.5
    router_energy: ClassVar[float] = 3


@pytest.fixture(autouse=True)
def _kinds(monkeypatch):
    monkeypatch.setitem(LOSSES._kinds, Hinge.name, Hinge())
    monkeypatch.setitem(TOPOLOGIES._kinds, Belt.name, Belt)


# Losses


def labels(tmp_path):
    """Three labels of an example, each the sign of an input."""
    x = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    y = (x[:, :3] > 0).astype(np.float32)
    np.savez(tmp_path / "labels.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    return {"source": "npz", "file": str(tmp_path / "labels.npz")}


def test_a_loss_of_several_labels_counts_every_one(tmp_path):
    """Over 3 labels of 200 examples; as binary cross-entropy does."""
    network = [{"kind": "linear", "outputs": 3, "activation": "sigmoid"}]
    training = {"epochs": 4, "learning_rate": 0.3}
    made = config(network, data=labels(tmp_path), training=training)
    made = type(made)(**{**dict(made), "loss": Hinge()})
    job, accuracy = prepare(made), train(made).summary["test_accuracy"]

    assert job.program.outputs == 3
    assert 0.8 < accuracy <= 1


def test_one_output_of_a_loss_that_counts_values_tells_two_classes_apart(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    np.savez(tmp_path / "two.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    made = config([{"kind": "linear", "outputs": 1, "activation": "sigmoid"}],
                  data={"source": "npz", "file": str(tmp_path / "two.npz")},
                  training={"epochs": 4, "learning_rate": 0.3}, loss="mine.hinge")  # fmt: skip

    assert train(made).summary["test_accuracy"] > 0.8


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("mine.hinge", "mine.hinge"),
        (Hinge(), "mine.hinge"),
        ({"kind": "mine.hinge"}, "mine.hinge"),
        (Hinge(margin=0.4), {"kind": "mine.hinge", "margin": 0.4}),
        ({"kind": "mine.hinge", "margin": 0.4}, {"kind": "mine.hinge", "margin": 0.4}),
        (MeanSquaredError(), "mean_squared_error"),
    ],
)
def test_a_loss_is_a_name_a_mapping_or_an_object(given, written):
    base = load_config("digits", SMALL)
    made = RunConfig(**{**dict(base), "loss": given})
    again = validated(yaml.safe_load(dumped(made)))

    assert yaml.safe_load(dumped(made))["loss"] == written
    assert again.loss_function == made.loss_function
    assert hash(made.loss_function) == hash(again.loss_function)


def test_an_object_of_a_loss_trains_as_the_same_in_a_config():
    network = [{"kind": "linear", "outputs": 10, "activation": "sigmoid"}]
    one = config(network, loss={"kind": "mine.hinge", "margin": 0.4})
    two = type(one)(**{**dict(one), "loss": Hinge(margin=0.4)})
    other = config(network, loss="mine.hinge")
    digests = [train(each).state_digest for each in (one, two, other)]

    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("loss", {"kind": "mine.hinge", "size": 1}, r"^loss\.size is unknown$"),
        ("loss", {"margin": 1}, r"^loss must be 'cross_entropy', .*, got \{'margin': 1\}$"),
        ("loss", {"kind": {"kind": "mine.hinge"}}, r"^loss must be 'cross_entropy', .*$"),
        ("loss", {"kind": "mine.hinge", "margin": -1.0}, r"^loss: margin must be at least 0, got"),
        ("loss", {"kind": "cross_entropy", "margin": 1}, r"^loss\.margin is unknown$"),
        ("chip", {"topology": {"kind": "mine.belt", "size": 1}},
         r"^chip\.topology\.size is unknown$"),
        ("loss", {"kind": "mine.hinge", "margin": "much"},
         r"^loss\.margin must be of type float, got 'much'$"),
        ("loss", Hinge, r"^loss must be 'cross_entropy', .*, got <class"),
        ("chip", {"topology": {"kind": "mine.belt", "lanes": 1.5}},
         r"^chip\.topology\.lanes must be of type int, got 1\.5$"),
        ("chip", {"topology": 3}, r"^chip\.topology must be 'mesh', .*, got 3$"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_kind_is_one_line(field, value, message):
    with pytest.raises(ConfigError, match=message):
        config([OUTPUT], **{field: value})


# Chips


def chip_job(**chip):
    tree = yaml.safe_load(dumped(load_config("digits", SMALL)))
    base = validated({**tree, "chip": {"model": "packet"}})
    made = base.chip.model_copy(update=chip)
    return prepare(base.model_copy(update={"chip": type(made)(**dict(made))}))


def test_a_topology_is_a_name_a_class_an_object_or_a_mapping():
    """All of which are timed alike, and loaded again from what is written of them."""
    lanes = {"kind": "mine.belt", "lanes": 2}
    of_four = Belt(nodes=4, lanes=2)
    jobs = [chip_job(topology=each) for each in ("mine.belt", Belt, lanes, of_four)]
    plain, of_class, with_lanes, made = (chip_of(job).summary for job in jobs)
    loaded = [validated(yaml.safe_load(dumped(job.config))) for job in jobs]

    assert plain == of_class
    assert plain != with_lanes == made
    assert [each.chip.topology for each in loaded] == [
        "mine.belt", "mine.belt", lanes, {"kind": "mine.belt", "nodes": 4, "lanes": 2},
    ]  # fmt: skip
    assert [chip_of(prepare(each)).summary for each in loaded] == [plain, plain, made, made]


def test_a_topology_of_too_few_places_is_refused():
    with pytest.raises(ConfigError, match=(
        r"^chip\.topology must join the 2 x 2 places of the floor plan, got one of 3$"
    )):  # fmt: skip
        chip_of(chip_job(topology=Belt(nodes=3)))


@pytest.mark.parametrize(
    "topology", [Belt(nodes=9), {"kind": "mine.belt", "nodes": 9}, {"kind": "mesh", "width": 100}]
)
def test_a_topology_of_other_places_than_the_floor_plan_is_refused(topology):
    """Their areas and lengths are those of the floor plan."""
    rule = r"^chip\.topology must have the 2 x 2 places of the floor plan, which chip\.width and "
    with pytest.raises(ConfigError, match=rule):
        chip_of(chip_job(topology=topology))


def test_routers_cost_what_their_topology_says():
    cheap, dear = (chip_of(chip_job(topology=kind)) for kind in (Belt, DearBelt))

    assert dear.area.chip_mm2 > cheap.area.chip_mm2
    assert dear.area.leakage_w > cheap.area.leakage_w
    ours, theirs = (each.energy.by_component_j for each in (cheap, dear))
    assert theirs["router"].value == pytest.approx(3 * ours["router"].value)
    assert theirs["adc"] == ours["adc"]


class Dear(SoftBounds):
    """A device with a costly crosspoint."""

    kind: Literal["mine.dear"] = "mine.dear"  # type: ignore[assignment]
    part: str = ""

    @property
    def costs(self) -> CellCosts:
        """Three devices, two reads, slots of double length, and perhaps a part of its own."""
        own = {self.part: 3} if self.part else {}
        return CellCosts(
            devices=(self.at_crosspoint(3),), read=own, pulse=own, parts=own, reads=2, slots=2
        )


@pytest.mark.parametrize("around", [lambda device: device, lambda device: Pair(device=device)])
def test_cells_cost_what_they_say(around):
    base = load_config("digits", [*SMALL, "chip.phases.pulse_s=1e-7"])
    cheap, dear = (
        chip_of(prepare(base.model_copy(update={
            "tile": base.tile.model_copy(update={"cell": around(device)})
        })))
        for device in (SoftBounds(), Dear())
    )  # fmt: skip
    ours, theirs = cheap.energy.events, dear.energy.events

    assert theirs["cell_read"] == 2 * ours["cell_read"]
    assert theirs["adc"] == 2 * ours["adc"]
    assert theirs["line_pulse"] == ours["line_pulse"]
    joules = [each.energy.by_component_j for each in (cheap, dear)]
    for name, factor in (("cell_read", 6), ("cell_half", 6), ("cell_pulse", 6)):
        assert joules[1][name].value == pytest.approx(factor * joules[0][name].value)
    areas = [each.area.by_component_mm2["cell"] for each in (cheap, dear)]
    assert areas[1] == pytest.approx(3 * areas[0])
    for figure in ("interval_s", "energy_j_per_example", "area_mm2"):
        assert dear.summary[figure] > cheap.summary[figure]


def test_a_component_of_a_cell_that_the_table_lacks_is_named(tmp_path):
    base = load_config("digits", SMALL)
    tile = base.tile.model_copy(update={"cell": Dear(part="latch")})
    job = prepare(base.model_copy(update={"tile": tile}))
    rule = r"^chip\.table must have latch, a component of cells mine\.dear, got none"
    with pytest.raises(ConfigError, match=rule):
        chip_of(job)
    with pytest.raises(ConfigError, match=rule):
        check_chip(job)

    table = tmp_path / "table.yaml"
    latch = {"per": "read", "energy_pj": 1.0, "area_um2": 2.0, "source": "assumed"}
    table.write_text(yaml.safe_dump({"components": {"latch": latch}}))
    chip = base.chip.model_copy(update={"table": str(table)})
    with_latch = chip_of(prepare(job.config.model_copy(update={"chip": chip})))
    assert with_latch.energy.by_component_j["latch"].value > 0
    assert with_latch.area.part_counts(tile)["latch"] == 3 * tile.rows * tile.cols


class Exact(SoftBounds):
    """A device whose arrays are numbers."""

    kind: Literal["mine.exact"] = "mine.exact"  # type: ignore[assignment]

    @property
    def cell_bytes(self) -> int:
        """Of a number, and of what else it likes to keep."""
        return 100

    def crossbar(self, site: Any) -> Any:
        """An array of numbers."""
        return Ideal().crossbar(site)


def test_a_device_makes_its_own_crossbars():
    crossbar = build(Exact(), (3, 4), Stream(seed=0, owner=0), UpdateConfig())
    weights = np.full((3, 4), 0.123, np.float32)
    crossbar.write(weights)

    np.testing.assert_array_equal(crossbar.weights, weights)
    assert Exact().cell_bytes == 100

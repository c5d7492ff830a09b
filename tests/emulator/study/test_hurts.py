"""What of a device hurts: each property is made ideal alone, and ranked by what it gains."""

import numpy as np
import pyarrow as pa
import pytest
import yaml

from crossmesh.emulator.characterisation import simulate
from crossmesh.emulator.characterisation.comparing import behaviour
from crossmesh.emulator.characterisation.ideals import idealised
from crossmesh.emulator.config.loading import dumped, load_cell, presets
from crossmesh.emulator.study.hurts import cells_of, gains, hurts_study
from crossmesh.tiles.analog.cells import CELLS, Ideal
from crossmesh.tiles.analog.devices import DEVICES, ExpStep, JumpTable, LinearStep, SoftBounds
from tests.emulator.commands.shell import done, refused
from tests.jobs import TABLES, small_config

SPREAD = {"device_noise": 0.3, "cycle_noise": 0.4, "write_noise": 2.0, "asymmetry": 0.2}


@pytest.mark.parametrize("name", [*presets(), *DEVICES])
def test_every_ideal_is_a_config(name):
    cell = DEVICES[name]() if name in DEVICES else load_cell(name)
    for tree in idealised(cell).values():
        kinds = {**CELLS, **DEVICES}
        assert kinds[tree["kind"]].model_validate(tree).model_dump(mode="json") == tree


@pytest.mark.parametrize(
    "device",
    [SoftBounds(step=0.02, upper=1, lower=-1, **SPREAD), JumpTable(tables=TABLES),
     LinearStep(step=0.02, gamma_up=0.3, gamma_down=0.7, upper=1, lower=-1, **SPREAD),
     ExpStep(step=0.02, upper=1, lower=-1, **SPREAD)],
    ids=lambda device: device.kind,
)  # fmt: skip
def test_an_ideal_property_is_ideal_in_a_crossbar(device):
    """The others stay: one look at each for a device that has all."""
    cells = {name: type(device).model_validate(tree) if tree["kind"] == device.kind
             else DEVICES[tree["kind"]].model_validate(tree)
             for name, tree in idealised(device).items()}  # fmt: skip
    flat = simulate.steps(simulate.quiet(cells["steps alike at every conductance"]), 0)
    rises = flat.up[:, np.isfinite(flat.up).all(axis=0)]  # of devices that reach all conductances
    balanced = simulate.steps(simulate.quiet(cells["up and down steps balanced"]), 0)
    middle = int(np.argmin(np.abs(balanced.points)))
    up, down = (np.nanmean(way[middle]) for way in (balanced.up, balanced.down))

    assert simulate.steps(cells["no cycle noise"], 0).noise < 1e-3
    assert rises.shape[1] > 100
    np.testing.assert_allclose(rises[5:-5], np.broadcast_to(rises[20], rises[5:-5].shape), rtol=0.1)
    assert (up + down) / (up - down) == pytest.approx(0, abs=0.1)
    alike = behaviour(cells["devices alike"], 0).figures
    assert max(alike["spread of steps"], alike["spread of ranges"]) < 0.01
    assert behaviour(cells["ten times as many states"], 0).figures["states"] == pytest.approx(
        10 * behaviour(device, 0).figures["states"], rel=0.2
    )


def test_two_laws_are_balanced_where_weights_are_zero():
    """The shipped device's down steps are 1.8 times its up steps before its asymmetry."""
    device = load_cell("reram-es-gong-2018")
    ideal = ExpStep.model_validate(idealised(device)["up and down steps balanced"])
    as_is, balanced = (behaviour(simulate.quiet(each), 0).figures for each in (device, ideal))

    assert ideal.asymmetry == pytest.approx(1 - 1.0972 / 1.9917, abs=1e-3)
    assert abs(balanced["symmetry point"]) < 0.05 < abs(as_is["symmetry point"])


@pytest.mark.parametrize("name", ["reram-es-gong-2018", "reram-sb-gong-2018", "jump_table"])
def test_steps_are_made_ideal_alone_and_leave_the_write_noise(name):
    device = JumpTable(tables=TABLES, write_noise=2.0) if name == "jump_table" else load_cell(name)
    kinds = {**CELLS, **DEVICES}
    noises = {title: kinds[tree["kind"]].model_validate(tree).write_deviation
              for title, tree in idealised(device).items()}  # fmt: skip

    assert noises.pop("no write noise") == 0
    assert "ten times as many states" in noises
    assert noises == pytest.approx(dict.fromkeys(noises, device.write_deviation))


def results(accuracies):
    rows = [
        {"title": title, "seed": seed, "test_accuracy": value, "failure": None}
        for title, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows)


def test_gains_are_those_of_the_same_seeds():
    found = gains(results({
        "as it is": [0.7, 0.8], "no bounds": [0.8, 0.9], "no cycle noise": [0.9, 0.8],
        "no stuck devices": [0.9, 1.0], "ideal weights": [0.95, 0.99],
    }))  # fmt: skip

    names = [gain.made_ideal for gain in found]
    assert (names[0], names[-1]) == ("no stuck devices", "ideal weights")
    by_name = {gain.made_ideal: gain for gain in found}
    assert by_name["no bounds"].error == pytest.approx(0, abs=1e-12)
    assert by_name["no cycle noise"].error == pytest.approx(0.1)
    assert cells_of(found)[0] == ("as it is", "75.00", "-", "-")


@pytest.mark.slow
def test_a_device_is_ranked_by_the_command(tmp_path):
    noises = ("cycle_noise", "device_noise", "asymmetry_device_noise", "upper_device_noise",
              "lower_device_noise")  # fmt: skip
    quiet = {"kind": "constant_step", "step": 0.02, **dict.fromkeys(noises, 0.0)}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(quiet))
    (tmp_path / "small.yaml").write_text(dumped(small_config()))
    said = done("study", "--what-hurts", "mine.yaml", "--config", "small.yaml", "--seeds", "0",
                "--quiet", "--json", folder=tmp_path)  # fmt: skip

    names = [row["made_ideal"] for row in said.answer["rows"]]
    assert set(names) == {"no bounds", "ten times as many states", "ideal weights"}
    folder = tmp_path / "studies" / "what-hurts-mine"
    assert (folder / "what-hurts.png").stat().st_size > 5_000
    assert "| as it is |" in (folder / "what-hurts.md").read_text()


def test_the_study_of_a_device_has_a_row_for_each_property():
    study = hurts_study("reram-sb-gong-2018", "digits")

    titles = [run.title for run in study.runs]
    assert titles[0] == "as it is"
    assert titles[-1] == "ideal weights"
    assert {"no write noise", "devices alike", "no bounds"} <= set(titles)
    assert study.runs[-1].set["tile.cell"] == {"kind": Ideal().kind}


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("--what-hurts", "ideal"), "--what-hurts must name a device that pulses move, got ideal"),
        (("digits", "--what-hurts", "reram-sb-gong-2018"), "its network is --config digits"),
        (("digits", "--config", "digits"), "--config must come with --what-hurts DEVICE"),
    ],
)
def test_what_makes_no_study_is_refused(words, rule, tmp_path):
    assert rule in refused("study", *words, folder=tmp_path)


def test_devices_side_by_side(tmp_path):
    words = ("soft_bounds", "ecram-li-tang-2018", "--plot", "both.svg")
    told = done("devices", "compare", *words, folder=tmp_path).out
    figures = done("devices", "compare", "soft_bounds", "--json", folder=tmp_path).answer

    assert "ecram-li-tang-2018" in told
    assert (tmp_path / "both.svg").stat().st_size > 10_000
    assert figures["soft_bounds"]["states"] == pytest.approx(1200, rel=0.1)
    assert figures["soft_bounds"]["spread of steps"] == pytest.approx(0.3, rel=0.15)

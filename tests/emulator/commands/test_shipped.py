"""Every config, study and device that ships, through the command, on few examples."""

import json
import math

import pytest

from crossmesh.emulator.cli.catalogue import devices
from crossmesh.emulator.config.loading import load_config, overrides, presets, shipped
from crossmesh.emulator.study import load_study
from crossmesh.emulator.study.config import shipped_studies
from tests.conftest import SHARED
from tests.emulator.commands.shell import checked, done, refused

pytestmark = pytest.mark.slow

FEW = [
    "training.examples=3", "training.test_examples=3", "training.epochs=1",
    "training.evaluation_batch=2", "training.baseline=false", "chip.model=analytic",
    "checkpoint.every_s=null", "engine.kind=local",
]  # fmt: skip
LARGE = 1e6  # weights; a network with more is made narrower before it is trained
NARROWER = 64
WITHOUT_FILES = {"digits", "synthetic"}
MANY_TILES = {"synthetic-4096-tiles"}  # building them takes longer than all else
LONG = {"cifar10-resnet20", "shakespeare-gpt", "shakespeare-lstm", "mnist-2018-sensitivity"}


def few(fields=()):
    """Options for as few examples as show that a network learns, tests and ends."""
    return [word for text in (*fields, *FEW) for word in ("--set", text)]


def trained(desk, folder, name, *options):
    """What ``crossmesh train`` says of a shipped config."""
    config = load_config(name)
    if config.data.source not in WITHOUT_FILES and not SHARED.is_dir():
        pytest.skip("needs the folder shared/ beside the repository")
    where = ("--run-dir", folder, "--data-dir", "data", "--json", "--quiet")
    narrow = overrides({"network": layers}) if (layers := narrowed(config)) else []
    said = done("train", name, *options, *few(narrow), *where, folder=desk)
    return checked(said.answer, has_classes=True)


def narrowed(config):
    """The layers of a network too large to train here, so narrow that it can be; else nothing."""
    if not isinstance(config.network, list | tuple):
        return None
    layers = [layer.model_dump(mode="json") for layer in config.network]
    wide = [layer for layer in layers if "outputs" in layer]
    taps = [layer.get("kernel", 1) ** 2 for layer in wide]
    widths = [layer["outputs"] for layer in wide]
    if sum(map(math.prod, zip(widths[:-1], widths[1:], taps[1:], strict=True))) < LARGE:
        return None
    for layer in wide[:-1]:
        layer["outputs"] = -(-layer["outputs"] // NARROWER)
    return layers


def marked(names):
    """Names as parameters; what takes long is marked so."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in names]


@pytest.mark.parametrize("name", marked(shipped()))
def test_a_shipped_config_trains(name, desk, tmp_path):
    summary = trained(desk, tmp_path / "run", name)
    assert summary["name"] == name
    assert summary["examples_trained"] == 3
    if name in MANY_TILES:
        return
    again = done("evaluate", tmp_path / "run", "--json", "--quiet", folder=desk).answer
    for figure in ("state_digest", "test_loss", "test_accuracy"):
        assert again[figure] == summary[figure]


@pytest.mark.parametrize("name", marked(shipped_studies()))
def test_every_row_of_a_shipped_study_trains(name, desk, tmp_path):
    """The study itself makes the same runs, each in a process of its own; one is made below."""
    study = load_study(name)
    for row, run in enumerate(study.rows):
        fields = overrides({**study.set, **run.set})
        options = [word for text in fields for word in ("--set", text)]
        trained(desk, tmp_path / str(row), run.config, *options)


@pytest.mark.slow
def test_a_study_makes_its_runs(desk, tmp_path):
    """Two rows of a shipped one, in a file: the command, with a process for each."""
    study = load_study("digits-devices").model_dump(mode="json")
    (tmp_path / "two.yaml").write_text(json.dumps({**study, "runs": study["runs"][:2]}))
    asked = ("study", "two.yaml", "--seeds", "3", "--jobs", 2, *few(), "--json", "--quiet")
    rows = done(*asked, folder=tmp_path).answer
    assert json.dumps(rows)
    again = done(*asked, folder=tmp_path).answer  # nothing is made again
    assert again == rows
    assert (tmp_path / "studies" / study["name"] / "table.md").is_file()


@pytest.mark.slow
def test_every_device_is_drawn_and_listed(desk, tmp_path):
    kinds = [entry["kind"] for entry in devices() if entry["kind"] != "ideal"]
    picture = tmp_path / "all.svg"
    said = done("devices", "plot", *kinds, *presets(), "--output", picture)
    assert str(picture) in said.out
    drawn = picture.read_text("utf-8")
    listed = done("devices", "list").out
    for name in (*kinds, *presets()):
        assert name in listed
        assert name in drawn or name.replace("_", " ") in drawn
    sentence = refused("devices", "plot", "ideal", "--output", picture)
    assert sentence == "error: a device to plot must be moved by pulses, got ideal"

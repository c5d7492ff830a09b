"""Every kind through ``crossmesh``: train, evaluate, resume."""

import json

import pytest

from crossmesh.emulator.data.sources import SOURCES
from tests.conftest import SHARED
from tests.emulator.commands.cases import (
    CASES,
    DATA,
    LAYERS,
    LOSSES,
    Case,
    imported_fields,
    layer_classes,
    losses,
    networks_from_files,
)
from tests.emulator.commands.shell import BITS, checked, crossmesh, done

pytestmark = pytest.mark.slow


def test_every_kind_has_a_case():
    """Cells, devices, and the fields of all sections have theirs from their own classes."""
    assert layer_classes().keys() == LAYERS.keys(), "a layer: cases.py, LAYERS"
    assert SOURCES.keys() == DATA.keys(), "a source of data: cases.py, DATA"
    assert losses() <= LOSSES.keys(), "a loss: cases.py, LOSSES"
    assert imported_fields() == networks_from_files().keys(), "a field of an imported network"
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kind_trains_and_goes_on(case: Case, desk, tmp_path):
    """What a run says, leaves, says again when it is tested, and comes to when it goes on."""
    if case.needs and not SHARED.is_dir():
        pytest.skip(f"needs the folder {case.needs}/ beside the repository")
    asked = ("small.yaml", *case.options)

    def trained(folder, epochs):
        where = ("--run-dir", tmp_path / folder, "--epochs", epochs, "--json", "--quiet")
        said = done("train", *_apart(asked, tmp_path / f"of-{folder}"), *where, folder=desk)
        assert json.loads((tmp_path / folder / "summary.json").read_text()) == said.answer
        return checked(said.answer, has_classes=case.has_classes)

    once = trained("once", 1)
    again = done("evaluate", tmp_path / "once", "--json", "--quiet", folder=desk).answer
    for figure in ("state_digest", "test_loss", "test_accuracy", "examples_trained"):
        assert again[figure] == once[figure]
    more = done("resume", tmp_path / "once", "--epochs", 2, "--json", "--quiet", folder=desk).answer
    whole = trained("whole", 2)
    assert {bit: more[bit] for bit in BITS} == {bit: whole[bit] for bit in BITS}
    assert whole["examples_trained"] == 2 * once["examples_trained"]


def _apart(asked, storage):
    """With storage of its own for each run, where one is asked for."""
    return [word.replace('storage="storage"', f"storage={storage}") for word in asked]


def test_a_kind_that_is_none_is_refused_by_its_name(desk):
    said = crossmesh("train", "small.yaml", "--set", "tile.cell.kind=pear", folder=desk)
    assert said.code == 2
    assert "tile.cell.kind must be one of" in said.err
    assert "did you mean pair" in said.err

"""Chips of the shipped configs are timed and priced with no data set at hand."""

from pathlib import Path

import numpy as np
import pytest

from crossmesh.emulator.compiler.job import prepare_chip
from crossmesh.emulator.config.loading import load_config, shipped
from crossmesh.emulator.data import load
from crossmesh.emulator.data.config import DataConfig
from crossmesh.emulator.data.outline import outline
from tests.emulator.commands.material import ROOT
from tests.emulator.data.data_material import secluded  # noqa: F401  a fixture

PUBLISHED = ROOT.parent / "shared" / "data"


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_config_is_compiled_without_its_data(name, secluded):  # noqa: F811
    job = prepare_chip(load_config(name))
    assert job.program.operations
    assert not list(Path(secluded).rglob("*.gz"))


@pytest.mark.parametrize(
    ("folder", "settings"),
    [
        ("mnist", {"source": "mnist", "crop": {"rows": [3, 25], "columns": [2, 26]}}),
        ("mnist", {"source": "mnist", "only_classes": [3, 5, 8]}),
        ("fashion-mnist", {"source": "fashion-mnist"}),
        ("tinyshakespeare", {"source": "text", "steps": 48, "test_fraction": 0.1}),
        ("tinyshakespeare", {"source": "text", "targets": "case"}),
    ],
)
def test_an_outline_is_of_the_shape_of_the_data(folder, settings):
    if not (PUBLISHED / folder).is_dir():
        pytest.skip("needs the data set")
    sketch = outline(DataConfig(**settings))
    data = load(DataConfig(**settings, directory=PUBLISHED / folder))
    for name in ("shape", "n_outputs", "tokens", "has_classes"):
        assert getattr(sketch, name) == getattr(data, name)
    for mine, theirs in ((sketch.train, data.train), (sketch.test, data.test)):
        assert mine.targets.shape[1:] == theirs.targets.shape[1:]
        assert mine.kept.shape[1:] == theirs.kept.shape[1:]
        assert len(mine) == pytest.approx(len(theirs), rel=0.1 if "only_classes" in settings else 0)
    assert len(np.unique(sketch.train.targets)) == len(np.unique(data.train.targets))


@pytest.mark.parametrize("settings", [{"source": "digits"}, {"source": "npz", "file": "a.npz"},
                                      {"source": "mnist", "directory": "mine"}])  # fmt: skip
def test_data_of_ones_own_has_no_outline(settings):
    assert outline(DataConfig(**settings)) is None

"""What Python shows of configs, results and reports fits a screen."""

from pathlib import Path

import pytest

import crossmesh
from crossmesh.common.registry import Registry
from crossmesh.common.summaries import COLUMNS, LINES, summary_of
from crossmesh.emulator.chip.report import chip_report
from crossmesh.emulator.config import loading
from crossmesh.emulator.study import config as study_config
from tests.jobs import small_config

CONFIGS = sorted(path.stem for path in (Path(loading.__file__).parent / "shipped").glob("*.yaml"))
STUDIES = sorted(path.stem for path in study_config.SHIPPED.glob("*.yaml"))


def shown(thing):
    """What Python shows of a thing, which fits a screen."""
    text = repr(thing)
    assert len(text.splitlines()) <= LINES
    assert max(map(len, text.splitlines())) <= COLUMNS
    assert " object at 0x" not in text
    return text


@pytest.mark.parametrize("name", CONFIGS)
def test_shipped_configs_fit_a_screen(name):
    assert f"name='{name}'" in shown(crossmesh.load_config(name))


@pytest.mark.parametrize("name", STUDIES)
def test_shipped_studies_fit_a_screen(name):
    assert f"name='{name}'" in shown(crossmesh.load_study(name))


def test_a_long_network_ends_in_dots():
    lines = shown(crossmesh.load_config("cifar10-resnet20")).splitlines()
    assert any(line.endswith(" ...") for line in lines)
    assert lines[1] == "    name='cifar10-resnet20',"


def test_results_say_their_units(tmp_path):
    result = crossmesh.train(small_config("ideal"), tmp_path / "run")
    text = shown(result)
    assert f"test accuracy: {100 * result.test_accuracy:.2f} %" in text
    assert " J per example" in text
    assert " examples/s" in text


def test_reports_show_their_figures_only():
    report = chip_report(small_config())
    assert shown(report).startswith("ChipReport(\n    schedule='sequential'")
    assert shown(report.time).startswith("ChipTime(")
    assert shown(report.energy).startswith("ChipEnergy(")
    assert shown(report.area).startswith("ChipArea(chip_mm2=")


def test_directories_and_registries_name_what_they_hold(tmp_path):
    assert shown(crossmesh.RunDirectory("runs/x")) == "RunDirectory('runs/x')"
    assert shown(Registry("crossmesh.none", {"a": 1})) == (
        "Registry('crossmesh.none', names=['a'])"
    )
    for registry in (crossmesh.devices, crossmesh.layers, crossmesh.losses, crossmesh.sources):
        assert all(name in shown(registry) for name in registry)


def test_what_is_far_too_long_is_cut():
    text = summary_of("Long", [(f"field_{i}", "x" * 5000) for i in range(30)])
    assert len(text.splitlines()) == LINES

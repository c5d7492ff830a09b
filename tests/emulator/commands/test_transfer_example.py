"""The example of transfer learning, from the features to the study, by its commands."""

import importlib.util
import math
import re
import shutil

import numpy as np
import pytest

from tests.conftest import SHARED
from tests.emulator.commands.material import ROOT
from tests.emulator.commands.shell import done

EXAMPLE = ROOT / "examples" / "transfer"
FEW = ("--set", "training.examples=3", "--set", "training.epochs=1", "--set",
       "training.test_examples=2")  # fmt: skip
TASKS = ("fashion-to-mnist", "mnist-to-fashion", "cifar10-halves", "cifar10-halves-float32")


@pytest.fixture(scope="module")
def interval():
    """The script beside the configs."""
    spec = importlib.util.spec_from_file_location("interval", EXAMPLE / "interval.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the folder shared/ beside the repository")
def test_features_are_exported_and_new_layers_learn_behind_them(desk, tmp_path, interval, capsys):
    for path in EXAMPLE.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    data = ("--data-dir", desk / "data", "--quiet")
    for name in ("fashion-cnn", "mnist-cnn", "cifar10-half-cnn"):
        done("train", name, *FEW, *data, "--set", "engine.kind=local", folder=tmp_path)
        done("export", f"runs/{name}", "--onnx", f"{name}.onnx", folder=tmp_path)
    asked = ("study", "transfer.yaml", "--seeds", "0,1", "--jobs", 1, *FEW, *data)
    done(*asked, folder=tmp_path)

    study = tmp_path / "studies" / "transfer"
    table = (study / "table.md").read_text("utf-8")
    rows = {cells[1]: cells[2:] for cells in (re.split(r" ?\| ?", row) for row in table.split("\n"))
            if len(cells) > 4}  # fmt: skip
    assert all(rows[task][0] == "2" for task in TASKS)
    assert rows["cifar10-halves-float32"][5] == "+0.00"  # it is what the baseline is
    interval.main(str(study), *TASKS[2:])
    printed = capsys.readouterr().out.splitlines()
    for line, task in zip(printed, TASKS[2:], strict=False):
        assert line == f"{task}: {rows[task][1]} %"  # as the runs were tested
    assert printed[2].endswith("(2 test examples, 2 seeds)")


def test_the_interval_is_that_of_normal_theory_for_many_examples(interval):
    draws = np.random.default_rng(1)
    one, other = draws.random((5, 4000)) < 0.8, draws.random((5, 4000)) < 0.75
    difference, (low, high) = interval.interval(one, other)

    gains = one.mean(0) - other.mean(0)
    reach = 1.96 * gains.std() / math.sqrt(4000)
    assert difference == pytest.approx(one.mean() - other.mean())
    assert low == pytest.approx(difference - reach, abs=0.1 * reach)
    assert high == pytest.approx(difference + reach, abs=0.1 * reach)


def test_what_both_have_right_leaves_no_doubt(interval):
    same = np.random.default_rng(2).random((3, 50)) < 0.6

    assert interval.interval(same, same) == (0.0, (0.0, 0.0))

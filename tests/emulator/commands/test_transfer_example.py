"""The example of transfer learning, from the features to the study, by its commands."""

import shutil

import pytest

from tests.conftest import SHARED
from tests.emulator.commands.material import ROOT
from tests.emulator.commands.shell import done

FEW = ("--set", "training.examples=3", "--set", "training.epochs=1", "--set",
       "training.test_examples=2")  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the folder shared/ beside the repository")
def test_features_are_exported_and_new_layers_learn_behind_them(desk, tmp_path):
    for path in (ROOT / "examples" / "transfer").glob("*.yaml"):
        shutil.copy(path, tmp_path)
    data = ("--data-dir", desk / "data", "--quiet")
    for name in ("fashion-cnn", "mnist-cnn"):
        done("train", name, *FEW, *data, "--set", "engine.kind=local", folder=tmp_path)
        done("export", f"runs/{name}", "--onnx", f"{name}.onnx", folder=tmp_path)
    asked = ("study", "transfer.yaml", "--seeds", 0, "--jobs", 1, *FEW, *data)
    done(*asked, folder=tmp_path)

    table = (tmp_path / "studies" / "transfer" / "table.md").read_text("utf-8")
    assert "| fashion-to-mnist | 1 |" in table
    assert "| mnist-to-fashion | 1 |" in table

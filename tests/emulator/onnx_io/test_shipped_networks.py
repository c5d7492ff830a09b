"""The ONNX files that ship with configs: small, and those that the example exports."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from crossmesh.emulator.config.run import SHIPPED

FILES = sorted(SHIPPED.glob("*.onnx"))
SCRIPT = Path(__file__).parents[3] / "examples" / "networks" / "export.py"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_that_ships_is_small_and_has_a_config(file):
    assert file.stat().st_size < 300_000
    assert file.with_suffix(".yaml").is_file()


@pytest.mark.slow
def test_the_example_exports_the_files_that_ship(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True, capture_output=True)

    assert [path.name for path in FILES] == sorted(path.name for path in tmp_path.iterdir())
    for path in FILES:
        ours, again = (onnx.load(one).graph for one in (path, tmp_path / path.name))
        assert [n.op_type for n in ours.node] == [n.op_type for n in again.node]
        for one, other in zip(ours.initializer, again.initializer, strict=True):
            assert one.name == other.name
            weights = (numpy_helper.to_array(tensor) for tensor in (one, other))
            np.testing.assert_allclose(*weights, rtol=1e-6)

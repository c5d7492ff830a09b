"""crossmesh export, and a config that takes what it writes."""

import json

from tests.emulator.commands.shell import done, refused

IMPORTING = """
name: again
data: {source: digits}
network: {onnx: digits.onnx}
tile:
  cell: {kind: ideal}
  read: {noise_management: none, bound_management: none, dac: null, adc: null, output_noise: 0.0}
engine: {kind: local}
"""


def test_a_run_goes_out_and_comes_back(tmp_path):
    options = ["--engine", "local", "--epochs", "1", "--run-dir", "run", "--json", "--quiet"]
    done("train", "digits", *options, "--set", "training.baseline=false", folder=tmp_path)
    files = ("--onnx", "digits.onnx", "--npz", "digits.npz")
    reported = done("export", "run", *files, "--json", folder=tmp_path).answer
    assert (reported["layers"], reported["weights"]) == (2, 65 * 48 + 49 * 10)
    assert (tmp_path / reported["npz"]).is_file()

    (tmp_path / "again.yaml").write_text(IMPORTING)
    tested = done("evaluate", "again.yaml", "--json", folder=tmp_path).answer
    trained = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert abs(tested["test_accuracy"] - trained["test_accuracy"]) < 0.02  # the tiles had noise


def test_an_export_to_nowhere_is_refused(tmp_path):
    options = ["--engine", "local", "--epochs", "1", "--run-dir", "run", "--json", "--quiet"]
    done("train", "digits", *options, "--set", "training.baseline=false", folder=tmp_path)
    sentence = refused("export", "run", folder=tmp_path)
    rule = "export must be given --onnx FILE, --npz FILE or both, got neither"
    assert sentence == f"error: {rule}"
    sentence = refused("export", "run", "--npz", "no/where.npz", folder=tmp_path)
    assert sentence.startswith("error: --npz must be in an existing folder, got no/where")

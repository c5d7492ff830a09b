"""crossmesh export, and a config that takes what it writes."""

import json

from tests.test_cli import crossmesh

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
    crossmesh("train", "digits", *options, "--set", "training.baseline=false", cwd=tmp_path)
    out = crossmesh("export", "run", "--onnx", "digits.onnx", "--npz", "digits.npz", "--json",
                    cwd=tmp_path)  # fmt: skip
    told = json.loads(out.stdout)
    assert (told["layers"], told["weights"]) == (2, 65 * 48 + 49 * 10)
    assert (tmp_path / told["npz"]).is_file()

    (tmp_path / "again.yaml").write_text(IMPORTING)
    tested = json.loads(crossmesh("evaluate", "again.yaml", "--json", cwd=tmp_path).stdout)
    trained = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert abs(tested["test_accuracy"] - trained["test_accuracy"]) < 0.02  # the tiles had noise


def test_an_export_to_nowhere_is_refused(tmp_path):
    options = ["--engine", "local", "--epochs", "1", "--run-dir", "run", "--json", "--quiet"]
    crossmesh("train", "digits", *options, "--set", "training.baseline=false", cwd=tmp_path)
    refused = crossmesh("export", "run", cwd=tmp_path)
    assert refused.returncode == 2
    assert (
        refused.stderr
        == "error: export must be given --onnx FILE, --npz FILE or both, got neither\n"
    )
    refused = crossmesh("export", "run", "--npz", "no/where.npz", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "error: --npz must lie in a folder that is there, got no/where"
    )

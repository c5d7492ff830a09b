"""Algorithms on networks that people bring: from an ONNX file and to one, images and sequences."""

import json

import numpy as np
import pytest

from tests.emulator.commands.shell import done
from tests.zoo import TEXT

pytestmark = pytest.mark.slow

END = {"kind": "linear", "outputs": 10, "activation": "softmax"}
NETWORKS = {
    "perceptron": [{"kind": "linear", "outputs": 12, "activation": "tanh"}, END],
    "convolutions": [
        {"kind": "conv", "outputs": 4, "kernel": 3, "padding": 1},
        {"kind": "batch_norm"},
        {"kind": "relu"},
        {"kind": "max_pool", "kernel": 2},
        {"kind": "conv", "outputs": 5, "kernel": 3, "activation": "relu"},
        {"kind": "flatten"},
        END,
    ],
    "attention": [
        {"kind": "embedding", "outputs": 8, "digital": False},
        {"kind": "position", "name": "a"},
        {"kind": "attention", "heads": 2, "causal": True, "name": "b"},
        {"kind": "add", "inputs": ["a", "b"]},
        {"kind": "layer_norm"},
        {"kind": "lstm", "outputs": 6},
        {"kind": "linear", "outputs": 80, "activation": "softmax"},
    ],
}
ALGORITHMS = {
    "agad": {"kind": "agad", "chop": 1.0, "granularity": 0.01, "fast_rate": 0.3, "reads": 16},
    "tiki_taka_2": {"kind": "tiki_taka_2", "granularity": 0.05, "longest": 3, "reads": 2},
    "mixed_precision": {"kind": "mixed_precision", "every_counts": "batches"},
    "adam": {
        "kind": "mixed_precision", "every_counts": "batches", "write": {"length": 31},
        "optimizer": {"kind": "adam"},
    },
}  # fmt: skip


def config_of(name, **changes):
    is_text = name == "attention"
    return {
        "name": name,
        "data": {"source": "text", "file": str(TEXT), "steps": 6}
        if is_text
        else {"source": "digits"},
        "network": NETWORKS[name],
        "training": {"epochs": 1, "batch": 4, "examples": 24, "test_examples": 12},
        "tile": {"rows": 24, "cols": 20, "cell": {"kind": "soft_bounds", "step": 0.01}},
        "engine": {"kind": "local"},
        **changes,
    }


def write(folder, config):
    (folder / "net.yaml").write_text(json.dumps(config))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_network_comes_in_learns_by_it_and_goes_out(name, algorithm, tmp_path):
    write(tmp_path, config_of(name))
    done("train", "net.yaml", "--run-dir", "first", "--quiet", folder=tmp_path)
    done("export", "first", "--onnx", "net.onnx", "--quiet", folder=tmp_path)
    write(tmp_path, config_of(name, network={"onnx": "net.onnx"}))
    setting = f"training.algorithm={json.dumps(ALGORITHMS[algorithm])}"

    words = ("--set", setting, "--run-dir", "run", "--json", "--quiet")
    said = done("train", "net.yaml", *words, folder=tmp_path).answer
    more = done("resume", "run", "--epochs", 2, "--json", "--quiet", folder=tmp_path).answer
    done("export", "run", "--onnx", "out.onnx", "--npz", "out.npz", "--quiet", folder=tmp_path)

    assert np.isfinite(more["train_loss"])
    last = "C" if algorithm in {"agad", "tiki_taka_2"} else "devices"
    assert more["pulses"][last] > said["pulses"][last] > 0
    write(tmp_path, config_of(name, network={"onnx": "out.onnx"}))
    again = done("evaluate", "net.yaml", "--json", folder=tmp_path).answer
    assert again["test_loss"] == pytest.approx(more["test_loss"], rel=0.1)

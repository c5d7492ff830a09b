"""A run needs no file but its own and its data."""

import shutil

import pytest

from tests.cluster.launch.launch_material import imported_network
from tests.emulator.commands.shell import done


@pytest.fixture
def config(tmp_path):
    """A network with its weights in another file, trained from other weights."""
    (tmp_path / "here").mkdir()
    return imported_network(tmp_path / "here")


def test_a_run_of_an_imported_network_is_resumed_where_neither_it_nor_its_weights_are(
    config, tmp_path
):
    words = ("--engine", "local", "--json", "--quiet")
    folder = config.parent
    whole = done("train", config, "--epochs", 3, *words, "--run-dir", "whole", folder=folder).answer
    done("train", config, "--epochs", 2, *words, "--run-dir", "part", folder=folder)
    moved = tmp_path / "elsewhere" / "run"
    shutil.move(folder / "part", moved)
    shutil.rmtree(folder)

    resumed = done("resume", moved, "--epochs", 3, "--json", "--quiet", folder=tmp_path).answer
    tested = done("evaluate", moved, "--json", "--quiet", folder=tmp_path).answer

    assert resumed["state_digest"] == whole["state_digest"]
    assert tested["test_accuracy"] == whole["test_accuracy"]


def test_a_run_keeps_what_it_began_from(config, tmp_path):
    done("train", config, "--epochs", 1, "--engine", "local", "--quiet", "--run-dir",
         tmp_path / "run", folder=config.parent)  # fmt: skip
    there = {"network/net.onnx": "net.onnx", "network/numbers/of net": "numbers/of net",
             "weights/begin.npz": "begin.npz"}  # fmt: skip

    for kept, given in there.items():
        assert (tmp_path / "run" / kept).read_bytes() == (config.parent / given).read_bytes()
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert str(config.parent) not in text

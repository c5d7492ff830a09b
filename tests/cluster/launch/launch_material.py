"""What several tests of launch_files need."""

import os
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import typer
import yaml

from crossmesh.cluster.launch.commands import PASSING_ON, launch
from tests.emulator.onnx_io.onnx_material import f32, onnx_file

MACHINES = ("on-premises", "aws", "gcp")
GENERATED = (*MACHINES, "kubernetes", "slurm")
app = typer.Typer(add_completion=False)
app.command(context_settings=PASSING_ON)(launch)


@pytest.fixture
def generate(tmp_path):
    """What generates the files of a shipped cluster, changed, and says where they are."""

    def generated(name, *options, **changes):
        source = tmp_path / "mine.yaml"
        source.write_text(yaml.safe_dump({"extends": name, **changes}))
        arguments = (source, "digits", *options, "--files", tmp_path / "out", "--dry-run")
        app([str(argument) for argument in arguments], standalone_mode=False)
        return tmp_path / "out"

    return generated


def imported_network(folder):
    """A config in a folder, of a network whose weights lie in another file and are replaced."""
    (folder / "numbers").mkdir()
    shapes = {"w": (64, 10), "b": (10,)}
    path = onnx_file(
        folder / "net.onnx",
        [("Gemm", ["x", "w", "b"], ["h"], {}), ("Softmax", ["h"], ["y"], {"axis": -1})],
        (64,),
        {name: f32(*shape) for name, shape in shapes.items()},
    )
    onnx.save_model(
        onnx.load(path), path, save_as_external_data=True, location="numbers/of net",
        size_threshold=0,
    )  # fmt: skip
    np.savez(folder / "begin", **{"w.weight": f32(10, 64, seed=1), "w.bias": f32(10, seed=1)})
    config = folder / "imported.yaml"
    tree = {"extends": "digits", "name": "imported", "network": {"onnx": "net.onnx"},
            "weights": "begin.npz", "training": {"epochs": 2, "baseline": False}}  # fmt: skip
    config.write_text(yaml.safe_dump(tree))
    return config


def documented(*command):
    """Options that the help of one of Ray's commands names."""
    help_ = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *command, "--help"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return set(re.findall(r"--([a-z-]+)", help_))


class StandIns:
    """Programs of a cluster that only write down how they were called."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "calls"
        folder.mkdir()
        self.log.touch()

    def add(self, name, body=""):
        path = self.folder / name
        path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> {self.log}\n{body}\n')
        path.chmod(0o755)

    @property
    def environment(self):
        return {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}

    @property
    def calls(self):
        return self.log.read_text().splitlines()


@pytest.fixture
def stand_ins(tmp_path):
    return StandIns(tmp_path / "bin")

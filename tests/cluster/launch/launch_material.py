"""What several tests of launch_files need."""

import os
import re
import subprocess
import sys

import pytest
import typer
import yaml

from crossmesh.cluster.launch.commands import PASSING_ON, launch

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

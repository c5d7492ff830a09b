"""Generated files: checked by Ray's own validator, by bash, and by what they do with stand-ins."""

import re
import shlex
import stat
import subprocess
import sys

import pytest
import yaml

from crossmesh.cluster.launch import generated
from crossmesh.cluster.launch.loading import load_cluster
from crossmesh.cluster.launch.machines.clouds import AwsCluster
from crossmesh.cluster.launch.order import Order
from crossmesh.common.errors import ConfigError
from crossmesh.emulator.config.loading import load_config
from crossmesh.emulator.config.stopping import EarlyStop
from tests.cluster.launch.launch_material import GENERATED, MACHINES, app


def documents(folder, name="cluster.yaml"):
    return list(yaml.safe_load_all((folder / name).read_text()))


def scripts(folder):
    """Every shell script, those in a ConfigMap too."""
    found = [path.read_text() for path in folder.rglob("*") if path.suffix in {".sh", ".sbatch"}]
    for path in folder.glob("rayjob.yaml"):
        texts = documents(folder, path.name)[0]["data"]
        found += [text for name, text in texts.items() if name.endswith(".sh")]
    return found


@pytest.mark.parametrize("name", GENERATED)
def test_the_config_travels_complete_and_loads_again(name, generate):
    options = ("--seed", "7", "--epochs", "2", "--stop-early", "patience=4")
    folder = generate(name, *options, data_dir="/data sets")
    if name == "kubernetes":
        path = folder / "run.yaml"
        path.write_text(documents(folder, "rayjob.yaml")[0]["data"]["run.yaml"])
    else:
        path = folder / "node" / "run.yaml"
    config = load_config(path)

    assert (config.seed, config.training.epochs) == (7, 2)
    assert config.training.stop_early == EarlyStop(patience=4)
    assert str(config.data.directory) == "/data sets"
    assert config.engine.nodes == load_cluster(name).nodes


@pytest.mark.parametrize("name", GENERATED)
def test_scripts_are_bash_and_nothing_in_them_ends_others_processes(name, generate):
    hostile = "a b'; touch /tmp/x; $(id) `id`"
    folder = generate(name, "--quiet", variables={"MINE": hostile}, data_dir=hostile)

    assert scripts(folder)
    for script in scripts(folder):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        assert "ray stop" not in script
    whole = "".join(scripts(folder))
    if name != "kubernetes":
        assert f"export MINE={shlex.quote(hostile)}\n" in whole
    assert f"--data-dir {shlex.quote(hostile)}" in whole


@pytest.mark.parametrize("name", [*MACHINES, "slurm"])
def test_the_token_is_fresh_and_nobody_elses(name, generate):
    folder = generate(name)
    token = folder / "node" / "token"

    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    before = token.read_text()
    generate(name)
    assert token.read_text() == before  # a cluster that runs already goes on to know it
    shown = [path.read_text() for path in folder.rglob("*") if path.is_file() and path != token]
    assert not any(before in text for text in shown)


@pytest.mark.parametrize("name", GENERATED)
def test_a_dry_run_shows_every_file_and_leaves_nothing(
    name, generate, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    typed = [name, "digits", "--dry-run"]
    monkeypatch.setattr(sys, "argv", ["crossmesh", "launch", *typed])
    app(typed, standalone_mode=False)

    shown = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    folder = generate(name)
    for path in folder.rglob("*"):
        if path.is_file():
            assert (
                f"/{path.relative_to(folder)} (mode {stat.S_IMODE(path.stat().st_mode):04o})"
                in shown
            )
    # Not by a script, which is not there.
    assert f"Start with: crossmesh launch {name} digits\n" in shown


@pytest.mark.parametrize("name", GENERATED)
def test_a_dry_run_shows_no_secret_and_all_else(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables = {"AZURE_STORAGE_KEY": "sEcrEt1", "DB_PASS": "sEcrEt2", "MY_TOKEN": "a'sEcrEt3",
                 "TOKENIZERS_PARALLELISM": "0", "STORE": "s3://KEY:sEcrEt4@bucket"}  # fmt: skip
    app([name, "digits", "--dry-run"], standalone_mode=False)
    plain = capsys.readouterr().out
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"extends": name, "variables": variables}))
    app(["mine.yaml", "digits", "--dry-run"], standalone_mode=False)
    shown = capsys.readouterr().out

    assert "sEcrEt" not in shown
    assert all(variable in shown for variable in variables)
    masks = shown.count("***") - plain.count("***")
    assert masks == 4 * (2 if name == "kubernetes" else 1)  # where two kinds of pods have them
    assert "TOKENIZERS_PARALLELISM=0" in shown or re.search(
        r"TOKENIZERS_PARALLELISM\W+(value: )?\W*0", shown
    )


@pytest.mark.parametrize(("name", "tool"), [("slurm", "sbatch"), ("kubernetes", "kubectl"),
                                            ("on-premises", "ssh")])  # fmt: skip
def test_a_missing_program_is_named(name, tool, tmp_path, monkeypatch):
    monkeypatch.setattr(generated, "programs_path", lambda: str(tmp_path))
    (tmp_path / "ray").write_text("#!/bin/sh")
    (tmp_path / "ray").chmod(0o700)
    missing = load_cluster(name).preflight(Order(load_cluster(name), "digits"), tmp_path / "out")

    assert f"launching on {name} requires the program {tool}, which is not on PATH" in list(missing)


def test_a_cloud_without_its_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(AwsCluster, "package", "no_such_package")
    monkeypatch.setattr(generated.shutil, "which", lambda tool, path: tool)
    rule = "launching on aws requires the Python package no_such_package$"
    with pytest.raises(ConfigError, match=rule):
        app(["aws", "digits", "--files", str(tmp_path / "out")], standalone_mode=False)

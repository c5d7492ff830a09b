"""Every command, snippet and config that a page, a help or a shipped file shows is run."""

import importlib
import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml

from crossmesh.cluster.launch.loading import shipped_clusters
from crossmesh.cluster.scaling.network import load_network
from crossmesh.emulator.config.loading import shipped
from crossmesh.emulator.study import load_study
from tests.conftest import SHARED
from tests.emulator.characterisation.lab_files import clean, currents, table, wide
from tests.emulator.commands.documents import Shown, shown
from tests.emulator.commands.material import ROOT
from tests.emulator.commands.rules import (
    FEW,
    HERE,
    OTHERS,
    device_file,
    names_cluster,
    names_device,
    order,
)
from tests.emulator.commands.shell import crossmesh, done

pytestmark = pytest.mark.slow

REGISTRIES = ("devices", "cells", "layers", "losses", "sources", "topologies", "schedules")
EVERYTHING = shown()
# Texts of snippets that would take long, and what stands in their place; or why they are not run.
SMALLER = {
    '["engine.kind=local"]': '["engine.kind=local", "training.examples=8", "training.epochs=1"]',
    'load_study("digits-devices")': 'load_study("two.yaml")',
    'seeds="0,1,2"': 'seeds="0"',
}
NOT_RUN = {
    "LocalNodes(3)": "tests/cluster/launch/test_launch_local.py starts the nodes",
    "import torch": "tests/emulator/training/test_torch.py takes such models through ONNX",
}


def of(form):
    """What is shown in a form, as parameters."""
    return [pytest.param(item, id=str(item)) for item in EVERYTHING if item.form == form]


def ours(program):
    """Commands of a program, as parameters; one that is shown twice is there once."""
    commands = [i for i in EVERYTHING if i.form == "command" and _program(i) == program]
    once = {" ".join(item.text.split()): item for item in reversed(commands)}
    return [pytest.param(item, id=str(item)) for item in reversed(once.values())]


def _program(item: Shown) -> str:
    return next(word for word in item.text.split() if "=" not in word)


def test_every_command_and_block_has_a_rule():
    programs = {_program(item) for item in EVERYTHING if item.form == "command"}
    assert programs <= {"crossmesh", "make", "python", *OTHERS}, "a rule: rules.py"
    assert {item.form for item in EVERYTHING} <= {
        "command",
        "python",
        "toml",
        "yaml",
        "text",
        "other",
    }
    assert sum(item.form == "command" for item in EVERYTHING) > 100  # they are found at all


@pytest.fixture(scope="session")
def done_runs(desk, tmp_path_factory):
    """A small run of a shipped config, or of ``mine``, made once."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name):
        if not (folder / name).is_dir():
            config = name if name in shipped() else "digits"
            where = ("--run-dir", folder / name, "--data-dir", desk / "data", "--quiet")
            done("train", config, *HERE, *FEW, *where)
        return folder / name

    return run


@pytest.fixture
def place(desk, tmp_path, done_runs):
    """Prepares a folder with the files that a text names."""

    def prepare(item: Shown) -> Path:
        named = item.text.replace("RUN", "runs/digits").replace("crossmesh runs", "runs/digits")
        for run in set(re.findall(r"(?<!--run-dir )runs/([a-z0-9-]+)", named)):
            shutil.copytree(done_runs(run), tmp_path / "runs" / run)
        for name in re.findall(r"[a-z-]+\.yaml", item.text):
            _write_yaml(tmp_path, item, name)
        for name in re.findall(r"[a-z0-9-]+\.csv", item.text):
            _write_measurement(tmp_path / name)
        for name in re.findall(r"[a-z]+\.npz", item.text):
            _write_arrays(tmp_path / name, is_mnist=".onnx" in item.text)
        if "crossmesh export" not in item.text:
            for name in re.findall(r"(model\.onnx|lenet5\.onnx|imported\.yaml)", item.text):
                onnx = tmp_path / name.replace("imported.yaml", "model.onnx")
                where = (done_runs("mnist-lenet5"), "--data-dir", desk / "data", "--quiet")
                done("export", *where, "--onnx", onnx)
        return tmp_path

    return prepare


def _write_arrays(path: Path, *, is_mnist: bool) -> None:
    """Arrays as the pages describe them; images of MNIST or digits where they say no more."""
    tokens, side = np.arange(120).reshape(20, 6), 28 if is_mnist else 8
    known = {
        "sentences": {"x_train": tokens, "y_train": tokens + 1},
        "patients": {
            "age_train": np.ones(20), "heart_train": np.ones((20, 3, 8)),
            "y_train": np.arange(20) % 2,
        },
        "new": {"x": np.full((3, side, side), 0.5)},
        "images": {"x": np.full((3, side, side), 0.5)},
    }  # fmt: skip
    if path.stem in known:
        np.savez(path, **known[path.stem])


def _write_measurement(path: Path) -> None:
    """Readings in the layout that the page says a file of this name has."""
    m = clean(1)
    known = {
        "set": table(["D1 G (uS)"], [[g] for g in map(float, m.up[0, 0])]),
        "reset": table(["D1 G (uS)"], [[g] for g in map(float, m.down[0, 0])]),
        "iv": table(["Pulse", "Vpulse", "I (A)"],
                    [[row[2], row[3], row[5]] for row in currents(m)]),
    }  # fmt: skip
    known["kept"] = table(["Time (h)", "G (uS)"], [[t, 20 * 0.9**t] for t in range(1, 15)])
    known["board-retention"] = known["kept"]
    path.write_text(known.get(path.stem, table(*wide(m))))


def _write_yaml(folder: Path, item: Shown, name: str) -> None:
    if names_device(item.text, name):
        device_file(folder, name)
    elif names_cluster(item.text, name):
        (folder / name).write_text("extends: slurm\n")
    elif name in {"mine.yaml", "imported.yaml"}:
        (folder / name).write_text(_block("name: imported" if name[1] == "m" else "name: mine"))


def _block(beginning: str) -> str:
    """The config of a page that has this name."""
    (block,) = {item.text for item in EVERYTHING if item.form == "yaml" and beginning in item.text}
    return block


def _needs_shared(text):
    names = (
        "mnist", "cifar", "shakespeare", "DIR", "FOLDER", "lenet", "imported", "transfer",
        "fashion", "train mine.yaml",
    )  # fmt: skip
    if any(name in text for name in names) and not SHARED.is_dir():
        pytest.skip("needs the folder shared/ beside the repository (data sets)")


@pytest.mark.parametrize("item", ours("crossmesh"))
def test_a_command_of_ours(item, desk, place):
    _needs_shared(item.text)
    wanted = order(item.text, desk / "data", is_mention=item.is_mention)
    folder = place(item)
    said = crossmesh(*wanted.words, folder=folder)
    assert said.code == 0, f"{said.command}\n{said.err}"
    if wanted.reason:
        assert "Usage: crossmesh" in said.out
    for option in ("--plot", "--onnx", "--npz", "--output", "--out"):
        if not wanted.reason and option in wanted.words:
            assert (folder / wanted.words[wanted.words.index(option) + 1]).stat().st_size > 0


@pytest.mark.parametrize("item", ours("make"))
def test_a_target_of_make(item):
    """Make shows what it would do; the modules that it runs are tested below."""
    words = [word.replace("DATA=folder", "DATA=/data") for word in shlex.split(item.text)]
    dry = ["make", "-n", "-W", "pyproject.toml", *words[1:]]
    steps = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=False)
    assert steps.returncode == 0, steps.stderr
    targets = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert words[1] in targets.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("item", ours("python"))
def test_a_module_that_is_run(item, monkeypatch, capsys):
    """It is there, and takes the options that are given: what it measures takes minutes."""
    words = [word for word in shlex.split(item.text) if not re.match(r"[A-Z_]+=", word)]
    if words[1].startswith("examples/"):  # tests/common/test_examples.py runs it
        assert (ROOT / words[1]).is_file()
        return
    assert words[:2] == ["python", "-m"]
    module, *rest = words[2:]
    assert importlib.util.find_spec(module) is not None
    if module == "pytest":
        assert all((ROOT / word).exists() for word in rest)
    elif module == "crossmesh":  # whose parent ends all that is below its process
        asked = [sys.executable, "-m", module, *rest, "--help"]
        said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr
    else:
        monkeypatch.setattr(sys, "argv", [module, *rest, "--help"])
        with warnings.catch_warnings(action="ignore"), pytest.raises(SystemExit) as end:
            runpy.run_module(module, run_name="__main__", alter_sys=True)  # imported or not
        assert end.value.code in {0, None}, capsys.readouterr().err


@pytest.mark.parametrize("item", of("toml"))
def test_a_block_of_toml(item):
    """Entry points of groups that exist."""
    package = importlib.import_module("crossmesh")
    groups = {getattr(package, kind).group for kind in REGISTRIES}
    assert set(tomllib.loads(item.text)["project"]["entry-points"]) <= groups


@pytest.mark.parametrize("item", of("python"))
def test_a_snippet(item, desk, tmp_path, monkeypatch):
    code = compile(item.text, item.page, "exec")
    for text, reason in NOT_RUN.items():
        if text in item.text:
            for module in re.findall(r"^from ([a-z.]+) import (\w+)", item.text, re.MULTILINE):
                if module[0].split(".")[0] != "torch":
                    assert hasattr(importlib.import_module(module[0]), module[1]), reason
            return
    smaller = item.text
    for text, other in SMALLER.items():
        smaller = smaller.replace(text, other)
    study = load_study("digits-devices").model_dump(mode="json")
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({**study, "runs": study["runs"][:2]}))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(smaller, item.page, "exec"), names)
    assert code.co_names


@pytest.mark.parametrize("item", of("yaml"))
def test_a_config(item, desk, place):
    _needs_shared(item.text)
    folder = place(item)
    if "mine.yaml" in item.text:
        device_file(folder, "mine.yaml")
    for number, tree in enumerate(yaml.safe_load_all(item.text)):
        _try(tree, folder, f"shown-{number}.yaml", desk / "data")


def _try(tree, folder, name, data):
    """Configs train, clusters and studies are planned, tables price a chip, networks are read."""
    path = folder / name
    path.write_text(yaml.safe_dump(tree), "utf-8")
    small = (*HERE, *FEW, "--data-dir", data, "--quiet", "--run-dir", f"of-{path.stem}")
    if "components" in tree:
        done("chip", "digits", "--set", f"chip.table={name}", "--json", folder=folder)
    elif "bandwidth_bytes_per_s" in tree:
        assert load_network(str(path)).latency_s == tree["latency_s"]
    elif tree.keys() & {"runs", "configs"}:
        (folder / "mine.yaml").write_text(_block("name: mine"))
        study = load_study(path)
        assert study.name == tree["name"]
        for run in study.rows:
            done("configs", "show", run.config, folder=folder)
    elif tree.get("extends") in shipped_clusters():
        done("launch", name, "digits", "--dry-run", folder=folder)
    elif tree.keys() <= {"tile", "training", "chip"}:  # a part of a config
        path.write_text(yaml.safe_dump({"extends": "digits", **tree}))
        done("train", name, *small, folder=folder)
    else:
        done("train", name, *small, folder=folder)


def test_the_command_on_the_path_is_the_same():
    """The script that is installed, beside this Python: what is tested above is its entry point."""
    script = Path(sys.executable).parent / "crossmesh"
    if not script.exists():
        pytest.skip("crossmesh is not installed beside this Python")
    said = subprocess.run(
        [script, "configs", "list", "--json"], capture_output=True, text=True, check=True,
        cwd=ROOT, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert said.stdout == done("configs", "list", "--json").out

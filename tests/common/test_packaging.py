"""What is built holds the whole package, which is links to folders in a checkout."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from benchmarks.packages import build
from crossmesh.common.version import VERSION

ROOT = Path(__file__).parents[2]


# What the targets of the Makefile and the tests read besides the package.
NEEDED = {
    *(".ci/run", ".pre-commit-config.yaml", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"),
    *("README.md", "constraints.txt", "pyproject.toml", "tests/conftest.py", "tests/pinned.json"),
}


def examples():
    """Files of the examples."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "examples").rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".onnx", ".data"}  # written by them
    }


def package():
    """Files of the package, as they are named in it."""
    found = {f"crossmesh/{path.name}" for path in (ROOT / "crossmesh").iterdir() if path.is_file()}
    found |= {
        f"crossmesh/testing/{path.name}" for path in (ROOT / "crossmesh/testing").glob("*.py")
    }
    for folder in ("cluster", "common", "emulator", "interconnect", "tiles"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix not in {".pyc", ".nbi", ".nbc"}:
                found.add(f"crossmesh/{path.relative_to(ROOT)}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_built_holds_the_whole_package(kind, tmp_path):
    pytest.importorskip("hatchling", reason="builds it: pip install hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = tmp_path.iterdir()
    if kind == "wheel":
        with zipfile.ZipFile(built) as wheel:
            names = wheel.namelist()
    else:
        with tarfile.open(built) as sdist:
            names = [name.partition("/")[2] for name in sdist.getnames()]

    assert {name for name in names if name.startswith("crossmesh/")} == package()
    assert "crossmesh/py.typed" in names  # so that type checkers of other packages read our types
    assert not [name for name in names if name.split("/")[0] in {"cluster", "emulator", "tiles"}]
    if kind == "sdist":
        assert {name for name in names if name.startswith("examples/")} == examples()
        assert set(names) >= NEEDED


@pytest.mark.slow
def test_the_wheel_of_the_source_archive_trains_without_a_checkout(tmp_path):
    pytest.importorskip("hatchling", reason="builds it: pip install hatchling")
    wheel, archive = build(tmp_path / "dist")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "installed")
    alone = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    few = ["--engine", "local", "--epochs", "1", "--examples", "8", "--quiet"]
    for program in (
        ["-c", "import crossmesh; print(crossmesh.__file__)"],
        ["-m", "crossmesh", "train", "digits", *few, "--run-dir", "run"],
    ):
        done = subprocess.run(
            [sys.executable, *program],
            cwd=tmp_path, env=alone, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert str(tmp_path) in done.stdout or (tmp_path / "run" / "summary.json").is_file()
    assert archive.name.removesuffix(".tar.gz") == "-".join(wheel.name.split("-")[:2])


def test_the_recipe_for_conda_needs_what_the_wheel_needs():
    others = {"matplotlib": "matplotlib-base", "msgpack": "msgpack-python", "ray": "ray-core"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    recipe = yaml.safe_load((ROOT / "deploy" / "conda" / "recipe.yaml").read_text("utf-8"))
    needed = {"python": project["requires-python"]}
    for dependency in project["dependencies"]:
        name, _, least = dependency.partition(">=")
        needed[others.get(name, name.lower())] = f">={least}"

    assert recipe["context"]["version"] == VERSION
    assert {*recipe["requirements"]["run"]} == {f"{name} {rule}" for name, rule in needed.items()}


def test_how_to_cite_names_this_version():
    for page in ("CITATION.cff", "docs/cite.md"):
        assert VERSION in (ROOT / page).read_text("utf-8")

"""Kinds that another package brings: a device, a layer, a loss, a data source and a topology."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

import crossmesh
from crossmesh.common.registry import Registry
from crossmesh.tiles.analog.devices import DEVICES, SoftBounds
from crossmesh.tiles.analog.tile_config import TileConfig

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "plugins" / "example"
CONFIG = {
    "extends": "digits",
    "name": "plugged",
    "network": [
        {"kind": "linear", "outputs": 16, "activation": "tanh"},
        {"kind": "example.scale", "factor": 1.5},
        {"kind": "linear", "outputs": 10},
    ],
    "data": {"source": "example.rings", "classes": 10, "options": {"noise": 0.01}},
    "loss": "example.huber",
    "tile": {"rows": 40, "cols": 10, "cell": {"kind": "example.curved_step", "step": 0.01}},
    "chip": {"topology": "example.line"},
    "training": {
        "epochs": 1,
        "examples": 48,
        "learning_rate": 0.05,
        "algorithm": {"kind": "example.partners"},
    },
}


class Installed:
    """An environment of its own in which crossmesh and the example are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        self.packages = next((folder / "venv" / "lib").glob("python3*/site-packages"))
        ours = (str(ROOT), sysconfig.get_path("purelib"))
        (self.packages / "ours.pth").write_text("\n".join(ours) + "\n")
        shutil.copytree(EXAMPLE, folder / "example")
        self.run(
            "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
            "--disable-pip-version-check", folder / "example",
        )  # fmt: skip
        (folder / "plugged.yaml").write_text(yaml.safe_dump(CONFIG))

    def done(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """What became of the environment's Python."""
        return subprocess.run(
            [self.python, *map(str, arguments)], cwd=self.folder, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": ""}, check=False,
        )  # fmt: skip

    def run(self, *arguments: object, code: int = 0) -> str:
        """Output of the environment's Python."""
        done = self.done(*arguments)
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout if code == 0 else done.stderr

    def crossmesh(self, *arguments: object, code: int = 0) -> str:
        """Output of a command."""
        return self.run("-m", "crossmesh", *arguments, code=code)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    pytest.importorskip("hatchling", reason="builds the example: pip install hatchling")
    return Installed(tmp_path_factory.mktemp("plugins"))


@pytest.mark.slow
@pytest.mark.ray
def test_the_example_passes_the_shipped_suites(installed):
    """Also on Ray."""
    test = installed.folder / "example" / "test_example.py"
    assert len(test.read_text().splitlines()) < 55
    out = installed.run("-m", "pytest", "-q", "-p", "no:cacheprovider", test)
    assert " passed" in out
    assert "skipped" not in out


@pytest.mark.slow
@pytest.mark.ray
def test_a_network_of_another_packages_kinds_trains_on_actors_and_resumes(installed):
    one = ("--engine", "ray", "--set", "engine.actors=2", "--quiet", "--json")
    installed.crossmesh("train", "plugged.yaml", *one, "--run-dir", "there")
    there = json.loads(installed.crossmesh("resume", "there", "--epochs", 2, "--json", "--quiet"))
    two = ("--engine", "local", "--epochs", 2, "--quiet", "--json", "--run-dir", "here")
    here = json.loads(installed.crossmesh("train", "plugged.yaml", *two))

    assert there["state_digest"] == here["state_digest"]
    assert there["emulation"]["actors"] == 2
    assert here["chip"]["energy_j_per_example"] > 0


@pytest.mark.slow
def test_what_a_package_brings_is_listed(installed):
    schema = installed.crossmesh("schema")
    ours = ("curved_step", "partners", "scale", "huber", "line", "rings")
    for name in (f"example.{kind}" for kind in ours):
        assert f'"{name}"' in schema
    device = next(
        entry for entry in json.loads(installed.crossmesh("devices", "list", "--json"))
        if entry["name"] == "example.curved_step"
    )  # fmt: skip
    assert {"name": "curvature", "default": 0.5, "what": "How fast the step falls off. "
            "Source: assumed."} in device["parameters"]  # fmt: skip
    assert "example.line" in installed.crossmesh("chip", "plugged.yaml")


@pytest.mark.slow
def test_a_mistake_in_a_field_of_theirs_is_one_line(installed):
    wrong = ("train", "plugged.yaml", "--set", "tile.cell.curvature=-1")
    assert installed.crossmesh(*wrong, code=2) == (
        "error: tile.cell.curvature must be at least 0.0, got -1\n"
    )


@pytest.mark.slow
def test_after_an_edit_of_a_kernel_the_next_run_differs(installed):
    """Kernels are kept on disk under a name that their sources make."""

    def digest(run):
        options = ("--engine", "local", "--quiet", "--json", "--run-dir", run)
        return json.loads(installed.crossmesh("train", "plugged.yaml", *options))["state_digest"]

    before, again = digest("before"), digest("again")
    module = installed.packages / "crossmesh_example" / "device.py"
    text = module.read_text()
    module.write_text(text.replace("CURVATURE = np.float32(1.0)", "CURVATURE = np.float32(0.5)"))
    after = digest("after")
    module.write_text(text)

    assert before == again != after

    # So does an edit of what another package than the kernel's gives to it.
    library = installed.packages / "curves.py"
    library.write_text("def curve(a, b, w):\n    return a - b * w * w\n")
    using = text.replace(
        "CURVATURE - constants.curvature * w * w", "curve(CURVATURE, constants.curvature, w)"
    )
    imports = (
        "import curves\nimport numpy as np\nfrom numba import njit\ncurve = njit(curves.curve)"
    )
    module.write_text(using.replace("import numpy as np", imports))
    by_library = digest("by-library")
    library.write_text("def curve(a, b, w):\n    return a - b * w\n")
    edited = digest("edited")
    module.write_text(text)

    assert before == by_library != edited


@pytest.mark.slow
def test_a_broken_package_breaks_nothing_but_what_names_its_kinds(installed):
    metadata = installed.packages / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    points = "[crossmesh.devices]\nbroken.device = no_such_module:Device\nother = curves:curve\n"
    points += "soft_bounds = curves:curve\n[crossmesh.sources]\ndigits = curves:curve\n"
    (metadata / "entry_points.txt").write_text(points)
    try:
        listed = installed.done("-m", "crossmesh", "devices", "list")
        wrong = ("train", "plugged.yaml", "--set", "tile.cell={kind: broken.device}")
        refused = installed.crossmesh(*wrong, code=2)
        unknown = installed.crossmesh(*wrong[:-1], "tile.cell={kind: brokn.device}", code=2)
    finally:
        shutil.rmtree(metadata)

    assert listed.returncode == 0
    assert "example.curved_step" in listed.stdout
    assert listed.stderr.splitlines() == [
        "warning: broken.device of the package broken cannot be used (ModuleNotFoundError: No "
        "module named 'no_such_module')",
        "warning: other of the package broken cannot be used (TypeError: must be a subclass of "
        "crossmesh.tiles.analog.devices.Device)",
        "warning: soft_bounds of the package broken has the name of one of crossmesh's own devices",
    ]
    assert refused == (
        "error: tile.cell: broken.device of the package broken cannot be used "
        "(ModuleNotFoundError: No module named 'no_such_module')\n"
    )
    assert unknown.endswith("got brokn.device; did you mean broken.device?\n")


# In Python


class Softer(SoftBounds):
    """A device of a program's own, which no registry knows."""

    kind: str = "softer"  # type: ignore[assignment]  # as a program may have it


def test_objects_of_classes_that_no_registry_knows_are_taken():
    config = crossmesh.load_config("digits", ["engine.kind=local", "training.examples=32",
                                              "training.epochs=1"])  # fmt: skip
    tile = TileConfig(cell=Softer(step=0.02), rows=80, cols=10)
    known = TileConfig(cell=SoftBounds(step=0.02), rows=80, cols=10)
    one, other = (
        crossmesh.train(config.model_copy(update={"tile": t}), False) for t in (tile, known)
    )

    assert one.state_digest == other.state_digest
    assert "Softer(step=0.02)" in repr(tile)


def test_a_registry_has_one_kind_of_each_name():
    registry = Registry("crossmesh.none", {"a": 1})
    registry.register("b", 2)

    assert dict(registry) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match=r"^crossmesh\.none must have one kind per name: "):
        registry.register("a", 3)


def test_a_registry_keeps_nothing_that_it_refuses():
    class Named:
        name = "mine"

    registry = Registry("crossmesh.none", {"a": 1})
    with pytest.raises(TypeError, match="its attribute name must be 'other', got 'mine'"):
        registry.register("other", Named)
    with pytest.raises(ValueError, match="one kind per name"):
        registry.register("a", 2)
    registry.register("mine", Named)

    assert dict(registry) == {"a": 1, "mine": Named}


@pytest.mark.slow
def test_the_device_that_the_documentation_shows_passes_the_suite(tmp_path):
    text = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    (tmp_path / "shown.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    (tmp_path / "test_shown.py").write_text(
        "from shown import MyDevice\n\nfrom crossmesh import devices\n"
        "from crossmesh.testing import DeviceTests\n\n"
        "devices.register('mine.device', MyDevice)\n\n\n"
        "class TestShown(DeviceTests):\n    device = MyDevice(step=0.01)\n"
        "    test_actors_give_the_same_bits = None\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shown.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def test_importing_leaves_numbas_settings_as_they_are():
    code = (
        "import numba; before = numba.config.CACHE_DIR; import crossmesh; crossmesh.train; "
        "from crossmesh.tiles.analog import update; assert numba.config.CACHE_DIR == before"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_modules_of_the_working_folder_are_not_taken_for_ours(tmp_path):
    for name in ("tiles", "emulator", "cluster", "interconnect", "common", "benchmarks"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken for ours')\n")
    done = subprocess.run(
        [sys.executable, "-m", "crossmesh", "train", "digits", "--engine", "local", "--examples",
         "16", "--epochs", "1", "--quiet", "--set", "training.baseline=false"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_public_face_is_complete_and_light():
    code = "import sys, crossmesh; print(len(sys.modules)); assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    for name in crossmesh.__all__:
        assert getattr(crossmesh, name) is not None
        assert name in (crossmesh.__doc__ or "")
    for name in ("kinds", "testing"):
        code = f"import crossmesh; assert crossmesh.{name}.__name__ == 'crossmesh.{name}'"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    for name in crossmesh.kinds.__all__:
        assert getattr(crossmesh.kinds, name) is not None
        assert name.isupper() or name in (crossmesh.kinds.__doc__ or "")
    assert dict(crossmesh.devices) == dict(DEVICES)

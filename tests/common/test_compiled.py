"""Kernels do the same uncompiled, and their cache is used only where no other user can write."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import crossmesh
from crossmesh.common import compiled
from crossmesh.tiles.analog.block import Block
from crossmesh.tiles.analog.devices import DEVICES
from crossmesh.tiles.analog.read import Converter, ReadConfig
from crossmesh.tiles.analog.tile import Tile
from crossmesh.tiles.analog.tile_config import TileConfig
from crossmesh.tiles.analog.update import UpdateConfig
from tests.jobs import CELLS

ROOT = Path(__file__).parents[2]
READ = ReadConfig(input_noise=0.02, weight_noise=0.01, adc=Converter(bits=9, range=1.0))


def outcome(cell, trains):
    """All that a tile computes in three cycles, and what it has sent and holds after them."""
    config = TileConfig(rows=19, cell=cell, read=READ, update=UpdateConfig(trains=trains))
    tile = Tile(config, Block(tile=3, layer="", row=0, col=0, shape=(3, 5)), 0.5, 7)
    draw = np.random.default_rng(1).uniform
    tile.write(draw(-0.3, 0.3, (3, 5)).astype(np.float32))
    x, d = draw(-1, 1, (4, 3)).astype(np.float32), draw(-1, 1, (4, 5)).astype(np.float32)
    arrays = {"forward": tile.forward(x, 9), "backward": tile.backward(d, 9)}
    tile.update(x, d, 0.02, 9)
    return arrays | {"pulses": np.array(tile.crossbar.pulses), "weights": tile.weights}


def save_outcomes(path):
    """Of every cell, to a file: what the uncompiled process is asked for."""
    with np.errstate(all="ignore"):  # compiled kernels do not warn either
        named = {
            f"{cell} {trains} {name}": array
            for cell in CELLS
            for trains in ("stochastic", "deterministic")
            for name, array in outcome(CELLS[cell], trains).items()
        }
    np.savez(path, **named)


@pytest.fixture(scope="module")
def uncompiled(tmp_path_factory):
    """Outcomes of a process in which numba compiles nothing."""
    path = tmp_path_factory.mktemp("uncompiled") / "outcomes.npz"
    code = (
        "import sys; from tests.common.test_compiled import save_outcomes; "
        "from crossmesh.tiles.analog.coincidences import apply_trains; "
        "assert not hasattr(apply_trains, 'py_func'); save_outcomes(sys.argv[1])"
    )
    run(code, str(path), NUMBA_DISABLE_JIT="1")
    return np.load(path, allow_pickle=False)


def run(code, *arguments, **environment):
    """Errors of a Python process, which must succeed."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command,
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_all_devices_are_tested():
    kinds = {cell["kind"] for cell in CELLS.values()} | {
        cell["device"]["kind"] for cell in CELLS.values() if "device" in cell
    }
    assert kinds >= set(DEVICES)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("trains", ["stochastic", "deterministic"])
def test_kernels_do_the_same_uncompiled(uncompiled, cell, trains):
    """Trains exactly, numbers to float32: compiled code fuses multiplications with additions."""
    for name, array in outcome(CELLS[cell], trains).items():
        other = uncompiled[f"{cell} {trains} {name}"]
        if name == "pulses":
            assert array == other
        np.testing.assert_allclose(other, array, rtol=2e-6, atol=2e-6)


# The cache


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_is_private(home):
    folder = compiled._cache_folder()

    assert folder.parent == home / "crossmesh" / "kernels"
    for made in (folder, *folder.parents[:2]):
        assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("part", [".", ".."])
@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_cache_that_others_can_write_is_not_used(home, part, mode):
    (compiled._cache_folder() / part).resolve().chmod(mode)

    with pytest.warns(UserWarning, match=f"by this user only, got {home}/.* with mode 0{mode:o}"):
        assert compiled._cache_folder() is None


def test_a_cache_of_another_user_is_not_used(home, monkeypatch):
    compiled._cache_folder()
    owner = home.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    with pytest.warns(UserWarning, match=f"kernel cache disabled: .* got .* of user {owner} "):
        assert compiled._cache_folder() is None


def test_a_cache_that_cannot_be_made_is_not_used(home):
    home.write_text("a file")

    with pytest.warns(UserWarning, match="kernel cache disabled: .*exists"):
        assert compiled._cache_folder() is None


def test_a_kernel_for_which_the_disk_has_no_room_runs_and_gives_its_turn(home):
    code = (
        "import resource; from crossmesh.common.random import Purpose, Stream; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)); "
        "print(Stream(seed=1, owner=2).key(Purpose.DEVICE))"
    )
    errors = run(code, XDG_CACHE_HOME=str(home))

    assert "kernel not kept: each process recompiles it ([Errno 27] File too large)" in errors
    assert not list(home.rglob("*.nbc"))


def test_kernels_run_without_a_cache(home):
    (home / "crossmesh").mkdir(parents=True)
    (home / "crossmesh").chmod(0o777)
    code = (
        "from crossmesh.common.random import Purpose, Stream; "
        "Stream(seed=1, owner=2).key(Purpose.DEVICE)"
    )
    errors = run(code, XDG_CACHE_HOME=str(home))

    assert "kernel cache disabled: each process recompiles" in errors
    assert not list((home / "crossmesh").iterdir())


COMPILES = """
import sys, numpy as np
from crossmesh.common.random import Purpose, Stream
Stream(seed=1, owner=1).normal(Purpose.DEVICE, (2, 2))
print("numba.np.linalg" in sys.modules, file=sys.stderr)
"""


def test_kernels_are_loaded_without_what_compiles_others(tmp_path):
    """A fifth of a second of imports that numba does before it compiles."""
    cache = {"XDG_CACHE_HOME": str(tmp_path)}

    assert [run(COMPILES, **cache).strip() for _ in range(2)] == ["True", "False"]


COUNTS = """
from crossmesh.common import random
input()
random.Stream(seed=1, owner=1).normal(random.Purpose.DEVICE, (2, 2))
stats = [made.stats for made in vars(random).values() if hasattr(made, "stats")]
print(sum(sum(each.cache_misses.values()) for each in stats))
"""


@pytest.mark.slow
def test_of_processes_that_start_together_one_compiles_a_kernel(tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", COUNTS], cwd=ROOT, env=environment, text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    compiled_by_each = [int(process.communicate()[0]) for process in processes]
    kernels = len(list(tmp_path.rglob("*.nbc")))
    assert sum(compiled_by_each) == kernels > 0


@pytest.mark.slow
def test_copies_of_the_sources_share_kernels(tmp_path):
    """As those that launches ship, each to a folder of its own."""
    copy = tmp_path / "copy"
    shutil.copytree(Path(crossmesh.__file__).parent, copy / "crossmesh")
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    there = {"PYTHONPATH": str(copy), "PYTHONSAFEPATH": "1"}

    assert run(COMPILES, **cache).strip() == "True"
    assert run(COMPILES, **cache, **there).strip() == "False"
    with (copy / "crossmesh/common/random.py").open("a") as source:
        source.write("# edited\n")
    assert run(COMPILES, **cache, **there).strip() == "True"

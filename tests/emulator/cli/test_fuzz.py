"""Two hundred mutated inputs through the real command; ``python -m tests.fuzz`` tries thousands."""

import stat
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.running import KINDS

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 100])
def test_no_input_does_what_it_must_not(seed):
    command = [sys.executable, "-m", "tests.fuzz", "--count", "100", "--seed", str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def content(path):
    """What lies at a path: bytes, where a link leads, or the kind of something else."""
    if path.is_symlink():
        return str(path.readlink()).removeprefix(str(path.parent))
    return path.read_bytes() if path.is_file() else stat.S_IFMT(path.stat().st_mode)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"checkpoint"}))
def test_an_input_follows_from_its_seed(tmp_path, kind):
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        arguments = KINDS[kind](Random("7"), tmp_path / name)
        made.append((arguments, {path.name: content(path) for path in (tmp_path / name).iterdir()}))

    assert made[0] == made[1]

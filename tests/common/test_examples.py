"""Every example runs, and prints as many lines as it says at its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_prints_what_it_says(path, tmp_path):
    done = subprocess.run(
        [sys.executable, path], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
    printed = done.stdout.splitlines()

    assert len(shown) == len(printed) > 0
    for one, other in zip(shown, printed, strict=True):  # numbers may differ on other machines
        assert _words(one) == _words(other)


def _words(line):
    return [word for word in line.split() if not any(letter.isdigit() for letter in word)]


def test_every_example_is_in_the_list():
    text = (ROOT / "examples" / "README.md").read_text()
    assert all(f"({path.name})" in text for path in EXAMPLES)

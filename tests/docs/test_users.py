"""The scripts of four users: each as written, from an empty folder to a figure."""

from pathlib import Path

import pytest

from benchmarks.pages import in_shell

ROOT = Path(__file__).parents[2]
USERS = ROOT / "examples" / "users"
FIGURES = {
    "architect.sh": "front.png",
    "ml_engineer.py": "moons.png",
    "operator.sh": "scaling.png",
    "physicist.sh": "accuracy.png",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.ray] * (n == "operator.sh")) for n in FIGURES]
)
def test_a_script_ends_with_a_figure(name, tmp_path):
    program = "python" if name.endswith(".py") else "sh"
    in_shell(f"{program} {USERS / name}", tmp_path)
    assert (tmp_path / FIGURES[name]).read_bytes()[:4] == b"\x89PNG"


def test_each_is_short_and_all_are_tested():
    scripts = {path.name: path.read_text("utf-8") for path in USERS.iterdir() if path.is_file()}
    assert scripts.keys() == FIGURES.keys()
    assert all(len(text.splitlines()) < 40 for text in scripts.values())

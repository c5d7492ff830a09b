"""The notebooks run from the first cell to the last, and print what is in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def shown(notebook):
    """Words that each cell printed, without figures, and how many pictures it drew."""
    return [_of_cell(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]


def _of_cell(outputs):
    text = "".join(output.get("text", "") for output in outputs)
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    return re.sub(r"\S*\d\S*", "", text).split(), pictures


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_and_draws_what_it_shows(path, tmp_path, monkeypatch):
    nbformat = pytest.importorskip(
        "nbformat", reason="runs notebooks: pip install 'crossmesh[docs]'"
    )
    notebooks = pytest.importorskip("benchmarks.notebooks", reason="likewise")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    written = nbformat.read(path, as_version=4)

    assert shown(notebooks.executed(path, tmp_path)) == shown(written)
    assert sum(pictures for _, pictures in shown(written)) > 0

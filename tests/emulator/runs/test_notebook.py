"""Notebooks show progress, results and pictures: a kernel runs cells, as a user would."""

import os

import pytest

from tests.emulator.commands.material import ROOT

pytestmark = pytest.mark.slow  # a kernel takes seconds to start

CELLS = (
    """import crossmesh as cm
config = cm.load_config("digits", engine={"kind": "local"}, training={"examples": 50, "epochs": 2})
result = cm.train(config, False)
result""",
    "result.plot()",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The outputs of each cell."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    book = nbformat.v4.new_notebook(cells=cells)
    folder = tmp_path_factory.mktemp("book")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        nbclient.NotebookClient(
            book, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    return [cell.outputs for cell in book.cells]


def test_progress_is_one_output_that_ends_as_the_list_of_epochs(outputs):
    progress, result = outputs[0]
    assert "<progress" not in progress.data["text/html"]
    assert progress.data["text/html"].count("test accuracy") == 2
    assert "epoch 2: loss" in progress.data["text/html"]
    assert "<th style=" in result.data["text/html"]
    assert result.data["text/plain"].startswith("Result digits, seed 0")


def test_a_plot_is_a_picture(outputs):
    [picture] = outputs[1]
    assert len(picture.data["image/png"]) > 10_000
